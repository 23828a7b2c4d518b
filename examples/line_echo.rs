//! A private protocol, complete: one line goes out, the same line must come back.
//!
//! This is the template for a protocol of your own: implement [`Session`], hand it to
//! [`ringshot::engine::run::run`], and the ring, the pacing, the histograms and the errors are those of
//! ringshot. Nothing else has to be touched.
//!
//! `cargo run --release --example line_echo` starts a small echo server and measures it;
//! `cargo run --release --example line_echo 127.0.0.1:7` measures one of yours.

#![allow(clippy::print_stdout)]

use ringshot::engine::failure::{Failure, Kind};
use ringshot::engine::run::{self, Load};
use ringshot::engine::session::{Answer, Events, Lane, Room, Session};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// One connection of the echo protocol.
#[derive(Default)]
pub struct LineEcho {
    /// Bytes that are still to be sent: so many lines, the first of which may be half gone.
    unsent: usize,
    /// Lines of this batch, and how many of them have come back.
    asked: Lane,
    echoed: Lane,
    /// How much of the echo has come, and whether it has been the line so far.
    read: usize,
    differs: bool,
}

impl Session for LineEcho {
    /// The line, with its end.
    type Shared = Arc<[u8]>;

    fn new(_: &Arc<[u8]>) -> LineEcho {
        LineEcho::default()
    }

    fn constant(line: &Arc<[u8]>) -> Arc<[u8]> {
        line.clone()
    }

    fn open(&mut self, _: &mut Arc<[u8]>) {
        *self = LineEcho::default();
    }

    /// As many as there may be, once all lines are gone and back.
    fn room(&self) -> Room {
        let idle = self.echoed == self.asked && self.unsent == 0;
        if idle { Room::For(Lane::MAX) } else { Room::Full }
    }

    fn begin(&mut self, line: &mut Arc<[u8]>, lanes: Range<Lane>, _last: bool) {
        (self.asked, self.echoed) = (lanes.end, 0);
        self.unsent = lanes.len() * line.len();
    }

    fn outgoing<'a>(&'a mut self, line: &'a mut Arc<[u8]>) -> &'a [u8] {
        let rest = self.unsent % line.len();
        if self.unsent > 0 && rest == 0 { line } else { &line[line.len() - rest..] }
    }

    fn sent(&mut self, _: &mut Arc<[u8]>, count: usize) {
        self.unsent -= count;
    }

    fn received<E: Events>(
        &mut self,
        line: &mut Arc<[u8]>,
        bytes: &[u8],
        events: &mut E,
    ) -> Result<(), Failure> {
        for byte in bytes {
            if self.echoed == self.asked {
                events.surplus();
                return Err(Failure::response(Kind::Malformed));
            }
            events.begun(self.echoed);
            self.differs |= line.get(self.read) != Some(byte);
            self.read += 1;
            if *byte == b'\n' {
                let verdict = if self.differs { Err(Kind::Body) } else { Ok(()) };
                events.done(self.echoed, Answer { status: 0, code: None, verdict });
                (self.read, self.differs) = (0, false);
                self.echoed += 1;
            }
        }
        Ok(())
    }
}

/// Echoes lines until the process ends.
pub fn serve() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream);
                let mut line = Vec::new();
                while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                    if (&stream).write_all(&line).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    Ok(address)
}

// The tests of ringshot take this file in as a module, and need no `main` then.
#[cfg_attr(test, allow(dead_code))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => serve()?,
    };
    let line: Arc<[u8]> = b"how fast is this line back?\n".as_slice().into();
    let load = Load::new(vec![address]);
    let measured = run::run::<LineEcho>(&load, || line.clone(), &AtomicBool::new(false), |_| ())?;
    let ok = measured.tally.counters.ok;
    println!("{ok} lines in {:?}, {} failed", measured.duration, measured.tally.counters.failed);
    println!("median {} us", measured.tally.service.value_at_percentile(50.0));
    Ok(())
}
