//! The plainest client that there is: one thread, one kept connection, blocking calls, a request
//! every so often. What it measures between its write and the last byte of the answer is as near to
//! the truth as a program on this box can come; `benches/truth.sh` compares ringshot with it.
//!
//!     cargo run --release --example blocking_client -- 127.0.0.1:8080 /path 1000 5

#![allow(clippy::print_stdout)]

use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The length of the answer at the beginning of `bytes`, once its head is there.
fn answer_len(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let (_, value) = text.split_once("content-length:")?;
    Some(head + value.lines().next()?.trim().parse::<usize>().ok()?)
}

fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> std::io::Result<()> {
    stream.write_all(request)?;
    let mut len = 0;
    while answer_len(&buffer[..len]).is_none_or(|whole| len < whole) {
        match stream.read(&mut buffer[len..])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => len += count,
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, per_s, seconds] = arguments.as_slice() else {
        return Err(Error::other("give ADDRESS:PORT PATH REQUESTS_PER_S SECONDS"));
    };
    let number = |text: &str| text.parse::<f64>().map_err(Error::other);
    let (per_s, seconds) = (number(per_s)?, number(seconds)?);
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
    let mut buffer = vec![0; 65_536];
    let mut times = Vec::new();
    let begin = Instant::now();
    for number in 0..(per_s * seconds) as u64 {
        let due = begin + Duration::from_secs_f64(number as f64 / per_s);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        exchange(&mut stream, &request, &mut buffer)?;
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!("p50_us {} p99_us {}", at(50).as_micros(), at(99).as_micros());
    Ok(())
}
