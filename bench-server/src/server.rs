//! Starting the threads, asking them how it goes, stopping them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use hdrhistogram::Histogram;
use tokio::sync::oneshot;

use crate::{
    Backend, Config, Stats, cpus,
    faults::Faults,
    faulty_backend, hyper_backend,
    listen::listen_all,
    schedule::Schedule,
    stats::{Board, Lane},
};

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    board: Arc<Board>,
    schedule: Arc<Schedule>,
    faults: Arc<Faults>,
    threads: Vec<ServingThread>,
}

#[derive(Debug)]
struct ServingThread {
    stop: Option<oneshot::Sender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds, starts the threads and returns once all of them accept connections.
    ///
    /// # Errors
    ///
    /// A message that names what to change: the address cannot be bound or somebody listens on it
    /// already, a CPU cannot be had, the backend is not built in or the kernel refuses it, or
    /// `threads` is 0.
    pub fn start(config: Config) -> io::Result<Server> {
        check(&config)?;
        let listeners = listen_all(config.listen, config.threads)?;
        let addr = listeners[0].local_addr()?;
        let mut server = Server {
            addr,
            board: Board::new(config.threads),
            schedule: Arc::new(Schedule::new()),
            faults: Arc::new(Faults::new()),
            threads: Vec::new(),
        };
        let (ready, readiness) = mpsc::channel();
        for (index, listener) in listeners.into_iter().enumerate() {
            server.spawn(&config, index, listener, ready.clone())?;
        }
        // Without a sender of our own, a thread that dies silently ends the iterator.
        drop(ready);
        let mut accepting = 0;
        for outcome in readiness.iter().take(config.threads) {
            outcome?;
            accepting += 1;
        }
        if accepting < config.threads {
            return Err(io::Error::other("a serving thread ended while it was starting"));
        }
        Ok(server)
    }

    /// The address that clients connect to, with the port that the kernel chose if it was to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What was counted so far, over all threads.
    ///
    /// Connections that go on meanwhile may be in one number and not yet in another; for answers
    /// that a client has received completely, the numbers are exact.
    pub fn stats(&self) -> Stats {
        self.board.sum()
    }

    /// How many connections are open now, over all threads, those to `/stats` included. A client's
    /// FIN or reset may not have been seen yet.
    pub fn connections_open(&self) -> u64 {
        self.board.open()
    }

    /// How long the answers of `/delay`, `/mix` and `/limited` were held back so far, over all
    /// threads, in microseconds.
    ///
    /// The time goes from when the head of a request had been read to when its answer was handed
    /// over to be written: what the server did, not what it was asked for. It is cut to whole
    /// microseconds and kept to three significant digits. The answers that a client has received
    /// are all there, those of status 503 included, which were not held back. Those of status 400
    /// are not among them.
    pub fn delays(&self) -> Histogram<u64> {
        self.board.delays()
    }

    /// Stops the threads, drops the open connections and returns when all threads have ended.
    pub fn stop(self) {
        drop(self);
    }

    fn spawn(
        &mut self,
        config: &Config,
        index: usize,
        listener: TcpListener,
        ready: mpsc::Sender<io::Result<()>>,
    ) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let cpu = config.cpus.as_ref().map(|cpus| cpus[index % cpus.len()]);
        let backend = config.backend;
        let lane = Lane::new(self.board.clone(), index);
        let (schedule, faults) = (self.schedule.clone(), self.faults.clone());
        let handle =
            thread::Builder::new().name(format!("bench-server-{index}")).spawn(move || {
                let accepting = || drop(ready.send(Ok(())));
                let result =
                    cpu.map_or(Ok(()), cpus::pin_current_thread).and_then(|()| match backend {
                        Backend::Hyper => {
                            hyper_backend::serve(listener, lane, schedule, stopped, accepting)
                        }
                        Backend::Faulty => {
                            faulty_backend::serve(listener, lane, faults, stopped, accepting)
                        }
                        Backend::Uring => uring(listener, lane, stopped, accepting),
                    });
                if let Err(e) = result {
                    // Nobody listens any more if another thread failed first: that one is reported.
                    let _ = ready.send(Err(e));
                }
            })?;
        self.threads.push(ServingThread { stop: Some(stop), handle: Some(handle) });
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // All are told before any is waited for. Dropping the sender is the message.
        for thread in &mut self.threads {
            thread.stop.take();
        }
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                let _ = handle.join();
            }
        }
    }
}

fn check(config: &Config) -> io::Result<()> {
    let invalid = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    if config.threads == 0 {
        return invalid("at least one thread is needed");
    }
    if config.cpus.as_ref().is_some_and(Vec::is_empty) {
        return invalid("an empty list of CPUs to pin to");
    }
    if !config.backend.is_built_in() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, Backend::MISSING_URING));
    }
    Ok(())
}

#[cfg(feature = "uring")]
use crate::uring_backend::serve as uring;

#[cfg(not(feature = "uring"))]
fn uring(
    _: TcpListener,
    _: Arc<Lane>,
    _: oneshot::Receiver<()>,
    _: impl FnOnce(),
) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, Backend::MISSING_URING))
}
