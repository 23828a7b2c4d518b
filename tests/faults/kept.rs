//! Kept connections that end with answers owed: what the server had is lost, what it had not goes to
//! a new connection, and nothing is processed twice.

use super::number;
use super::support::hostile::ANSWER;
use super::support::netns::isolated;
use super::support::peers::{Listen, Peer};
use super::support::{
    all_findings, assert_consistent, assert_finding, command, errors, eventually, on_every_engine,
    ringshot,
};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";

/// What a server has done, over all its connections.
#[derive(Default)]
struct Book {
    processed: AtomicUsize,
    dropped: AtomicUsize,
}

/// Reads one request, with its body; whether there was one.
fn request(reader: &mut impl BufRead) -> io::Result<bool> {
    let (mut line, mut body_bytes) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        if let Some(length) = line.to_lowercase().strip_prefix("content-length:") {
            body_bytes = length.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            reader.read_exact(&mut vec![0; body_bytes])?;
            return Ok(true);
        }
    }
}

/// Processes all it reads, and of every tenth one it closes without an answer.
fn drops_every_tenth(book: Arc<Book>) -> impl Fn(TcpStream) -> io::Result<()> {
    move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        while request(&mut reader)? {
            if book.processed.fetch_add(1, Relaxed) % 10 == 9 {
                book.dropped.fetch_add(1, Relaxed);
                break;
            }
            stream.write_all(ANSWER)?;
        }
        // Also while a neighbour that starts a program holds a copy of the socket.
        stream.shutdown(Shutdown::Both)
    }
}

/// Announces the end of each connection in its tenth answer, and reads what follows to throw it away.
fn ends_with_the_tenth(book: Arc<Book>) -> impl Fn(TcpStream) -> io::Result<()> {
    move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        for answered in 1..=10 {
            if !request(&mut reader)? {
                return Ok(());
            }
            book.processed.fetch_add(1, Relaxed);
            stream.write_all(if answered == 10 { LAST } else { ANSWER })?;
        }
        stream.shutdown(Shutdown::Write)?;
        while reader.read(&mut [0; 4096])? > 0 {}
        Ok(())
    }
}

fn start<H>(habit: impl FnOnce(Arc<Book>) -> H) -> (Peer, Arc<Book>)
where
    H: Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
{
    let book = Arc::new(Book::default());
    (Peer::start(Listen::default(), habit(book.clone())), book)
}

#[test]
fn a_request_that_the_server_read_and_dropped_is_a_failure_and_comes_once() {
    on_every_engine(|engine| {
        for flags in ["-k", "-k -m POST -b hello", "-r 50", "-p 4", "-p 4 -m POST -b hello"] {
            let (peer, book) = start(drops_every_tenth);
            let flags = format!("-t 1 -c 8 -n 1000 {flags} --slo errors<2% {engine}");
            let ran = ringshot(&format!("{} {flags} --json -", peer.url()));
            assert_eq!(ran.code, Some(3), "{flags}: {}", ran.stderr);
            let document = ran.document();
            assert_consistent(&document);
            let (processed, dropped) = (book.processed.load(Relaxed), book.dropped.load(Relaxed));
            let count = |key: &str| number(&document, &format!("/requests/{key}")) as usize;
            assert_eq!(count("started"), 1000, "{flags}");
            assert_eq!(count("ok"), processed - dropped, "{flags}: each was processed once");
            let errors = errors(&document);
            assert_eq!(errors, [("response/eof".to_owned(), count("failed") as u64)], "{flags}");
            if !flags.contains("-p 4") {
                assert_eq!((count("failed"), count("resent")), (dropped, 0), "{flags}");
                assert_eq!(processed, 1000, "{flags}");
            }
            // All of what was in the pipeline had come, and the server might have read it.
            assert!(processed <= 1000 + count("resent"), "{flags}");
            assert_finding(&document, "server_drops_requests", &["without an answer"]);
        }
    });
}

#[test]
fn what_is_behind_an_announced_end_is_processed_once_on_another_connection() {
    on_every_engine(|engine| {
        for flags in ["", "-m POST -b hello", "-R 4000", "--close client", "-r 30"] {
            let (peer, book) = start(ends_with_the_tenth);
            let flags = format!("-t 1 -c 4 -p 4 -n 600 {flags} {engine}");
            let ran = ringshot(&format!("{} {flags} --json -", peer.url()));
            assert_eq!(ran.code, Some(0), "{flags}: {}", ran.stderr);
            let document = ran.sane_document();
            assert_eq!(errors(&document), [], "{flags}");
            assert_eq!(number(&document, "/requests/ok"), 600, "{flags}");
            assert_eq!(book.processed.load(Relaxed), 600, "{flags}: each once");
            if !flags.contains("-R") {
                // In an open loop there may never be more than one at a time.
                assert!(number(&document, "/requests/resent") > 0, "{flags}");
                assert_finding(&document, "pipelines_cut_short", &["after 10 responses"]);
                assert!(cure(&document, "pipelines_cut_short").starts_with("-r 10;"), "{flags}");
            }
            assert!(!all_findings(&document).contains(&"server_closes_early".to_owned()));
        }
        // What the cure promises.
        let (peer, _) = start(ends_with_the_tenth);
        let plan = format!("-t 1 -c 4 -p 4 -r 10 -n 600 {engine}");
        let document = ringshot(&format!("{} {plan} --json -", peer.url())).sane_document();
        assert_eq!(number(&document, "/requests/resent"), 0);
        assert!(!all_findings(&document).contains(&"pipelines_cut_short".to_owned()));
    });
}

fn cure<'a>(document: &'a Value, id: &str) -> &'a str {
    let all = document.pointer("/kernel/findings").and_then(Value::as_array).expect("findings");
    let found = all.iter().find(|finding| finding["id"] == id).expect("a finding");
    found["cure"].as_str().expect("a cure")
}

/// nginx in a directory of its own, until it is dropped.
struct Nginx {
    child: Child,
    _home: tempfile::TempDir,
}

impl Nginx {
    fn start(listen: SocketAddr, keepalive_requests: u32) -> Nginx {
        let home = tempfile::tempdir().expect("a directory");
        let at = home.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {at}/{what};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}server {{\nlisten {listen};\n\
             keepalive_requests {keepalive_requests};\n\
             location / {{ return 200 \"hello\\n\"; }}\n}}\n}}\n"
        );
        let file = home.path().join("nginx.conf");
        std::fs::write(&file, config).expect("written");
        let mut nginx = Command::new("nginx");
        nginx.arg("-e").arg(home.path().join("log")).arg("-c").arg(file);
        let child = nginx.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("nginx");
        eventually("nginx listens", || TcpStream::connect(listen).is_ok());
        Nginx { child, _home: home }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server as many have it, which ends connections in the middle of pipelines.
#[test]
fn pipelining_against_nginx_fails_nothing() {
    on_every_engine(|engine| {
        isolated(&["nginx"], |_| {
            let listen: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
            for limit in [100, 1000] {
                let _nginx = Nginx::start(listen, limit);
                let plan = format!("http://{listen}/ -t 1 -c 4 -p 16 -n 8000 {engine} --json -");
                let output = command(&plan).output().expect("ringshot");
                let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
                assert_eq!(errors(&document), [], "{limit}");
                assert_eq!(number(&document, "/requests/ok"), 8000, "{limit}");
                assert!(number(&document, "/requests/resent") > 0, "{limit}");
                let cure = cure(&document, "pipelines_cut_short");
                assert!(cure.starts_with(&format!("-r {limit};")), "{cure}");
            }
        });
    });
}
