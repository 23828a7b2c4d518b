//! The default backend: hyper's HTTP/1 over one single-threaded tokio runtime per thread.
//!
//! System calls of a connection that carries one request: `accept4`, `epoll_ctl`, `recv`, `send`,
//! `epoll_ctl`, `close`. What would come on top was taken out, see `Metered::poll_shutdown` and
//! `listen`.

use std::{
    io::{self, IoSlice},
    net::TcpListener as StdListener,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};

use crate::{
    accept,
    answers::Answers,
    schedule::Schedule,
    stats::{Lane, Meter},
};

/// Serves until `stop` is sent or dropped, then drops every open connection.
///
/// Calls `ready` once connections are being accepted; an error can only come before that.
pub(crate) fn serve(
    listener: StdListener,
    lane: Arc<Lane>,
    schedule: Arc<Schedule>,
    stop: oneshot::Receiver<()>,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let http = http();
    accept::serve(listener, lane, stop, ready, move |stream, meter, alarm| {
        let meter = Arc::new(meter);
        let socket = TokioIo::new(Metered { stream, meter: meter.clone() });
        let (alarm, schedule) = (alarm.clone(), schedule.clone());
        // How a connection ended is the client's affair; there is nobody to tell here.
        tokio::spawn(http.serve_connection(socket, Answers { meter, alarm, schedule }));
    })
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // A batch of pipelined requests is answered with one write. The price: while a part of a
    // further request is in the buffer, the answers before it wait for the rest of it.
    http.pipeline_flush(true);
    // A client may shut its sending side down after the request and still wants the answer.
    http.half_close(true);
    // An answer has the same length and content at any time of the day.
    http.auto_date_header(false);
    http
}

/// A socket whose bytes are counted.
struct Metered {
    stream: TcpStream,
    meter: Arc<Meter>,
}

impl Metered {
    /// Settles what was announced to the meter with what the socket took.
    fn settle(
        &self,
        announced: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let taken = match &written {
            Poll::Ready(Ok(n)) => *n,
            _ => 0,
        };
        self.meter.unwritten(announced - taken);
        written
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.meter.read(buf.filled().len() - before);
        result
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.meter.write(buf.len());
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.settle(buf.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let announced = bufs.iter().map(|buf| buf.len()).sum();
        self.meter.write(announced);
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.settle(announced, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: hyper asks for this right before it drops the socket, and closing sends the
    /// FIN just as well without a system call of its own.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
