//! A server that does one thing wrong, on purpose, and then does right.
//!
//! ```text
//!   connection   0 .. faulty        plays a script: Read, Write(half an answer), Reset
//!                faulty ..          answered, but at first not before `slots` of them are there at
//!                                   one time, each with a request: the roll call
//! ```
//!
//! The roll call is how a test knows that no slot was lost: were one missing, the others would
//! wait for it until they time out, and the failures would be too many.

use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// What a connection does, step by step. At the end of the script it is closed.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Reads one request.
    Read,
    /// Waits until bytes of a request are there, and leaves them unread.
    Await,
    /// Sends these bytes.
    Write(&'static [u8]),
    /// Sends these bytes and closes this end's half, in one packet.
    Last(&'static [u8]),
    /// Sends these bytes one by one, a millisecond apart.
    Drip(&'static [u8]),
    /// Sends these bytes again and again, until the client has gone.
    Flood(&'static [u8]),
    /// The same, ten milliseconds apart: slow enough to go on for long, without an end.
    Trickle(&'static [u8]),
    /// Lets the client see what came before first.
    Pause,
    /// Closes this end's half: the client sees the end of the stream.
    Finish,
    /// Reads until the client closes.
    Hold,
    /// Keeps the connection and reads nothing.
    Ignore,
    /// Closes with a reset.
    Reset,
}

/// An answer with nothing wrong.
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// How long the server waits for what a program that works does soon.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server; its threads end with the test.
pub struct Hostile {
    pub address: SocketAddr,
    book: Arc<Book>,
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Played in turn.
    pub scripts: Vec<&'static [Act]>,
    /// By how many connections.
    pub faulty: usize,
    /// How many good ones the roll call waits for.
    pub slots: usize,
}

#[derive(Default)]
struct Book {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Default)]
struct Entries {
    accepted: usize,
    /// The roll call: how many are wanted, and how many have come.
    wanted: usize,
    present: usize,
}

impl Hostile {
    pub fn start(habits: Habits) -> Hostile {
        Hostile::listen(habits, small_listener().expect("a listener"))
    }

    pub fn listen(habits: Habits, listener: TcpListener) -> Hostile {
        let address = listener.local_addr().expect("an address");
        let book = Arc::new(Book::default());
        book.lock().wanted = habits.slots;
        let shared = book.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = shared.enter();
                let book = shared.clone();
                let script =
                    (number < habits.faulty).then(|| habits.scripts[number % habits.scripts.len()]);
                std::thread::spawn(move || {
                    // An error here is the other end's business.
                    let _ = match script {
                        Some(script) => play(stream, script),
                        None => behave(stream, &book),
                    };
                });
            }
        });
        Hostile { address, book }
    }

    /// One that does nothing wrong, and calls nobody until it is told to.
    pub fn harmless() -> Hostile {
        Hostile::start(Habits { scripts: Vec::new(), faulty: 0, slots: 0 })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// How many connections there were.
    pub fn accepted(&self) -> usize {
        self.book.lock().accepted
    }

    /// Waits until there were so many more connections.
    pub fn wait_for_more(&self, connections: usize) {
        self.wait_for(self.accepted() + connections);
    }

    /// Waits until there were so many connections.
    pub fn wait_for(&self, goal: usize) {
        let came = self.book.wait_while(self.book.lock(), |entries| entries.accepted < goal);
        assert!(came, "only {} connections of {goal}", self.accepted());
    }

    /// Answers nobody until so many connections are there at one time, each with a request.
    pub fn call_roll(&self, slots: usize) {
        let mut entries = self.book.lock();
        (entries.wanted, entries.present) = (slots, 0);
        let all = self.book.wait_while(entries, |entries| entries.present < entries.wanted);
        assert!(all, "slots are lost: only {} of {slots} are there", self.book.lock().present);
    }
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().expect("not poisoned")
    }

    /// A connection comes; returns its number.
    fn enter(&self) -> usize {
        let mut entries = self.lock();
        entries.accepted += 1;
        self.changed.notify_all();
        entries.accepted - 1
    }

    /// A connection has a request: during a roll call it waits for the others, and does not count any
    /// more when its client gives up and comes back with another one.
    fn answer_roll_call(&self, stream: &TcpStream) {
        let mut entries = self.lock();
        if entries.present >= entries.wanted {
            return;
        }
        entries.present += 1;
        self.changed.notify_all();
        while entries.present < entries.wanted {
            let look = Duration::from_millis(5);
            entries = self.changed.wait_timeout(entries, look).expect("not poisoned").0;
            if entries.present < entries.wanted && has_gone(stream) {
                entries.present -= 1;
                return;
            }
        }
    }

    /// Waits while a condition holds, within [`PATIENCE`]; whether it has come to hold no more.
    fn wait_while(&self, entries: MutexGuard<'_, Entries>, is: impl Fn(&Entries) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(entries, PATIENCE, |entries| is(entries));
        !waited.expect("not poisoned").1.timed_out()
    }
}

/// Whether a client has closed, of which no byte is left to be read.
fn has_gone(stream: &TcpStream) -> bool {
    let look = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    match SockRef::from(stream).recv_with_flags(&mut [MaybeUninit::uninit()], look) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// A port on which nobody listens, and nobody else does either as long as this is kept: a port that
/// were given back could be that of the next server which a test starts.
pub struct Refused {
    pub address: SocketAddr,
    _bound: Socket,
}

impl Refused {
    pub fn bind() -> Refused {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        let address = socket.local_addr().expect("an address").as_socket().expect("of IPv4");
        Refused { address, _bound: socket }
    }
}

/// Its connections take little that nobody reads: a large request stays with the client.
fn small_listener() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(64 << 10)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Answers until the client closes, or asks to close.
fn behave(mut stream: TcpStream, book: &Book) -> io::Result<()> {
    while let Some(close) = request(&mut stream)? {
        book.answer_roll_call(&stream);
        stream.write_all(ANSWER)?;
        if close {
            break;
        }
    }
    Ok(())
}

/// Reads one request, its body included, and nothing of the next one; `None` at the end of the
/// stream, else whether it asks to close.
fn request(stream: &mut TcpStream) -> io::Result<Option<bool>> {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut left: usize = length.map_or(0, |length| length.parse().expect("a length"));
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let wanted = left.min(buffer.len());
        match stream.read(&mut buffer[..wanted])? {
            0 => return Ok(None),
            count => left -= count,
        }
    }
    Ok(Some(head.contains("connection: close")))
}

fn play(mut stream: TcpStream, script: &[Act]) -> io::Result<()> {
    for act in script {
        match act {
            Act::Read => drop(request(&mut stream)?),
            Act::Await => drop(stream.peek(&mut [0])?),
            Act::Write(bytes) => stream.write_all(bytes)?,
            Act::Last(bytes) => {
                SockRef::from(&stream).send_with_flags(bytes, libc::MSG_MORE)?;
                stream.shutdown(Shutdown::Write)?;
            }
            Act::Drip(bytes) => {
                for byte in bytes.chunks(1) {
                    stream.write_all(byte)?;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Act::Flood(bytes) => loop {
                stream.write_all(bytes)?;
            },
            Act::Trickle(bytes) => loop {
                stream.write_all(bytes)?;
                std::thread::sleep(Duration::from_millis(10));
            },
            Act::Pause => std::thread::sleep(Duration::from_millis(20)),
            Act::Finish => stream.shutdown(Shutdown::Write)?,
            Act::Hold => while stream.read(&mut [0; 4096])? > 0 {},
            Act::Ignore => std::thread::sleep(PATIENCE),
            Act::Reset => return SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        }
    }
    Ok(())
}
