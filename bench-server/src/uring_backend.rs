//! The second backend: two answers over tokio-uring, for when hyper is the limit.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io::{self, ErrorKind},
    net::{Shutdown, TcpListener as StdListener},
    rc::Rc,
    sync::Arc,
};

use socket2::SockRef;
use tokio::sync::{mpsc, oneshot};
use tokio_uring::{
    buf::BoundedBuf,
    net::{TcpListener, TcpStream},
};

use crate::{
    accept::ACCEPT_PAUSE,
    alarm::Alarm,
    clock::Moment,
    faults::{ELSEWHERE, Turn},
    stats::{Lane, Meter},
    wire::{Next, Wire},
};

/// Room for submissions between two system calls; more than that costs another call, no error.
const RING_ENTRIES: u32 = 1024;

/// First size of a connection's input: dozens of pipelined requests.
const INPUT_BYTES: usize = 4 * 1024;

/// Serves until `stop` is sent or dropped, then ends every open connection.
///
/// Calls `ready` once connections are being accepted; an error can only come before that.
pub(crate) fn serve(
    listener: StdListener,
    lane: Arc<Lane>,
    stop: oneshot::Receiver<()>,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let ring =
        tokio_uring::Runtime::new(tokio_uring::builder().entries(RING_ENTRIES)).map_err(|e| {
            io::Error::new(e.kind(), format!("no io_uring here ({e}); use `--backend hyper`"))
        })?;
    ring.block_on(async {
        let alarm = Alarm::start()?;
        let (running, mut ended) = mpsc::channel(1);
        let shared =
            Rc::new(Shared { lane, alarm, open: RefCell::default(), stopping: Cell::new(false) });
        let handle = listener.try_clone()?;
        let accepting = accept_all(TcpListener::from_std(listener), shared.clone(), running);
        tokio_uring::spawn(accepting);
        ready();
        let _ = stop.await;
        shared.shut_down(&handle);
        // Nobody sends; this returns when every task has dropped its sender. The runtime must not
        // go away before: it would free buffers that the kernel may still write to.
        ended.recv().await;
        Ok(())
    })
}

/// What the tasks of one thread have in common.
struct Shared {
    lane: Arc<Lane>,
    alarm: Arc<Alarm>,
    open: RefCell<HashMap<u64, Rc<TcpStream>>>,
    stopping: Cell<bool>,
}

impl Shared {
    /// Makes every operation under way complete, so that its task ends.
    fn shut_down(&self, listener: &StdListener) {
        self.stopping.set(true);
        let _ = SockRef::from(listener).shutdown(Shutdown::Both);
        for stream in self.open.borrow().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

async fn accept_all(listener: TcpListener, shared: Rc<Shared>, running: mpsc::Sender<()>) {
    let mut id = 0;
    loop {
        let accepted = listener.accept().await;
        if shared.stopping.get() {
            return;
        }
        match accepted {
            Ok((stream, _)) => {
                id += 1;
                let stream = Rc::new(stream);
                shared.open.borrow_mut().insert(id, stream.clone());
                let (shared, running) = (shared.clone(), running.clone());
                tokio_uring::spawn(async move {
                    // How a connection ended is the client's affair.
                    let _ = serve_connection(&stream, Meter::open(&shared.lane)).await;
                    shared.open.borrow_mut().remove(&id);
                    drop(running);
                });
            }
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
            Err(e) => {
                shared.lane.accept_failed(&e);
                shared.alarm.wait_until(Moment::now() + ACCEPT_PAUSE).await;
                if shared.stopping.get() {
                    return;
                }
            }
        }
    }
}

async fn serve_connection(stream: &TcpStream, meter: Meter) -> io::Result<()> {
    let mut wire = Wire::default();
    let mut input = Vec::with_capacity(INPUT_BYTES);
    let mut out = Vec::with_capacity(256);
    loop {
        let filled = input.len();
        if filled == input.capacity() {
            input.reserve(filled);
        }
        // The slice starts where the bytes that wait for the rest of their request end.
        let (result, slice) = stream.read(input.slice(filled..)).await;
        let read = result?;
        input = slice.into_inner();
        if read == 0 {
            return Ok(());
        }
        meter.read(read);
        let next = wire.advance(&mut input, &mut out, &meter, |_| Turn::Bad(ELSEWHERE));
        out = write_all(stream, out, &meter).await?;
        if next != Next::Read {
            return Ok(());
        }
    }
}

/// Writes all of `out` and returns it empty, to be used again.
async fn write_all(stream: &TcpStream, mut out: Vec<u8>, meter: &Meter) -> io::Result<Vec<u8>> {
    let mut written = 0;
    while written < out.len() {
        let announced = out.len() - written;
        meter.write(announced);
        let (result, slice) = stream.write(out.slice(written..)).submit().await;
        let taken = result.as_ref().map_or(0, |&n| n);
        meter.unwritten(announced - taken);
        result?;
        out = slice.into_inner();
        written += taken;
    }
    out.clear();
    Ok(out)
}
