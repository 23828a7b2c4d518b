//! Any bytes are a result document or an error in words; and everything that is made of a document
//! can be made of every document that is read, whatever numbers are in it. An input that does not
//! begin as a document does describes one (see `edit`).

mod edit;

use ringshot::commands::report::{self, Saved};
use ringshot::pages::{Plot, comparison, run, search, side_by_side};
use ringshot::result::{Report, csv, hdr, hgrm, json, merge};
use ringshot::words::style::Style;
use ringshot::words::text;

/// Reads a document, renders it in every way there is, and reads it again.
pub fn run(data: &[u8]) {
    match data.first() {
        None | Some(b'{' | b' ' | b'[') => read(data),
        Some(_) => read(&edit::edited(data)),
    }
}

fn read(data: &[u8]) {
    match report::parse(data) {
        Ok(saved) => rendered(&saved),
        Err(reason) => {
            assert!(!reason.trim().is_empty(), "no word of what is wrong");
            assert!(!reason.contains(text::steers), "{reason:?}");
        }
    }
}

fn rendered(saved: &Saved) {
    let image = |name: &str| format!("\n![{name}]({name}.svg)\n");
    let text = match saved {
        Saved::Run(report) => {
            run_rendered(report);
            json::document(report)
        }
        Saved::Search(found) => {
            is_page(&search::markdown(found, &image), &search::plots(found));
            json::document(found)
        }
        Saved::Comparison(compared) => {
            is_page(&comparison::markdown(compared, &image), &comparison::plots(compared));
            json::document(compared)
        }
    };
    comes_back(&text);
}

/// What a document says is the same after it was written and read.
fn comes_back(text: &str) {
    let again = match report::parse(text.as_bytes()) {
        Ok(Saved::Run(report)) => json::document(&report),
        Ok(Saved::Search(found)) => json::document(&found),
        Ok(Saved::Comparison(compared)) => json::document(&compared),
        Err(reason) => panic!("what was written is not read: {reason}"),
    };
    assert_eq!(again, text);
}

fn run_rendered(report: &Report) {
    let image = |name: &str| format!("\n![{name}]({name}.svg)\n");
    is_page(&run::markdown(report, &image), &run::plots(report));
    for style in [Style::PLAIN, Style { colour: true, width: 40 }] {
        let mut page = Vec::new();
        run::summary(report, &mut page, style).expect("memory takes it");
        let page = String::from_utf8(page).expect("text");
        let steers = |c| c != '\n' && text::steers(c);
        assert!(style.colour || !page.contains(steers), "{page:?}");
    }
    assert!(csv::series(report).lines().count() == report.series.len() + 1);
    let total = hdr::decode(&report.latency.total.hdr).expect("it was read");
    assert!(hgrm::table(&total).contains("Total count"));

    // Beside itself, and as one with itself.
    let named = |name: &str| (name.to_owned(), report.clone());
    let variants = side_by_side::group(vec![named("a-1.json"), named("a-2.json"), named("b.json")]);
    is_page(&side_by_side::markdown(&variants, &[], &image), &side_by_side::plots(&variants));
    match merge::merge(&[named("a.json"), named("b.json")], &[]) {
        Ok(merged) => comes_back(&json::document(&merged)),
        Err(reason) => assert!(!reason.is_empty()),
    }
}

/// A page has a heading, and what is in it steers no terminal.
fn is_page(page: &str, plots: &[Plot]) {
    assert!(page.starts_with("# "), "{page:.100?}");
    assert!(!page.contains(|c| c != '\n' && text::steers(c)), "{page:?}");
    for plot in plots {
        assert!(plot.svg.contains("<svg"), "{}", plot.name);
        assert!(!plot.svg.contains("NaN"), "{} has no place", plot.name);
    }
}
