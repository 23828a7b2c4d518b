//! A server on a unix socket, which counts; it goes away when it is dropped.

use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// What the server does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// How many connections may wait to be accepted, and one more; 1024 when 0.
    pub backlog: i32,
    /// Accepts nobody.
    pub deaf: bool,
    /// Closes after so many answers without having said so; never when 0.
    pub closes_after: u64,
    /// Reads so many requests of a connection and then closes instead of answering; never when 0.
    pub drops_after: u64,
    /// Removes its file before it answers the request of this number, of all; never when 0.
    pub vanishes_at: u64,
    /// The size of an answer's body; 5 when 0.
    pub body_bytes: usize,
}

/// The server.
pub struct UnixPeer {
    pub path: PathBuf,
    seen: Arc<Seen>,
    listener: Socket,
    thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    requests: AtomicU64,
    body_bytes: AtomicU64,
    ended: AtomicBool,
}

impl UnixPeer {
    pub fn start(habits: Habits) -> UnixPeer {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.sock");
        UnixPeer::at(SockAddr::unix(&path).expect("a short path"), path, directory, habits)
    }

    /// Without a file; the path is the name.
    pub fn start_abstract(habits: Habits) -> UnixPeer {
        let directory = tempfile::tempdir().expect("a directory");
        // As unlike any other as the directory is.
        let name = directory.path().file_name().expect("a name").to_owned();
        let address = SockAddr::unix(format!("\0{}", name.display())).expect("a short name");
        UnixPeer::at(address, name.into(), directory, habits)
    }

    fn at(
        address: SockAddr,
        path: PathBuf,
        directory: tempfile::TempDir,
        habits: Habits,
    ) -> UnixPeer {
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        listener.bind(&address).expect("bound");
        let backlog = if habits.backlog == 0 && !habits.deaf { 1024 } else { habits.backlog };
        listener.listen(backlog).expect("listens");
        let seen = Arc::new(Seen::default());
        let thread = (!habits.deaf).then(|| {
            let accepting: UnixListener =
                std::os::fd::OwnedFd::from(listener.try_clone().expect("a copy")).into();
            let (seen, path) = (seen.clone(), path.clone());
            std::thread::spawn(move || accept(&accepting, &path, &seen, habits))
        });
        UnixPeer { path, seen, listener, thread, _directory: directory }
    }

    /// The flag for it and a URL.
    pub fn target(&self) -> String {
        format!("--unix-socket {} http://localhost/", self.path.display())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Of all bodies that came.
    pub fn body_bytes(&self) -> u64 {
        self.seen.body_bytes.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::SeqCst)
    }
}

fn accept(listener: &UnixListener, path: &Path, seen: &Arc<Seen>, habits: Habits) {
    // Accepting fails when `drop` has shut the listener down.
    while let Ok((stream, _)) = listener.accept() {
        if seen.ended.load(Ordering::SeqCst) {
            return;
        }
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let (seen, path) = (seen.clone(), path.to_owned());
        // An error here is the other end's business.
        std::thread::spawn(move || drop(serve(stream, &path, &seen, habits)));
    }
}

fn serve(stream: UnixStream, path: &Path, seen: &Seen, habits: Habits) -> io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    let body = "x".repeat(if habits.body_bytes == 0 { 5 } else { habits.body_bytes });
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (mut line, mut closes, mut count, mut sent_bytes) = (String::new(), false, 0, 0);
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let head = line.to_ascii_lowercase();
        closes |= head == "connection: close\r\n";
        if let Some(length) = head.strip_prefix("content-length: ") {
            sent_bytes = length.trim().parse().expect("a number");
        }
        if line != "\r\n" {
            continue;
        }
        let mut sent = io::Read::take(&mut lines, std::mem::take(&mut sent_bytes));
        let read = io::copy(&mut sent, &mut io::sink())?;
        seen.body_bytes.fetch_add(read, Ordering::SeqCst);
        count += 1;
        if seen.requests.fetch_add(1, Ordering::SeqCst) + 1 == habits.vanishes_at {
            std::fs::remove_file(path)?;
        }
        if count == habits.drops_after {
            return Ok(());
        }
        answers.write_all(answer.as_bytes())?;
        if closes || count == habits.closes_after {
            return Ok(());
        }
    }
}

impl Drop for UnixPeer {
    fn drop(&mut self) {
        self.seen.ended.store(true, Ordering::SeqCst);
        let _ = self.listener.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
