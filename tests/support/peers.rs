//! Small servers with one habit each, that go away when they are dropped.
//!
//! A habit is a function of one connection; every connection has a thread. The accepting thread
//! ends with the [`Peer`], so that a network namespace is not kept by a server that nobody uses.

use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Where and how a [`Peer`] listens.
#[derive(Clone, Debug)]
pub struct Listen {
    pub address: &'static str,
    /// How many connections may wait to be accepted; the kernel admits one more.
    pub backlog: i32,
    /// Nothing is accepted at first, see [`Peer::listen`].
    pub deaf: bool,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen { address: "127.0.0.1:0", backlog: 1024, deaf: false }
    }
}

impl Listen {
    pub fn deaf() -> Listen {
        Listen { deaf: true, ..Listen::default() }
    }
}

/// A server; dropping it ends it.
pub struct Peer {
    pub address: SocketAddr,
    listener: Arc<TcpListener>,
    clients: Arc<Mutex<Vec<SocketAddr>>>,
    deaf: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    pub fn start(
        listen: Listen,
        habit: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Peer {
        let listener = Arc::new(listener(&listen).expect("a listener"));
        let address = listener.local_addr().expect("an address");
        let clients = Arc::new(Mutex::new(Vec::new()));
        let deaf = Arc::new(AtomicBool::new(listen.deaf));
        let (accepting, seen, habit) = (listener.clone(), clients.clone(), Arc::new(habit));
        let is_deaf = deaf.clone();
        let thread = std::thread::spawn(move || {
            while is_deaf.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Accepting fails when `drop` has shut the listener down.
            while let Ok((stream, client)) = accepting.accept() {
                seen.lock().expect("not poisoned").push(client);
                let habit = habit.clone();
                // An error here is the other end's business.
                std::thread::spawn(move || drop(habit(stream)));
            }
        });
        Peer { address, listener, clients, deaf, thread: Some(thread) }
    }

    /// Begins to accept.
    pub fn listen(&self) {
        self.deaf.store(false, Ordering::Relaxed);
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The other ends of all connections so far.
    pub fn clients(&self) -> Vec<SocketAddr> {
        self.clients.lock().expect("not poisoned").clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.listen();
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listener(listen: &Listen) -> io::Result<TcpListener> {
    let address: SocketAddr = listen.address.parse().expect("an address");
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(listen.backlog)?;
    Ok(socket.into())
}

/// Reads one request; `None` at the end of the stream, else whether it asks to close.
fn request(stream: &mut TcpStream) -> io::Result<Option<bool>> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    Ok(Some(head.contains("connection: close")))
}

/// Answers until the client closes or asks to close.
pub fn polite(mut stream: TcpStream) -> io::Result<()> {
    while let Some(close) = request(&mut stream)? {
        stream.write_all(ANSWER)?;
        if close {
            break;
        }
    }
    Ok(())
}

/// Answers late for its first time, as a server does that has to warm up.
pub fn slow_at_first(time: Duration, held: Duration) -> impl Fn(TcpStream) -> io::Result<()> {
    let start = Instant::now();
    move |mut stream| {
        while request(&mut stream)?.is_some() {
            if start.elapsed() < time {
                std::thread::sleep(held);
            }
            stream.write_all(ANSWER)?;
        }
        Ok(())
    }
}

/// Writes head and body apart, so long after each other.
pub fn in_two_pieces(nodelay: bool, between: Duration) -> impl Fn(TcpStream) -> io::Result<()> {
    move |mut stream| {
        stream.set_nodelay(nodelay)?;
        let (head, body) = ANSWER.split_at(ANSWER.len() - 5);
        while request(&mut stream)?.is_some() {
            stream.write_all(head)?;
            std::thread::sleep(between);
            stream.write_all(body)?;
        }
        Ok(())
    }
}

/// How an answer may not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Not a byte of it.
    Silent,
    /// Its head, and no body.
    Stalled,
}

/// Keeps every so manieth request waiting for as long as anybody waits.
pub fn late_every(requests: usize, late: Late) -> impl Fn(TcpStream) -> io::Result<()> {
    let asked = AtomicUsize::new(0);
    move |mut stream| {
        while request(&mut stream)?.is_some() {
            if (asked.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(requests) {
                if late == Late::Stalled {
                    stream.write_all(&ANSWER[..ANSWER.len() - 5])?;
                }
                // Until the client gives up.
                return stream.read(&mut [0; 1]).map(drop);
            }
            stream.write_all(ANSWER)?;
        }
        Ok(())
    }
}

/// Answers so many requests in all, then none for a time.
pub fn pauses_after(requests: usize, pause: Duration) -> impl Fn(TcpStream) -> io::Result<()> {
    let asked = AtomicUsize::new(0);
    let until = OnceLock::new();
    move |mut stream| {
        while request(&mut stream)?.is_some() {
            if asked.fetch_add(1, Ordering::Relaxed) >= requests {
                let until: &Instant = until.get_or_init(|| Instant::now() + pause);
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
            }
            stream.write_all(ANSWER)?;
        }
        Ok(())
    }
}

/// Answers, and leaves closing to the client whatever it asks for.
pub fn never_closes(mut stream: TcpStream) -> io::Result<()> {
    while request(&mut stream)?.is_some() {
        stream.write_all(ANSWER)?;
    }
    Ok(())
}

/// Answers so many requests on a connection, then closes without having said so.
pub fn closes_after(requests: usize) -> impl Fn(TcpStream) -> io::Result<()> {
    move |mut stream| {
        for answered in 1..=requests {
            if request(&mut stream)?.is_none() {
                return Ok(());
            }
            // Held back, so that the answer and the FIN are one packet: no client can close first.
            let flags = if answered == requests { libc::MSG_MORE } else { 0 };
            SockRef::from(&stream).send_with_flags(ANSWER, flags)?;
        }
        stream.shutdown(Shutdown::Write)?;
        while stream.read(&mut [0; 4096])? > 0 {}
        Ok(())
    }
}

/// Reads the request, then resets.
pub fn resets(mut stream: TcpStream) -> io::Result<()> {
    request(&mut stream)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// Closes while the request is there and unread, which the kernel turns into a reset.
pub fn closes_unread(stream: TcpStream) -> io::Result<()> {
    stream.peek(&mut [0]).map(drop)
}

/// Answers as many requests as have come with one write, without a look at them: so cheap that
/// any client of pipelined requests is busier.
pub fn canned(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let count = stream.read(&mut buffer)?;
    // All requests are equal, and the first read ends at the end of one.
    let end = |bytes: &[u8]| bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let request_bytes = end(&buffer[..count]).expect("a request") + 4;
    let answers = ANSWER.repeat(buffer.len() / request_bytes + 1);
    let mut read = count;
    loop {
        let requests = read / request_bytes;
        stream.write_all(&answers[..requests * ANSWER.len()])?;
        read %= request_bytes;
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => read += count,
        }
    }
}
