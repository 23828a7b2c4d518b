//! A server that announces the end of the connection and leaves closing it to the client: the one
//! thing that a client with few source ports must fear, because it then keeps TIME_WAIT.
//!
//!     cargo run --release --example client_closes -- 127.0.0.1:8080
//!
//! `benches/port-wall.sh` measures load generators against it.

#![allow(clippy::print_stdout)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// As many connections as can be served at a time.
const THREADS: usize = 256;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";

/// Reads one request, answers, and waits until the client has closed.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0u8; 4096];
    let mut len = 0;
    while !request[..len].windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut request[len..])? {
            0 => return Ok(()),
            count => len += count,
        }
    }
    stream.write_all(ANSWER)?;
    while stream.read(&mut request)? > 0 {}
    Ok(())
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = TcpListener::bind(address)?;
    println!("listening on http://{}/", listener.local_addr()?);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for stream in listener.incoming().flatten() {
                    // A client that breaks off is its own business.
                    let _ = serve(stream);
                }
            });
        }
    });
    Ok(())
}
