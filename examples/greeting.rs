//! A protocol that makes use of everything a session may do: the server speaks first, asks whether
//! the client is still there, answers in any order, sends news that nobody asked for, and says when
//! it stops.
//!
//! ```text
//!   server  HELLO                     nothing is asked before
//!   client  ASK 0, ASK 1              two at a time
//!   server  PING 7, NEWS              answered with PONG 7; counted
//!   server  ANSWER 1, ANSWER 0        in any order
//!   server  PAUSE, RESUME             no questions in between
//!   server  NOT 1                     it was not processed; no questions until RESUME
//!   client  ALIVE                     where nothing else was said for a while
//!   server  BYE                       what is not answered yet was not processed
//! ```
//!
//! `cargo run --release --example greeting` starts a small server and measures it;
//! `cargo run --release --example greeting 127.0.0.1:7` measures one of yours.

#![allow(clippy::print_stdout)]

use ringshot::engine::failure::{Failure, Kind};
use ringshot::engine::run::{self, Load};
use ringshot::engine::session::{Answer, Events, Lane, Room, Session, Stage};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The longest line that the server may send.
const LINE_BYTES_MAX: usize = 256;

/// What all connections do alike.
#[derive(Clone, Copy)]
pub struct Manners {
    /// How many may be asked at a time.
    pub lanes: Lane,
    /// How long the client is silent at most.
    pub heartbeat_ns: u64,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Talk {
    /// The server has not spoken yet.
    Silent,
    /// Questions are welcome.
    Open,
    /// Not now.
    Paused,
    /// No more of them.
    Over,
}

/// One connection.
pub struct Greeting {
    manners: Manners,
    talk: Talk,
    /// What is to be sent.
    unsent: Vec<u8>,
    /// The line that is coming in.
    line: Vec<u8>,
    /// The number of the question in each lane: lanes are used again, numbers are not.
    asked: Vec<Option<u64>>,
    next_number: u64,
    wake_ns: u64,
}

impl Session for Greeting {
    type Shared = Manners;

    fn new(manners: &Manners) -> Greeting {
        Greeting {
            manners: *manners,
            talk: Talk::Silent,
            unsent: Vec::new(),
            line: Vec::new(),
            asked: vec![None; manners.lanes as usize],
            next_number: 0,
            wake_ns: u64::MAX,
        }
    }

    fn open(&mut self, manners: &mut Manners) {
        *self = Greeting::new(manners);
    }

    fn room(&self) -> Room {
        let free = self.asked.iter().filter(|asked| asked.is_none()).count() as Lane;
        match self.talk {
            Talk::Over => Room::Ends,
            Talk::Open if free > 0 => Room::For(free),
            Talk::Open | Talk::Paused | Talk::Silent => Room::Full,
        }
    }

    fn stage(&self) -> Option<Stage> {
        (self.talk == Talk::Silent).then_some(Stage::Setup)
    }

    fn begin(&mut self, _: &mut Manners, lanes: Range<Lane>, _last: bool) {
        for lane in lanes {
            let number = self.next_number;
            self.say(format_args!("ASK {number}\n"));
            self.asked[lane as usize] = Some(number);
            self.next_number = number + 1;
        }
    }

    fn abandon(&mut self, _: &mut Manners, lane: Lane) -> bool {
        self.asked[lane as usize] = None;
        true
    }

    fn outgoing<'a>(&'a mut self, _: &'a mut Manners) -> &'a [u8] {
        &self.unsent
    }

    fn sent(&mut self, _: &mut Manners, count: usize) {
        self.unsent.drain(..count);
    }

    fn received<E: Events>(
        &mut self,
        _: &mut Manners,
        bytes: &[u8],
        events: &mut E,
    ) -> Result<(), Failure> {
        for &byte in bytes {
            if byte != b'\n' {
                if self.line.len() == LINE_BYTES_MAX {
                    return Err(Failure::response(Kind::TooLarge));
                }
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let taken = std::str::from_utf8(&line).ok().and_then(|line| self.take(line, events));
            taken.ok_or(Failure::response(Kind::Malformed))?;
        }
        Ok(())
    }

    fn wake_ns(&self) -> u64 {
        self.wake_ns
    }

    fn wake<E: Events>(&mut self, _: &mut Manners, events: &mut E) -> Result<(), Failure> {
        self.say(format_args!("ALIVE\n"));
        self.wake_ns = events.now_ns() + self.manners.heartbeat_ns;
        Ok(())
    }
}

impl Greeting {
    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        // A vector takes all that is written to it.
        let _ = self.unsent.write_fmt(line);
    }

    /// Takes a line of the server; `None` where it makes no sense.
    fn take<E: Events>(&mut self, line: &str, events: &mut E) -> Option<()> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("HELLO", _) if self.talk == Talk::Silent => {
                self.talk = Talk::Open;
                self.wake_ns = events.now_ns() + self.manners.heartbeat_ns;
                events.passed(Stage::Setup);
            }
            ("ANSWER", number) => {
                let number: u64 = number.parse().ok()?;
                match self.asked.iter().position(|asked| *asked == Some(number)) {
                    Some(lane) => {
                        self.asked[lane] = None;
                        events
                            .done(lane as Lane, Answer { status: 0, code: None, verdict: Ok(()) });
                    }
                    None if number < self.next_number => events.late(),
                    None => return None,
                }
            }
            ("PING", word) => self.say(format_args!("PONG {word}\n")),
            ("NEWS", text) => events.message(text.len()),
            ("PAUSE", _) if self.talk == Talk::Open => self.talk = Talk::Paused,
            ("RESUME", _) if self.talk == Talk::Paused => self.talk = Talk::Open,
            ("NOT", number) => {
                let number: u64 = number.parse().ok()?;
                let lane = self.asked.iter().position(|asked| *asked == Some(number))?;
                self.asked[lane] = None;
                self.talk = Talk::Paused;
                events.returned(lane as Lane);
            }
            ("BYE", _) => {
                self.talk = Talk::Over;
                for (lane, asked) in self.asked.iter_mut().enumerate() {
                    if asked.take().is_some() {
                        events.returned(lane as Lane);
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }
}

/// Serves until the process ends; each connection answers `answers` questions before it stops.
pub fn serve(answers: u64) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever goes away in the middle is not missed.
            std::thread::spawn(move || talk(&stream, answers).ok());
        }
    });
    Ok(address)
}

fn talk(mut stream: &TcpStream, answers: u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(5)))?;
    stream.write_all(b"HELLO\n")?;
    let (mut lines, mut line) = (BufReader::new(stream), String::new());
    let (mut pending, mut answered, mut pings) = (Vec::new(), 0, 0);
    while answered < answers {
        match lines.read_line(&mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                let asked = line.strip_prefix("ASK ").map(|number| number.trim_end().to_owned());
                line.clear();
                if let Some(number) = asked {
                    pending.push(number);
                    // The second one is to be answered first.
                    if pending.len() < 2 {
                        continue;
                    }
                }
            }
            // Nobody asks a second one.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if pending.is_empty() {
            continue;
        }
        pings += 1;
        let mut text = format!("PING {pings}\nNEWS of the day\n");
        for number in pending.drain(..).rev() {
            text += &format!("ANSWER {number}\n");
            answered += 1;
        }
        stream.write_all(text.as_bytes())?;
    }
    stream.write_all(b"BYE\n")
}

// The tests of ringshot take this file in as a module, and need no `main` then.
#[cfg_attr(test, allow(dead_code))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => serve(1000)?,
    };
    let mut load = Load::new(vec![address]);
    load.policy.pipeline = 2;
    let manners = Manners { lanes: 2, heartbeat_ns: 100_000_000 };
    let measured = run::run::<Greeting>(&load, || manners, &AtomicBool::new(false), |_| ())?;
    let counters = &measured.tally.counters;
    println!("{} answers in {:?}, {} failed", counters.ok, measured.duration, counters.failed);
    println!("{} news, {} asked again", counters.messages, counters.resent);
    println!("median {} us", measured.tally.service.value_at_percentile(50.0));
    Ok(())
}
