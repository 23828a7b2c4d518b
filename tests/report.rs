//! Reports from real runs: every number of a report is in the document beside it, and what is no
//! document of ours writes nothing.

mod support;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use support::numbers::unexplained;
use support::{assert_consistent, command, ringshot, run_command, server};
use tempfile::TempDir;

/// A directory of one test.
struct Directory(TempDir);

impl Directory {
    fn new(test: &str) -> Directory {
        let name = format!("ringshot-{test}-");
        let directory = tempfile::Builder::new().prefix(&name).tempdir();
        Directory(directory.expect("a directory of our own"))
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.join(name).to_string_lossy().into_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn document(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).expect("JSON")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("our directory");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// A result document of a short run.
    fn run(&self, name: &str, flags: &str) -> Value {
        let ran = ringshot(&format!("{flags} --json {}", self.path(name)));
        assert!(matches!(ran.code, Some(0 | 3 | 4)), "{flags}: {}", ran.stderr);
        self.document(name)
    }
}

#[test]
fn every_number_of_a_report_is_in_its_document() {
    let directory = Directory::new("numbers");
    let (json, report) = (directory.path("run.json"), directory.path("run.md"));
    for flags in [
        "-d 1500ms -c 8",
        "-d 1500ms -c 8 -k --slo p99<1us --slo errors<1%",
        "-d 1s -R 500 -w 300ms -c 4 --slo p99<10s",
        // Its stage has no end.
        "-n 300 -R 1000 -c 4",
        "-n 40 -c 4 -t 1 --timeout 300ms http://127.0.0.1:1/nobody-listens",
    ] {
        let ran = ringshot(&format!("{flags} --json {json} --report {report}"));
        assert!(matches!(ran.code, Some(0 | 3 | 4)), "{flags}: {}", ran.stderr);
        let (document, text) = (directory.document("run.json"), directory.read("run.md"));
        assert_consistent(&document);
        let missing = unexplained(&text, &document);
        assert!(missing.is_empty(), "{flags}: {missing:?} are not in the document of\n{text}");
        assert_in_their_cells(&text, &document);
        // Rendered again from the document it is the same report.
        let again = ringshot(&format!("report {json}"));
        assert_eq!(again.code, Some(0), "{}", again.stderr);
        let without_images: String =
            text.lines().filter(|line| !line.starts_with("![")).collect::<Vec<_>>().join("\n");
        let lines = |text: &str| {
            let lines = text.lines().filter(|line| !line.is_empty());
            lines.map(String::from).collect::<Vec<_>>()
        };
        let again = lines(&again.stdout);
        let missing: Vec<_> =
            again.iter().filter(|line| !lines(&without_images).contains(line)).collect();
        assert!(missing.is_empty(), "{flags}: {missing:?}");
    }
}

/// The numbers that matter most stand where their names say.
fn assert_in_their_cells(text: &str, document: &Value) {
    let row = |name: &str| -> Vec<String> {
        let start = format!("| {name} |");
        let line = text.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let of = |pointer: &str| document.pointer(pointer).expect(pointer).clone();
    let is = |cell: &str, pointer: &str| {
        let alone = serde_json::json!([of(pointer)]);
        assert!(unexplained(cell, &alone).is_empty(), "{cell} is not {pointer}: {alone}");
    };
    let requests = row("requests");
    is(&requests[1].replace('*', ""), "/rate/requests_per_s");
    let counts: Vec<&str> = requests[2].split(", ").collect();
    is(counts[0], "/requests/ok");
    is(counts[1].split(" (").next().expect("a count").trim_matches('*'), "/requests/failed");
    let total = row("`total`");
    is(&total[1], "/latency/total/count");
    let columns = ["p50", "p90", "p99", "p99_9", "max", "mean", "stdev"];
    for (cell, column) in total[2..].iter().zip(columns) {
        if cell != "-" {
            is(cell, &format!("/latency/total/{column}_us"));
        }
    }
}

#[test]
fn a_number_that_is_not_in_the_document_is_found() {
    let directory = Directory::new("wrong-number");
    let document = directory.run("run.json", "-d 1s -c 8");
    let report = ringshot(&format!("report {}", directory.path("run.json"))).stdout;
    assert!(unexplained(&report, &document).is_empty());
    let ok = document["requests"]["ok"].as_u64().expect("a count");
    let grouped = |n: u64| match n {
        0..1000 => format!("{n} ok"),
        _ => format!("{},{:03} ok", n / 1000, n % 1000),
    };
    assert!(report.contains(&grouped(ok)), "{ok} in {report}");
    // Larger than any number of a run of a second.
    let wrong = report.replace(&grouped(ok), "987,654,321,987 ok");
    assert_eq!(unexplained(&wrong, &document).len(), 1);
}

/// The reports that are kept, or those in the directory that RINGSHOT_GALLERY names.
#[test]
fn every_number_of_the_gallery_is_in_its_documents() {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/reports");
    let directory = std::env::var_os("RINGSHOT_GALLERY").unwrap_or(kept.into());
    let mut checked = 0;
    for entry in fs::read_dir(&directory).expect("the gallery") {
        let path = entry.expect("an entry").path();
        let json = path.with_extension("json");
        // A page about several documents has none of its own.
        if path.extension().is_none_or(|end| end != "md") || !json.exists() {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a report");
        let document: Value =
            serde_json::from_str(&fs::read_to_string(&json).expect("JSON")).expect("JSON");
        let missing = unexplained(&text, &document);
        assert!(missing.is_empty(), "{}: {missing:?} are not in its document", path.display());
        for name in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(path.with_file_name(name).exists(), "{}: no {name}", path.display());
        }
        checked += 1;
    }
    assert!(checked > 0, "there is no report in {directory:?}");
}

#[test]
fn a_report_stands_beside_its_plots() {
    let directory = Directory::new("plots");
    let report = directory.path("a run.md");
    let mut run = command("-d 2500ms -c 8");
    run.arg("--report").arg(&report);
    let ran = run_command(run);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let text = directory.read("a run.md");
    let plots: Vec<String> =
        directory.names().into_iter().filter(|name| name.ends_with(".svg")).collect();
    for name in ["a run.latency.svg", "a run.rate.svg", "a run.connections.svg", "a run.cpu.svg"] {
        assert!(plots.iter().any(|plot| plot == name), "{name}: {plots:?}");
        assert!(text.contains(&format!("({})", name.replace(' ', "%20"))), "{text}");
        assert!(directory.read(name).starts_with("<svg"), "{name}");
    }
}

#[test]
fn what_is_not_ours_is_named_and_writes_nothing() {
    let directory = Directory::new("foreign");
    directory.run("good.json", "-n 100 -c 2");
    let good = directory.read("good.json");
    fs::write(directory.join("half.json"), &good[..good.len() / 2]).unwrap();
    fs::write(directory.join("wrk.json"), "Requests/sec: 12").unwrap();
    fs::write(directory.join("new.json"), good.replace("ringshot.run/1", "ringshot.run/9"))
        .unwrap();
    fs::write(directory.join("old.md"), "an older report").unwrap();
    let before = directory.names();
    for (name, reason) in [
        ("half.json", "ends in the middle"),
        ("wrk.json", "is not a JSON document"),
        ("new.json", "has the schema \"ringshot.run/9\""),
        ("none.json", "cannot be read"),
    ] {
        // Also when it comes after one that is whole.
        for files in [vec![name], vec!["good.json", name]] {
            let files: Vec<String> = files.iter().map(|file| directory.path(file)).collect();
            let out = directory.path("old.md");
            let ran = ringshot(&format!("report {} -o {out}", files.join(" ")));
            assert_eq!(ran.code, Some(1), "{name}: {}", ran.stderr);
            assert!(ran.stderr.contains(&directory.path(name)), "{}", ran.stderr);
            assert!(ran.stderr.contains(reason), "{name}: {}", ran.stderr);
            assert!(ran.stdout.is_empty(), "{}", ran.stdout);
        }
    }
    assert_eq!(directory.names(), before);
    assert_eq!(directory.read("old.md"), "an older report");
}

#[test]
fn runs_stand_beside_each_other() {
    let directory = Directory::new("beside");
    // Answers that wait make rates that hardly depend on what else this machine does.
    let server = server();
    let url = format!("http://{}/delay/10", server.addr());
    for name in ["slow-1.json", "slow-2.json"] {
        directory.run(name, &format!("-d 1s -c 2 -k {url}"));
    }
    for name in ["fast-1.json", "fast-2.json"] {
        directory.run(name, &format!("-d 1s -c 32 -k {url}"));
    }
    let files = ["slow-1", "slow-2", "fast-1", "fast-2"].map(|name| directory.path(name) + ".json");
    let ran = ringshot(&format!("report {}", files.join(" ")));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // Sixteen times as many connections are faster beyond any spread.
    let row = ran.stdout.lines().find(|line| line.starts_with("| requests/s")).expect("a row");
    assert!(row.trim_end_matches([' ', '|']).ends_with("%**"), "{row}");
    assert!(ran.stdout.contains("- connections: 2, 32"), "{}", ran.stdout);

    let ran = ringshot(&format!("report {} {}", files[0], files[1]));
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    assert!(ran.stderr.contains("all files are runs of one thing"), "{}", ran.stderr);
}

#[test]
fn results_of_several_boxes_become_one() {
    let directory = Directory::new("merge");
    // One server for all: two of their own would not be one test.
    let server = server();
    let flags = format!("-n 500 -c 4 http://{}/", server.addr());
    let [one, other] = ["one.json", "other.json"].map(|name| directory.run(name, &flags));
    let [a, b] = ["one.json", "other.json"].map(|name| directory.path(name));
    let (json, md) = (directory.path("both.json"), directory.path("both.md"));
    let ran = ringshot(&format!("report --merge {a} {b} --json {json} -o {md}"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let merged = directory.document("both.json");
    assert_consistent(&merged);
    assert_eq!(merged["requests"]["ok"], 1000);
    assert_eq!(merged["latency"]["total"]["count"], 1000);
    let max = |document: &Value| document["latency"]["total"]["max_us"].as_u64().unwrap();
    assert_eq!(max(&merged), max(&one).max(max(&other)));
    let text = directory.read("both.md");
    assert!(text.contains("## Merged from"), "{text}");
    let missing = unexplained(&text, &merged);
    assert!(missing.is_empty(), "{missing:?} are not in the document of\n{text}");
    // A merged document is one of ours.
    assert_eq!(ringshot(&format!("report {json}")).code, Some(0));

    let ran = ringshot(&format!("report --merge {a} {a}"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("are the same result"), "{}", ran.stderr);

    directory.run("bundled.json", "-n 500 -c 4");
    for (file, says) in
        [("both.json", "is a merged result itself"), ("bundled.json", "is of the bundled server")]
    {
        let ran = ringshot(&format!("report --merge {a} {}", directory.path(file)));
        assert_eq!(ran.code, Some(1), "{file}: {}", ran.stdout);
        assert!(ran.stderr.contains(says), "{file}: {}", ran.stderr);
    }
}

#[test]
fn percentiles_and_seconds_are_written_for_other_tools() {
    let directory = Directory::new("files");
    let (hgrm, csv) = (directory.path("run.hgrm"), directory.path("run.csv"));
    let document = directory.run("run.json", &format!("-d 1200ms -c 4 --hdr {hgrm} --csv {csv}"));
    let table = directory.read("run.hgrm");
    let count = document["latency"]["total"]["count"].as_u64().unwrap();
    assert!(table.contains(&format!("Total count    = {count:12}]")), "{table}");
    let rows = directory.read("run.csv");
    assert_eq!(rows.lines().count(), 1 + document["series"].as_array().unwrap().len());
    let ok: u64 = rows
        .lines()
        .skip(1)
        .map(|row| row.split(',').nth(2).unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(ok, document["requests"]["ok"].as_u64().unwrap());
    // And from the document later.
    let again = directory.path("again.hgrm");
    let ran = ringshot(&format!("report {} --hdr {again}", directory.path("run.json")));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(directory.read("again.hgrm"), table);
}

#[test]
fn the_report_of_an_hour_is_small() {
    let directory = Directory::new("hour");
    let mut document = directory.run("run.json", "-d 1200ms -c 4");
    let row = document["series"][0].clone();
    let rows = (1..=3600u64).map(|t_s| {
        let mut row = row.clone();
        row["t_s"] = t_s.into();
        // Nothing that a plot could draw as one straight line.
        for (key, step) in [("ok", 7919), ("connections", 104_729), ("p50_us", 31), ("p99_us", 997)]
        {
            row[key] = (1 + t_s * step % 20_011).into();
        }
        row
    });
    document["series"] = rows.collect::<Vec<_>>().into();
    fs::write(directory.join("hour.json"), document.to_string()).unwrap();
    let ran = ringshot(&format!(
        "report {} -o {}",
        directory.path("hour.json"),
        directory.path("hour.md")
    ));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let size = |name: &String| fs::metadata(directory.join(name)).unwrap().len();
    let written = directory.names().into_iter().filter(|name| !name.ends_with(".json"));
    let bytes: u64 = written.map(|name| size(&name)).sum();
    assert!((10_000..1_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn outputs_that_make_no_sense_are_refused() {
    let directory = Directory::new("usage");
    directory.run("run.json", "-n 10 -c 1");
    let json = directory.path("run.json");
    for (arguments, code, says) in [
        ("-d 1s --report -".to_owned(), 2, "--report -: give a file name"),
        ("-d 1s --json /tmp/x --csv /tmp/x".to_owned(), 2, "--json already writes there"),
        ("doctor --report x.md".to_owned(), 2, "--report: `ringshot doctor` writes only --json"),
        ("-d 1s --report /nowhere/x.md".to_owned(), 1, "there is no directory /nowhere"),
        ("report".to_owned(), 2, "FILE.json"),
        (format!("report {json} -o {json}"), 2, "that is one of the input files"),
        (format!("report {json} --json {json}"), 2, "that is one of the input files"),
        (format!("report --merge {json}"), 2, "--merge: give the results of at least two"),
        ("man nonsense".to_owned(), 2, "there is no such command"),
        ("completions tcsh".to_owned(), 2, "tcsh"),
    ] {
        let ran = ringshot(&arguments);
        assert_eq!(ran.code, Some(code), "{arguments}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{arguments}: {}", ran.stdout);
    }
    assert!(!Path::new("x.md").exists());
}
