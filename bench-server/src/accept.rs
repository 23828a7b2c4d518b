//! Accepting on a thread of its own, for the backends over epoll: one single-threaded tokio runtime,
//! one listener, one alarm.

use std::{
    io::{self, ErrorKind},
    net::TcpListener as StdListener,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::{
    alarm::Alarm,
    clock::Moment,
    stats::{Lane, Meter},
};

/// After a failed accept. Long enough not to spin while descriptors are short, short enough not to
/// show once they are not.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// Hands every connection to `connected` until `stop` is sent or dropped, then drops all tasks.
///
/// Calls `ready` once connections are being accepted; an error can only come before that.
pub(crate) fn serve(
    listener: StdListener,
    lane: Arc<Lane>,
    stop: oneshot::Receiver<()>,
    ready: impl FnOnce(),
    connected: impl FnMut(TcpStream, Meter, &Arc<Alarm>) + Send + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let alarm = Alarm::start()?;
        tokio::spawn(accept_all(listener, lane, alarm, connected));
        ready();
        let _ = stop.await;
        Ok(())
    })
}

async fn accept_all(
    listener: TcpListener,
    lane: Arc<Lane>,
    alarm: Arc<Alarm>,
    mut connected: impl FnMut(TcpStream, Meter, &Arc<Alarm>),
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connected(stream, Meter::open(&lane), &alarm),
            // The client gave up in the queue. The next one need not wait for that.
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
            Err(e) => {
                lane.accept_failed(&e);
                alarm.wait_until(Moment::now() + ACCEPT_PAUSE).await;
            }
        }
    }
}
