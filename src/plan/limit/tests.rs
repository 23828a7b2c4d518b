//! Tests of the forms of limits.

use super::*;
use crate::statistics::latency_histogram;
use proptest::prelude::*;

#[test]
fn limits_have_a_canonical_form() {
    for (text, canonical) in [
        ("p99<5ms", "total.p99<5ms"),
        ("total.p99<5ms", "total.p99<5ms"),
        ("service p99<5ms", "service.p99<5ms"),
        ("service:p99<5ms", "service.p99<5ms"),
        ("  service . p99.9  <=  20 ms ", "service.p99.9<=20ms"),
        ("connect.p50<300us", "connect.p50<300us"),
        ("first_byte.mean<1.5s", "first_byte.mean<1.5s"),
        ("uncorrected.p99.99<0.25s", "uncorrected.p99.99<250ms"),
        ("min>0us", "total.min>0us"),
        ("max<=1m", "total.max<=60s"),
        ("max<60m", "total.max<3600s"),
        ("p0.1<1500µs", "total.p0.1<1.5ms"),
        ("p50<1500μs", "total.p50<1.5ms"),
        ("p50<1500ns", "total.p50<1.5us"),
        ("p50<0.3ms", "total.p50<300us"),
        ("p50<0.5us", "total.p50<500ns"),
        ("p50<0.5ns", "total.p50<0.0005us"),
        ("p99.90<1.10ms", "total.p99.9<1.1ms"),
        ("mean>=4.35ms", "total.mean>=4.35ms"),
        ("errors<0.1%", "errors<0.1%"),
        ("errors < 0.001", "errors<0.1%"),
        ("errors<=0", "errors<=0%"),
        ("errors<100 %", "errors<100%"),
        ("errors<0.07%", "errors<0.07%"),
        ("rate>20000", "rate>20000"),
        ("rate>=20k", "rate>=20000"),
        ("rate>1.5M", "rate>1500000"),
        ("rate<100", "rate<100"),
        ("rate > 0.5", "rate>0.5"),
        ("connections>10k", "connections>10000"),
        ("connections >= 1.2 K", "connections>=1200"),
    ] {
        let limit = Limit::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(limit.to_string(), canonical, "{text:?}");
    }
}

#[test]
fn what_is_refused_is_told_the_form_and_an_example() {
    for (text, part) in [
        ("", "rate>20000"),
        ("p99", "p99<5ms"),
        ("p99=5ms", "p99<5ms"),
        ("5ms>p99", "p99<5ms"),
        ("p99=<5ms", "p99<5ms"),
        ("latency<5ms", "p99<5ms"),
        ("total<5ms", "p99<5ms"),
        ("totalp99<5ms", "p99<5ms"),
        ("P99<5ms", "p99<5ms"),
        ("errors.p99<5ms", "p99<5ms"),
        ("p<5ms", "p99<5ms"),
        ("p0<5ms", "above 0 and below 100"),
        ("p100<5ms", "above 0 and below 100"),
        ("p99.99999999999999999999<5ms", "above 0 and below 100"),
        ("service.p101<5ms", "above 0 and below 100"),
        ("service.median<5ms", "above 0 and below 100"),
        ("service.p-1<5ms", "above 0 and below 100"),
        ("service.p9 9<5ms", "above 0 and below 100"),
        ("p99<5", "needs a unit"),
        ("p99<", "length of time"),
        ("p99<ms", "length of time"),
        ("p99< =5ms", "length of time"),
        ("p99<<5ms", "length of time"),
        ("p99<-5ms", "length of time"),
        ("p99<5e3us", "length of time"),
        ("p99<5.5.5ms", "length of time"),
        ("p99<5h", "length of time"),
        ("p99<5ms<6ms", "length of time"),
        ("p99<61m", "up to an hour"),
        ("errors<10", "share"),
        ("errors<1", "share"),
        ("errors<101%", "share"),
        ("errors<-1%", "share"),
        ("errors<5ms", "share"),
        ("errors<", "share"),
        ("rate>fast", "per second"),
        ("rate>5ms", "per second"),
        ("rate>inf", "per second"),
        ("rate>20,000", "per second"),
        ("connections>", "per second"),
    ] {
        let error = Limit::parse(text).expect_err(text);
        assert!(error.contains(part), "{text:?}: {error}");
        assert!(error.contains(['<', '>']), "{text:?} without an example: {error}");
    }
    let endless = format!("rate>1{}", "0".repeat(400));
    assert!(Limit::parse(&endless).is_err_and(|error| error.contains("per second")));
}

#[test]
fn a_limit_ends_where_the_histograms_end() {
    let us_max = latency_histogram().high();
    assert!(Limit::parse(&format!("max<{us_max}us")).is_ok());
    assert!(Limit::parse(&format!("max<{}us", us_max + 1)).is_err());
}

fn limits() -> impl Strategy<Value = Limit> {
    use LatencyName::*;
    let latency = prop::sample::select(vec![Total, Service, Connect, FirstByte, Uncorrected]);
    let statistic = prop_oneof![
        Just(Statistic::Min),
        Just(Statistic::Mean),
        Just(Statistic::Max),
        (1e-9..100.0).prop_map(Statistic::Percentile),
        (1u32..10_000).prop_map(|hundredths| Statistic::Percentile(f64::from(hundredths) / 100.0)),
    ];
    let latency_us = prop_oneof![0.0..3.6e9, (0u32..3_600_000).prop_map(f64::from)];
    let quantity_and_bound = prop_oneof![
        (latency, statistic, latency_us)
            .prop_map(|(latency, statistic, us)| (Quantity::Latency(latency, statistic), us)),
        (0.0..=1.0).prop_map(|ratio| (Quantity::Errors, ratio)),
        (0.0..1e9).prop_map(|per_s| (Quantity::Rate, per_s)),
        (0u32..).prop_map(|per_s| (Quantity::Connections, f64::from(per_s))),
    ];
    let relation = prop::sample::select(vec![
        Relation::Below,
        Relation::AtMost,
        Relation::Above,
        Relation::AtLeast,
    ]);
    (quantity_and_bound, relation).prop_map(|((quantity, bound), relation)| Limit {
        quantity,
        relation,
        bound,
    })
}

proptest! {
    #[test]
    fn a_limit_survives_being_written(limit in limits()) {
        prop_assert_eq!(Limit::parse(&limit.to_string()), Ok(limit));
    }

    #[test]
    fn what_was_typed_comes_back_in_as_few_digits(
        thousandths in 1u32..1_000_000, unit in prop::sample::select(vec!["us", "ms", "s"]),
    ) {
        let text = format!("p99<{}{unit}", f64::from(thousandths) / 1000.0);
        let limit = Limit::parse(&text).unwrap();
        prop_assert!(limit.to_string().len() <= text.len() + "total.".len() + 2, "{}", limit);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>(), tail in "[p<>=.:% 0-9kms]{0,12}") {
        let _ = text::limit(&text);
        let _ = text::limit(&format!("p99{tail}"));
        let _ = text::limit(&format!("errors{tail}"));
    }
}

#[test]
fn only_limits_of_uncorrected_need_a_paced_run() {
    let is_of_uncorrected = |text: &str| Limit::parse(text).unwrap().is_of_uncorrected();
    assert!(is_of_uncorrected("uncorrected.p99<5ms"));
    assert!(!is_of_uncorrected("p99<5ms") && !is_of_uncorrected("rate>1"));
}

#[test]
fn some_limits_ask_for_load() {
    for (limit, asks) in
        [("rate>5", true), ("connections>=5", true), ("rate<5", false), ("p99>5ms", false)]
    {
        assert_eq!(Limit::parse(limit).unwrap().asks_for_load(), asks, "{limit}");
    }
}
