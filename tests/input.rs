//! What people type arrives as it is, and what servers answer is read as curl reads it; where either
//! cannot be, one line says why.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV6, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use support::netns::{isolated, skip};
use support::peers::{Listen, Peer};
use support::{eventually, measure, on_every_engine, ringshot, run_command, server};

/// A server that hands over the request line and the Host header of what it is asked.
fn listener(address: &'static str) -> (Peer, Receiver<[String; 2]>) {
    let (sender, heads) = mpsc::channel();
    let peer =
        Peer::start(Listen { address, ..Listen::default() }, move |mut stream: TcpStream| {
            let head = head(&mut stream)?;
            let line = |start: &str| {
                let line = head.lines().find(|line| line.starts_with(start)).unwrap_or_default();
                line.to_owned()
            };
            // The test may have enough.
            let _ = sender.send([line("GET "), line("Host: ")]);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        });
    (peer, heads)
}

fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => break,
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn ask(url: &str) -> support::Ran {
    let mut command = support::command("-n 1");
    command.arg(url);
    run_command(command)
}

#[test]
fn the_server_sees_what_was_typed() {
    let (peer, heads) = listener("127.0.0.1:0");
    let port = peer.address.port();
    for (host, target) in [
        ("127.0.0.1", "/p'q?s='t'&x=\"y\""),
        ("http://127.0.0.1", "//a/%2e/../b\\{c}|^`d`<e>"),
        ("localhost", "/go?next=http://a/b"),
        ("http://LOCALHOST", "/?q=%zz&r=ö"),
    ] {
        let ran = ask(&format!("{host}:{port}{target}"));
        assert_eq!(ran.code, Some(0), "{host} {target}: {}", ran.stderr);
        assert!(!ran.stderr.contains("sent as"), "{}", ran.stderr);
        let host = format!("Host: {}:{port}", host.trim_start_matches("http://"));
        assert_eq!(heads.recv().expect("a request"), [format!("GET {target} HTTP/1.1"), host]);
    }
}

#[test]
fn what_the_server_sees_instead_is_said() {
    let (peer, heads) = listener("127.0.0.1:0");
    let port = peer.address.port();
    let typed = format!("http://me:s3cret@127.1:{port}/ä#part");
    let ran = ask(&typed);
    let sent = format!("http://127.0.0.1:{port}/%C3%A4");
    let shown = typed.replace("s3cret", "***");
    let said = format!("ringshot: URL {shown}: sent as {sent}\n");
    assert_eq!(ran.stderr.matches(&said).count(), 1, "{}", ran.stderr);
    let [line, host] = heads.recv().expect("a request");
    assert_eq!(line, "GET /%C3%A4 HTTP/1.1");
    assert_eq!(host, format!("Host: 127.0.0.1:{port}"));
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("s3cret"));
}

#[test]
fn an_address_of_one_link_is_reached_through_its_interface() {
    isolated(&[], |namespace| {
        if !Path::new("/proc/sys/net/ipv6").exists() {
            return skip("there is no IPv6");
        }
        namespace.ip("link add v0 type veth peer name v1");
        namespace.ip("address add fe80::1/64 dev v0 nodad");
        namespace.ip("link set v0 up");
        namespace.ip("link set v1 up");
        let (peer, heads) = listener("[::]:0");
        let port = peer.address.port();
        let number = |name: &str| {
            let link = Command::new("ip").args(["-o", "link", "show", name]).output().expect("ip");
            let link = String::from_utf8_lossy(&link.stdout).into_owned();
            link.split(':').next().and_then(|number| number.parse().ok()).expect("a number")
        };
        let v0: u32 = number("v0");
        let address = SocketAddrV6::new("fe80::1".parse().expect("an address"), port, 0, v0);
        eventually("the address is there", || TcpStream::connect(address).is_ok());
        for zone in ["%25v0".to_owned(), "%v0".to_owned(), format!("%25{v0}")] {
            for flags in ["", "--close client", "--close client --engine epoll"] {
                let url = format!("http://[fe80::1{zone}]:{port}/");
                let document = measure(&format!("-n 2 -c 1 {flags} {url}"));
                assert_eq!(document["requests"]["ok"], 2, "{url} {flags}: {document:#}");
                let target = document["target"]["address"].as_str().expect("an address");
                assert_eq!(target.parse(), Ok(SocketAddr::from(address)), "{url} {flags}");
            }
        }
        while let Ok([line, host]) = heads.try_recv() {
            // The first one only looked whether the server is there.
            let expected = ["GET / HTTP/1.1".into(), format!("Host: [fe80::1]:{port}")];
            assert!(line.is_empty() || [line, host] == expected);
        }
        let ran = ringshot(&format!("http://[fe80::1%25none]:{port}/"));
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.starts_with("ringshot: fe80::1%none: there is no such interface"));
    });
}

#[test]
fn a_refused_head_is_named_by_line_and_rule_wherever_it_is_told() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Ver 7\x1b[2J\r\n\r\nok";
    let peer = Peer::start(Listen::default(), |mut stream: TcpStream| {
        head(&mut stream)?;
        stream.write_all(ANSWER)
    });
    let detail = r#"line 3 of the head, "X-Ver 7\x1b[2J": a header line needs a colon"#;
    on_every_engine(|engine| {
        let report = tempfile::tempdir().expect("a directory");
        let report = report.path().join("run.md");
        let flags = format!("-n 6 -c 2 -t 2 {engine} --json - -o {}", report.display());
        let ran = ringshot(&format!("{flags} {}", peer.url()));
        assert_eq!(ran.code, Some(4), "{}", ran.stderr);
        let errors = &ran.sane_document()["errors"];
        assert_eq!(errors[0]["kind"], "malformed", "{errors:#}");
        assert_eq!((&errors[0]["count"], &errors[0]["detail"]), (&6.into(), &detail.into()));
        let words: Vec<&str> = ran.stderr.split_whitespace().collect();
        assert!(words.join(" ").contains(detail), "{}", ran.stderr);
        assert!(!ran.stderr.contains("right port"), "{}", ran.stderr);
        let report = std::fs::read_to_string(report).expect("a report");
        assert!(report.contains("line 3 of the head"), "{report}");
    });
}

#[test]
fn no_more_is_needed_than_there_are_requests_for() {
    let server = server();
    on_every_engine(|engine| {
        let program = env!("CARGO_BIN_EXE_ringshot");
        let plan = format!("http://{}/ -n 4 -c 100000 --json - {engine}", server.addr());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n 100; exec {program} {plan}")]);
        let ran = run_command(command);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let document = ran.sane_document();
        assert_eq!(
            (&document["plan"]["connections"], &document["requests"]["ok"]),
            (&4.into(), &4.into())
        );
    });
}
