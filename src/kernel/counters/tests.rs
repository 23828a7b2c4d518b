//! Samples of real files, cut down, cut off and spoilt.

use super::*;
use proptest::prelude::*;

const SNMP: &str = "\
Ip: Forwarding DefaultTTL InReceives
Ip: 2 64 73473668
IcmpMsg: InType3
IcmpMsg: 2
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets \
CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 6717268 6368983 347580 3918060 0 73485469 73437140 48422 0 2347989 0
";

const NETSTAT: &str = "\
TcpExt: SyncookiesSent TW ListenOverflows ListenDrops TCPSynRetrans
TcpExt: 6459 4411485 6446 6446 35277
IpExt: InNoRoutes InOctets OutOctets
IpExt: 0 18269609737 18183168892
";

const SNMP6: &str = "\
Ip6InReceives                   \t12076
Ip6InOctets                     \t981221
";

const SOCKSTAT: &str = "\
sockets: used 12
TCP: inuse 5 orphan 1 tw 25042 alloc 9 mem 67
UDP: inuse 0 mem 0
FRAG: inuse 0 memory 0
";

const SOCKSTAT6: &str = "\
TCP6: inuse 3
UDP6: inuse 0
";

const SOFTNET: &str = "\
0186d4e4 00000001 0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
02da78e3 00000002 00000010 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
";

const CONNTRACK: &str = "\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop \
early_drop icmp_error  expect_new expect_create expect_delete search_restart
00000100  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000000a \
00000001 00000002 00000000  00000000 00000000 00000000 00000000
00000100  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000006 \
00000001 00000000 00000000  00000000 00000000 00000000 00000000
";

fn sample(path: &str) -> Option<String> {
    let text = match path {
        "/proc/thread-self/net/snmp" => SNMP,
        "/proc/thread-self/net/netstat" => NETSTAT,
        "/proc/thread-self/net/snmp6" => SNMP6,
        "/proc/thread-self/net/sockstat" => SOCKSTAT,
        "/proc/thread-self/net/sockstat6" => SOCKSTAT6,
        "/proc/thread-self/net/softnet_stat" => SOFTNET,
        "/proc/thread-self/net/stat/nf_conntrack" => CONNTRACK,
        "/proc/sys/net/netfilter/nf_conntrack_count" => "17\n",
        "/proc/sys/net/netfilter/nf_conntrack_max" => "262144\n",
        "/proc/sys/fs/file-nr" => "413\t13\t2466180\n",
        _ => panic!("{path} has no sample"),
    };
    Some(text.to_owned())
}

fn counters(parse: fn(&str, &mut BTreeMap<String, u64>), text: &str) -> Vec<(String, u64)> {
    let mut counters = BTreeMap::new();
    parse(text, &mut counters);
    counters.into_iter().collect()
}

fn owned(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn every_file_is_found_and_named_as_nstat_does() {
    let snapshot = Snapshot::from_files(sample);
    for (name, expected) in [
        ("TcpActiveOpens", 6_717_268),
        ("TcpOutRsts", 2_347_989),
        ("TcpExtTW", 4_411_485),
        ("TcpExtListenOverflows", 6_446),
        ("IpExtInOctets", 18_269_609_737),
        ("Ip6InOctets", 981_221),
        ("SoftnetDropped", 3),
        ("SoftnetTimeSqueeze", 26),
        ("ConntrackInsertFailed", 16),
        ("ConntrackDrop", 2),
        ("ConntrackEarlyDrop", 2),
    ] {
        assert_eq!(snapshot.counters.get(name), Some(&expected), "{name}");
    }
    for (name, expected) in [
        ("SockTcpInuse", Some(5)),
        ("SockTcpOrphan", Some(1)),
        ("SockTcpTimeWait", Some(25_042)),
        ("SockTcpAlloc", Some(9)),
        ("SockTcpMemPages", Some(67)),
        ("SockTcp6Inuse", Some(3)),
        ("ConntrackCount", Some(17)),
        ("ConntrackMax", Some(262_144)),
        ("FilesOpen", Some(400)),
        ("FilesMax", Some(2_466_180)),
        ("NoSuchGauge", None),
    ] {
        assert_eq!(snapshot.gauge(name), expected, "{name}");
    }
}

#[test]
fn missing_files_have_no_numbers() {
    let nothing = Snapshot::from_files(|_| None);
    assert_eq!(nothing, Snapshot::default());
    assert_eq!(nothing.since(&nothing), SystemCounters::default());

    let without_conntrack =
        Snapshot::from_files(|path| sample(path).filter(|_| !path.contains("conntrack")));
    assert_eq!(without_conntrack.gauge("ConntrackMax"), None);
    assert!(!without_conntrack.since(&nothing).0.contains_key("ConntrackDrop"));
}

#[test]
fn pairs_of_lines() {
    for (case, text, expected) in [
        ("whole", "Tcp: A B\nTcp: 1 2\n", &[("TcpA", 1), ("TcpB", 2)][..]),
        ("a new column", "Tcp: A New B\nTcp: 1 9 2\n", &[("TcpA", 1), ("TcpB", 2), ("TcpNew", 9)]),
        ("more names than numbers", "Tcp: A B\nTcp: 1", &[("TcpA", 1)]),
        ("more numbers than names", "Tcp: A\nTcp: 1 2", &[("TcpA", 1)]),
        ("the second line is missing", "Tcp: A B\n", &[]),
        ("lines of different groups", "Tcp: A\nUdp: 1\nIp: B\nIp: 2\n", &[("IpB", 2)]),
        ("no count", "Tcp: A B C\nTcp: -1 x 3\n", &[("TcpC", 3)]),
        ("too large", "Tcp: A\nTcp: 18446744073709551616\n", &[]),
        ("garbage", "\u{0}\u{1}::\n::\n", &[]),
        ("empty", "", &[]),
    ] {
        assert_eq!(counters(parse_line_pairs, text), owned(expected), "{case}");
    }
}

#[test]
fn other_forms_of_lines() {
    type Parse = fn(&str, &mut BTreeMap<String, u64>);
    type Case = (Parse, &'static str, &'static [(&'static str, u64)]);
    let cases: &[Case] = &[
        (parse_lines, "Ip6A  \t1\nIp6B\nIp6C x\nIp6D 4 5\n", &[("Ip6A", 1), ("Ip6D", 4)]),
        (parse_softnet, "0 1 2\n", &[("SoftnetDropped", 1), ("SoftnetTimeSqueeze", 2)]),
        (parse_softnet, "0 f\n0 1 zz\n", &[("SoftnetDropped", 16)]),
        (parse_softnet, "\n0\n", &[]),
        (
            parse_softnet,
            "0 ffffffffffffffff 0\n0 1 0\n",
            &[("SoftnetDropped", u64::MAX), ("SoftnetTimeSqueeze", 0)],
        ),
        // Columns moved, one is missing, a line is cut off.
        (
            parse_conntrack,
            "drop x insert_failed\n1 2 a\n1\n",
            &[("ConntrackDrop", 2), ("ConntrackInsertFailed", 10)],
        ),
        (parse_conntrack, "drop early_drop\n", &[]),
    ];
    for (parse, text, expected) in cases {
        assert_eq!(counters(*parse, text), owned(expected), "{text:?}");
    }
}

#[test]
fn fields_of_sockstat() {
    for (text, expected) in [
        (SOCKSTAT, Some(25_042)),
        ("TCP: inuse 1 new 2 tw 3\n", Some(3)),
        ("TCP: inuse 1 tw", None),
        ("TCP: inuse 1 tw x", None),
        ("TCP6: tw 3\n", None),
        ("UDP: tw 3\n", None),
        ("", None),
    ] {
        assert_eq!(sockstat_field(text, "TCP:", "tw"), expected, "{text:?}");
    }
}

#[test]
fn open_files() {
    for (text, expected) in [
        ("413\t0\t9223372036854775807\n", (Some(413), Some(i64::MAX as u64))),
        ("413\t13", (Some(400), None)),
        ("413", (None, None)),
        ("a b 3", (None, Some(3))),
        ("", (None, None)),
    ] {
        assert_eq!(parse_file_nr(text), expected, "{text:?}");
    }
}

#[test]
fn only_growth_is_reported_and_only_what_is_on_the_list() {
    let of = |list: &[(&str, u64)]| Snapshot {
        counters: owned(list).into_iter().collect(),
        ..Snapshot::default()
    };
    let before = of(&[("TcpActiveOpens", 10), ("TcpOutRsts", 5), ("TcpCurrEstab", 1)]);
    let after =
        of(&[("TcpActiveOpens", 17), ("TcpOutRsts", 2), ("TcpCurrEstab", 9), ("ConntrackDrop", 4)]);
    let growth = after.since(&before);
    assert_eq!(
        growth.0.clone().into_iter().collect::<Vec<_>>(),
        owned(&[("ConntrackDrop", 4), ("TcpActiveOpens", 7), ("TcpOutRsts", 0)])
    );
    assert_eq!((growth.get("TcpActiveOpens"), growth.get("TcpExtTW")), (7, 0));
    assert_eq!(
        serde_json::to_string(&growth).unwrap(),
        r#"{"ConntrackDrop":4,"TcpActiveOpens":7,"TcpOutRsts":0}"#
    );
}

#[test]
fn no_counter_is_listed_twice() {
    let unique: std::collections::HashSet<_> = REPORTED.iter().collect();
    assert_eq!(unique.len(), REPORTED.len());
}

#[test]
fn a_connection_over_loopback_is_counted() {
    let before = Snapshot::take();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = listener.accept().unwrap();
    let after = Snapshot::take();
    drop((client, server));

    let growth = after.since(&before);
    assert!(growth.get("TcpActiveOpens") >= 1 && growth.get("TcpPassiveOpens") >= 1, "{growth:?}");
    assert!(growth.get("IpExtInOctets") > 0, "{growth:?}");
    assert!(after.gauge("SockTcpInuse").is_some_and(|sockets| sockets >= 2));
    assert!(after.gauge("FilesOpen") < after.gauge("FilesMax"));
    assert!(time_wait().is_some());
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>()) {
        Snapshot::from_files(|_| Some(text.clone()));
    }

    #[test]
    fn nor_does_text_of_the_right_look(
        text in "((Tcp|TcpExt|TCP): ?)?([a-z_]{1,5}|[0-9a-f]{1,20}|-1|[ \t\n:]){0,40}"
    ) {
        Snapshot::from_files(|_| Some(text.clone()));
    }

    #[test]
    fn nor_does_a_file_that_is_cut_off(bytes in 0usize..400) {
        Snapshot::from_files(|path| sample(path).map(|text| text.chars().take(bytes).collect()));
    }
}
