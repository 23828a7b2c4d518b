//! What a load is, in words and in what it differs.

use super::*;
use std::collections::BTreeSet;

fn load() -> Description {
    let one = Some(1);
    Description {
        requests_per_connection: one,
        pipeline: 1,
        close: "server".into(),
        ..Default::default()
    }
}

#[test]
fn every_option_has_an_entry() {
    let value = serde_json::to_value(load()).unwrap();
    let fields: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let keys: BTreeSet<&str> = OPTIONS.iter().map(|option| option.key).collect();
    assert_eq!(fields, keys);
    assert_eq!(keys.len(), OPTIONS.len());
}

#[test]
fn a_part_is_read_as_it_was_written() {
    let whole =
        Description { seed: Some(7), think_s: Some([0.1, 1.0]), method: "PUT".into(), ..load() };
    let part = whole.without("seed think_s");
    assert_eq!(part, Description { method: "PUT".into(), ..load() });
    let text = part::serialize(&part, "seed think_s", serde_json::value::Serializer).unwrap();
    assert!(text.get("seed").is_none() && text["method"] == "PUT", "{text}");
    let read = |text: &serde_json::Value| part::deserialize("seed think_s", text);
    assert_eq!(read(&text).unwrap(), part);
    let error = read(&serde_json::json!({ "connections": 1 })).unwrap_err().to_string();
    assert!(error.contains("missing field"), "{error}");
}

#[test]
fn a_request_has_a_body_and_a_socket_where_there_are_some() {
    let plain = Description { method: "GET".into(), ..load() };
    assert_eq!(plain.request(&plain.target(Some("http://a/"))), "GET http://a/");
    assert_eq!(plain.request(&plain.target(None)), "GET the bundled server");
    let unix_socket = Some("/run/app.sock".into());
    let all = Description { method: "POST".into(), body_bytes: 1_590, unix_socket, ..load() };
    assert_eq!(
        all.request(&all.target(Some("http://a/"))),
        "POST http://a/ at unix:/run/app.sock with 1.59 kB of body"
    );
}

#[test]
fn machines_of_one_test_share_the_rate_and_not_the_pause() {
    let rate = |per_s| {
        let stage = StageSummary { duration_s: Some(10.0), from_per_s: per_s, to_per_s: per_s };
        Description { rate: Some(per_s), stages: vec![stage], connect_rate: Some(per_s), ..load() }
    };
    assert_eq!(rate(1.0).test_difference(&rate(2.0)), None);
    let differs = |one: &Description, other: &Description| {
        let [one, other] = [one, other].map(|load| serde_json::to_value(load).unwrap());
        difference(&one, &other).map(|(name, one, other)| format!("{name}: {one}, {other}"))
    };
    assert_eq!(differs(&rate(1.0), &rate(2.0)).unwrap(), "rate of new connections: 1, 2");
    let stages = |per_s| Description { stages: rate(per_s).stages, ..load() };
    let [one, other] =
        [1.0, 2.0].map(|per_s| format!("[duration 10 s from {per_s}/s to {per_s}/s]"));
    assert_eq!(differs(&stages(1.0), &stages(2.0)).unwrap(), format!("stages: {one}, {other}"));
    let seeded = Description { seed: Some(7), ..load() };
    assert_eq!(differs(&seeded, &load()), None);
    // A difference is none of rounding.
    let [one, other] = [10.001, 10.004].map(|timeout_s| Description { timeout_s, ..load() });
    let (name, one, other) = one.test_difference(&other).unwrap();
    assert_eq!((name.as_str(), one.as_str(), other.as_str()), ("timeout", "10.001 s", "10.004 s"));
}

#[test]
fn the_mode_is_said_in_words() {
    let mode = |requests_per_connection, pipeline, close: &'static str| {
        let close = close.into();
        Description { requests_per_connection, pipeline, close, ..load() }.words(Place::Connections)
    };
    for (said, words) in [
        (mode(Some(1), 1, "server"), "a new one for every request, the server closes"),
        (mode(Some(1), 1, "client"), "a new one for every request, the client closes"),
        (mode(Some(1), 1, "rst"), "a new one for every request, closed with a reset"),
        (mode(None, 1, "server"), "keep-alive"),
        (mode(None, 16, "server"), "keep-alive, 16 pipelined"),
        (mode(Some(100), 1, "client"), "100 requests per connection, the client closes"),
        (
            mode(Some(100), 4, "rst"),
            "100 requests per connection, 4 pipelined, closed with a reset",
        ),
    ] {
        assert_eq!(said[1..].join(", "), words);
    }
}

#[test]
fn the_load_model_is_said_in_words() {
    let plan = load();
    let load_model = |load: &Description| load.words(Place::Model);
    assert_eq!(load_model(&plan), [""; 0]);
    let stage =
        |s: f64, from_per_s, to_per_s| StageSummary { duration_s: Some(s), from_per_s, to_per_s };
    let constant = Description {
        rate: Some(1000.0),
        arrivals: Some("constant".into()),
        connect_rate: Some(50.0),
        ..plan.clone()
    };
    assert_eq!(load_model(&constant), ["open loop at 1,000/s", "at most 50.0/s are opened"]);
    let stages = Description {
        stages: vec![stage(10.0, 1000.0, 1000.0), stage(30.0, 1000.0, 20_000.0)],
        arrivals: Some("poisson".into()),
        seed: Some(7),
        ..plan.clone()
    };
    assert_eq!(
        load_model(&stages).join(", "),
        "open loop: 10 s at 1,000/s, then 30 s from 1,000/s to 20,000/s, Poisson arrivals, \
         seed 7"
    );
    let thinking = Description { think_s: Some([0.1, 1.0]), ramp_connections_s: 10.0, ..plan };
    assert_eq!(
        load_model(&thinking),
        ["connections begin over 10 s", "100 ms to 1 s between requests"]
    );
}

#[test]
fn threads_are_named_with_their_cpus() {
    assert_eq!(threads(1, &[1]), "1 thread on CPU 1");
    assert_eq!(threads(2, &[1, 1]), "2 threads on CPU 1");
    assert_eq!(threads(3, &[0, 2, 3]), "3 threads on CPUs 0,2,3");
    assert_eq!(threads(2, &[]), "2 threads, not pinned");
}

#[test]
fn limits_and_the_time_it_took() {
    let mut load = Description { duration_s: Some(10.0), ..load() };
    assert_eq!(load.limits(10.000_4), "for 10 s");
    load.requests = Some(1_000_000);
    assert_eq!(load.limits(8.321), "for 1,000,000 requests or 10 s (8.32 s)");
    load.duration_s = None;
    assert_eq!(load.limits(8.321), "for 1,000,000 requests (8.32 s)");
    load.requests = None;
    assert_eq!(load.limits(8.321), "for 8.32 s");
}
