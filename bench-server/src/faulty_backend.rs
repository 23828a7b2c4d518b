//! The backend that misbehaves: `/faulty` over plain sockets, as no HTTP library would let it.
//!
//! It is as fast as it is small: `accept4`, `epoll_ctl`, `recv`, `send`, `epoll_ctl`, `close` for a
//! connection with one request, and no byte of memory kept for one that has ended.

use std::{
    io::{self, ErrorKind},
    net::TcpListener as StdListener,
    sync::Arc,
    time::Duration,
};

use socket2::SockRef;
use tokio::{net::TcpStream, sync::oneshot};

use crate::{
    accept,
    alarm::Alarm,
    clock::Moment,
    faults::{Fault, Faults},
    stats::{Lane, Meter},
    wire::{Next, Wire},
};

/// What is read at a time.
const READ_BYTES: usize = 4 * 1024;

/// From one byte of a drip to the next.
const DRIP: Duration = Duration::from_millis(1);

/// The longest stall.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Serves until `stop` is sent or dropped, then drops every open connection.
///
/// Calls `ready` once connections are being accepted; an error can only come before that.
pub(crate) fn serve(
    listener: StdListener,
    lane: Arc<Lane>,
    faults: Arc<Faults>,
    stop: oneshot::Receiver<()>,
    ready: impl FnOnce(),
) -> io::Result<()> {
    accept::serve(listener, lane, stop, ready, move |stream, meter, alarm| {
        let (alarm, faults) = (alarm.clone(), faults.clone());
        let connection = Connection { stream, meter, alarm, faults };
        // How a connection ended is the client's affair.
        tokio::spawn(async move { connection.serve().await.is_ok() });
    })
}

struct Connection {
    stream: TcpStream,
    meter: Meter,
    alarm: Arc<Alarm>,
    faults: Arc<Faults>,
}

impl Connection {
    /// Returns when the connection is to end.
    async fn serve(&self) -> io::Result<()> {
        let (mut wire, mut input, mut out) = (Wire::default(), Vec::new(), Vec::new());
        while self.read(&mut input).await? > 0 {
            loop {
                let judge = |what| self.faults.turn(what, Moment::now());
                let next = wire.advance(&mut input, &mut out, &self.meter, judge);
                self.write(&out).await?;
                out.clear();
                match next {
                    Next::Read => break,
                    Next::Close => return Ok(()),
                    Next::Misbehave { fault: Fault::Drip, keep_alive } => {
                        self.drip(keep_alive).await?;
                        if !keep_alive {
                            return Ok(());
                        }
                        // Further requests may have been read with that one.
                    }
                    Next::Misbehave { fault, .. } => return self.misbehave(fault).await,
                }
            }
        }
        Ok(())
    }

    /// A fault that ends the connection.
    async fn misbehave(&self, fault: Fault) -> io::Result<()> {
        let bytes = match fault {
            Fault::ResetInHead => "HTTP/1.1 200 OK\r\ncontent-",
            Fault::ResetInBody => "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nHello,",
            Fault::Garbage => "\x16\x03\x01 this is no answer \0\r\n\r\n",
            Fault::Lengths => {
                "HTTP/1.1 200 OK\r\ncontent-length: 13\r\ncontent-length: 12\r\n\r\nHello, World!"
            }
            Fault::Short => "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nHello, World!",
            Fault::Surplus => {
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 13\r\n\r\n\
                 Hello, World! And more."
            }
            Fault::Close | Fault::Reset | Fault::Stall | Fault::Drip => "",
        };
        self.write(bytes.as_bytes()).await?;
        match fault {
            Fault::Reset | Fault::ResetInHead | Fault::ResetInBody => {
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
            }
            Fault::Stall => self.stall().await,
            _ => Ok(()),
        }
    }

    /// Says nothing until the client has left, or for as long as a stall takes.
    async fn stall(&self) -> io::Result<()> {
        let _stalled = self.faults.stall();
        let mut over = std::pin::pin!(self.alarm.wait_until(Moment::now() + STALL_MAX));
        let mut leaves = std::pin::pin!(async {
            let mut rest = Vec::new();
            while matches!(self.read(&mut rest).await, Ok(1..)) {
                rest.clear();
            }
        });
        std::future::poll_fn(|cx| {
            let left = leaves.as_mut().poll(cx);
            if left.is_ready() { left } else { over.as_mut().poll(cx) }
        })
        .await;
        Ok(())
    }

    async fn drip(&self, keep_alive: bool) -> io::Result<()> {
        let connection = if keep_alive { "" } else { "connection: close\r\n" };
        let answer =
            format!("HTTP/1.1 200 OK\r\n{connection}content-length: 13\r\n\r\n{}", crate::HELLO);
        for byte in answer.as_bytes().chunks(1) {
            self.write(byte).await?;
            self.alarm.wait_until(Moment::now() + DRIP).await;
        }
        Ok(())
    }

    /// Appends what there is to read; 0 at the end.
    async fn read(&self, input: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            let mut buffer = [0; READ_BYTES];
            match self.stream.try_read(&mut buffer) {
                Ok(n) => {
                    self.meter.read(n);
                    input.extend_from_slice(&buffer[..n]);
                    return Ok(n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.meter.write(bytes.len());
            let written = self.stream.try_write(bytes);
            let taken = written.as_ref().map_or(0, |&n| n);
            self.meter.unwritten(bytes.len() - taken);
            bytes = &bytes[taken..];
            match written {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
