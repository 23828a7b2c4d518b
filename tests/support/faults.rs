//! A server that does everything wrong, on purpose and one thing at a time.

use socket2::{SockRef, Socket};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Resets as soon as it is accepted.
    Reset,
    /// Closes after the request, without a byte.
    Fin,
    /// Resets in the middle of the body.
    ResetInBody,
    /// Closes in the middle of the body.
    FinInBody,
    /// Resets a body that ends with the connection.
    ResetCloseDelimited,
    /// Answers nothing, and keeps the connection.
    Stall,
    /// Answers right, a byte at a time.
    Drip,
    /// Answers with bytes that are no HTTP, some of which steer a terminal.
    Garbage,
    /// Answers with two different lengths.
    TwoLengths,
    /// Answers with a head that has no end.
    EndlessHead,
    /// Answers right, with a few bytes too many.
    Surplus,
    /// Answers right and closes without having said so.
    SilentClose,
    /// Answers right and never closes, whatever it is asked.
    NeverCloses,
    /// Answers right, then resets.
    ResetAfterAnswer,
    /// Reads five requests, answers two of them, then closes.
    TwoOfFive,
}

pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Serves `fault` on the first `faulty` connections and right answers on all others; returns the
/// address and the number of connections accepted so far.
pub fn serve(fault: Fault, faulty: u64) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let accepted = Arc::new(AtomicU64::new(0));
    let counter = accepted.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                // An error here is the other end's business.
                let _ = match number < faulty {
                    true => misbehave(stream, fault),
                    false => behave(stream),
                };
            });
        }
    });
    (address, accepted)
}

/// A port on which nobody listens.
pub fn refused() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// Reads one request, up to the empty line; `false` at the end of the stream.
fn read_request(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut request = Vec::new();
    let mut byte = [0u8; 1];
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(false);
        }
        request.push(byte[0]);
    }
    Ok(true)
}

/// Answers until the peer closes; closes after a request that asks for it.
fn behave(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..count]);
        while let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = request.drain(..at + 4).collect();
            stream.write_all(ANSWER)?;
            if String::from_utf8_lossy(&head).to_lowercase().contains("connection: close") {
                return Ok(());
            }
        }
    }
}

fn reset(stream: TcpStream) -> std::io::Result<()> {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    drop(Socket::from(stream));
    Ok(())
}

/// Keeps a connection until the other end closes it.
fn hold(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0u8; 4096];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn misbehave(mut stream: TcpStream, fault: Fault) -> std::io::Result<()> {
    if fault == Fault::Reset {
        return reset(stream);
    }
    if !read_request(&mut stream)? {
        return Ok(());
    }
    let half: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe";
    match fault {
        Fault::Reset | Fault::Fin => {}
        Fault::ResetInBody => {
            stream.write_all(half)?;
            // The client is to see the bytes first.
            std::thread::sleep(Duration::from_millis(20));
            return reset(stream);
        }
        Fault::FinInBody => stream.write_all(half)?,
        Fault::ResetCloseDelimited => {
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello")?;
            std::thread::sleep(Duration::from_millis(20));
            return reset(stream);
        }
        Fault::Stall => return hold(stream),
        Fault::Drip => {
            for byte in ANSWER {
                stream.write_all(std::slice::from_ref(byte))?;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Fault::Garbage => {
            stream.write_all(b"\x1b[2J\x1b]0;owned\x07 220 smtp.example ESMTP\r\n")?;
            return hold(stream);
        }
        Fault::TwoLengths => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n")?;
            return hold(stream);
        }
        Fault::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            while stream.write_all(b"X-Padding: 0123456789012345678901234567890123\r\n").is_ok() {}
        }
        Fault::Surplus => {
            stream.write_all(&[ANSWER, b"and more"].concat())?;
            return hold(stream);
        }
        Fault::SilentClose => {
            stream.write_all(ANSWER)?;
            // A FIN and nothing else: closing with a request unread would send a reset.
            stream.shutdown(Shutdown::Write)?;
            return hold(stream);
        }
        Fault::NeverCloses => {
            stream.write_all(ANSWER)?;
            return hold(stream);
        }
        Fault::ResetAfterAnswer => {
            stream.write_all(ANSWER)?;
            std::thread::sleep(Duration::from_millis(20));
            return reset(stream);
        }
        Fault::TwoOfFive => {
            for _ in 1..5 {
                read_request(&mut stream)?;
            }
            stream.write_all(&ANSWER.repeat(2))?;
        }
    }
    Ok(())
}
