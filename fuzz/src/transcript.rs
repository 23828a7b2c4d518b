//! What a session makes of a connection's bytes.

use ringshot::engine::session::Session;
use ringshot::engine::session::http1::{
    Http1, Parsed, Request, RequestBlock, Reuse, Shared, Taken,
};
use std::sync::Arc;

/// The events of a connection, each with the number of bytes up to there. It ends at the first
/// [`Parsed::Broken`]; a [`Parsed::More`] at its end says that an answer is under way.
pub type Transcript = Vec<(u64, Parsed)>;

/// How the bytes come to the session.
#[derive(Clone, Copy, Default)]
pub struct Play {
    /// What may be skipped unseen is, as a driver would do it.
    pub skips: bool,
    /// The peer closes after the last byte.
    pub closes: bool,
    /// Nothing is remembered from one piece to the next: every head is parsed.
    pub forgets: bool,
}

/// A request with this method, and nothing else to it.
pub fn request(method: &str) -> Request {
    Request {
        method: method.into(),
        target: "/".into(),
        host: "h".into(),
        headers: Vec::new(),
        body: Arc::new([]),
    }
}

/// The requests of a worker that asks with this method.
pub fn block(method: &str) -> RequestBlock {
    RequestBlock::new(&request(method), Reuse { pipeline: 1, keeps: true, announces_close: true })
}

impl Play {
    /// Plays the pieces of one connection to a session of its own.
    pub fn play<'a>(
        self,
        shared: &mut Shared,
        block: &RequestBlock,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Transcript {
        let mut session = Http1::new(shared);
        let (mut events, mut at, mut under_way) = (Transcript::new(), 0, false);
        for mut piece in pieces {
            while !piece.is_empty() {
                if self.forgets {
                    *shared = Shared::new(block.clone());
                }
                let Taken { consumed, event } = self.step(&mut session, shared, piece);
                assert!(consumed <= piece.len(), "{consumed} of {} bytes", piece.len());
                at += consumed as u64;
                piece = &piece[consumed..];
                under_way = event == Parsed::More;
                match event {
                    Parsed::More => assert!(piece.is_empty() || self.skips, "bytes are left over"),
                    Parsed::Done(..) => events.push((at, event)),
                    Parsed::Broken(_) => {
                        events.push((at, event));
                        return events;
                    }
                }
            }
        }
        if self.closes {
            events.push((at, session.end()));
        } else if under_way {
            events.push((at, Parsed::More));
        }
        events
    }

    fn step(self, session: &mut Http1, shared: &mut Shared, piece: &[u8]) -> Taken {
        let opaque = if self.skips { session.opaque() } else { 0 };
        if opaque == 0 {
            return session.answer(shared, piece);
        }
        let consumed = piece.len().min(usize::try_from(opaque).unwrap_or(usize::MAX));
        Taken { consumed, event: session.skip(consumed as u64) }
    }
}
