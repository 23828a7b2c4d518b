//! The kernel and the server of a run: a fate for each operation, then health.

use super::settings::{Run, Until};
use super::{Common, Fates, MS, S, US};
use ringshot::engine::driver::script::{Reply, Verb};
use ringshot::engine::driver::{Demand, Op, SlotId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long the server has to be well until every slot must work: the longest pause after failures
/// is a second, and the longest request before it takes less than another.
const WELL_NS: u64 = 4 * S;

/// No receive brings more at once.
const PIECE_BYTES_MAX: usize = 4096;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// What a server may say to a request.
const ANSWERS: [&[u8]; 11] = [
    ANSWER,
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n\
      0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n\
      0123456789012345678901234567890123456789\r\n0\r\n\r\n",
    b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhihi",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    b"\0\x01garbage",
    b"",
];

/// One connection, as the server has it.
#[derive(Clone, Default)]
struct Side {
    /// What it will yet say.
    unsaid: Vec<u8>,
    /// It was asked to close after that.
    ends: bool,
    /// A receive is under way, and nothing on its way to it.
    listens: Option<Demand>,
}

pub(super) struct Peer<'a> {
    fates: Fates<'a>,
    common: &'a Common,
    sides: Vec<Side>,
    service_ns: u64,
    stops_when_well: bool,
    /// For each slot, whether it was answered after the last fate.
    pub(super) served_when_well: Vec<bool>,
}

impl<'a> Peer<'a> {
    pub(super) fn new(fates: Fates<'a>, run: &Run, common: &'a Common) -> Peer<'a> {
        let slots = run.task.slots as usize;
        Peer {
            fates,
            common,
            sides: vec![Side::default(); slots],
            service_ns: run.service_ns,
            stops_when_well: matches!(run.until, Until::Well),
            served_when_well: vec![false; slots],
        }
    }

    pub(super) fn answer(&mut self, slot: SlotId, verb: Verb<'_>, replies: &mut Vec<Reply>) {
        self.stop_in_time();
        let index = slot.index as usize;
        match verb {
            Verb::Open(..) => {
                self.sides[index] = Side::default();
                self.open(replies);
            }
            Verb::Send(bytes) => {
                self.send(index, bytes, replies);
                if self.sides[index].listens.is_some() && !self.sides[index].unsaid.is_empty() {
                    self.say(slot, replies);
                }
            }
            Verb::Receive(demand) => {
                self.sides[index].listens = Some(demand);
                self.say(slot, replies);
            }
            Verb::Extent(_) => {
                let bytes = self.fate().map(|fate| usize::from(fate) * 8);
                let result = bytes.ok_or(libc::EOPNOTSUPP);
                replies.push(Reply::new(0, Op::Extent, result));
            }
            Verb::Close | Verb::Cancel(_) => {}
        }
    }

    fn fate(&mut self) -> Option<u8> {
        let fate = self.fates.next();
        self.common.dealt.set(self.fates.dealt);
        if self.fates.bytes.is_empty() && self.common.well_from_ns.get().is_none() {
            self.common.well_from_ns.set(Some(self.common.now_ns.get()));
        }
        fate
    }

    fn stop_in_time(&self) {
        let now_ns = self.common.now_ns.get();
        let is_over = |from_ns: u64| now_ns >= from_ns + WELL_NS;
        if self.stops_when_well && self.common.well_from_ns.get().is_some_and(is_over) {
            self.common.stop.store(true, Ordering::Relaxed);
        }
    }

    fn open(&mut self, replies: &mut Vec<Reply>) {
        let fate = self.fate();
        let (op, result) = match fate.map(|fate| fate % 8) {
            None | Some(0..=2) => (Op::Connect, Ok(0)),
            Some(3) => return,
            Some(4) => (Op::Connect, Err(libc::ECONNREFUSED)),
            Some(5) => (Op::Connect, Err(libc::EADDRNOTAVAIL)),
            Some(6) => (Op::Bind, Err(libc::EADDRINUSE)),
            Some(_) => (Op::Socket, Err(libc::EMFILE)),
        };
        replies.push(Reply::new(delay_ns(fate, 10 * US), op, result));
    }

    /// Takes requests, decides on what to say to them, and whether the kernel takes them.
    fn send(&mut self, index: usize, bytes: &[u8], replies: &mut Vec<Reply>) {
        let requests = bytes.windows(4).filter(|end| end == b"\r\n\r\n").count();
        let fate = self.fate();
        let side = &mut self.sides[index];
        side.ends |= bytes.ends_with(b"Connection: close\r\n\r\n");
        match fate.map(|fate| usize::from(fate % 16)) {
            None => side.unsaid.extend(ANSWER.repeat(requests)),
            Some(at) if at < ANSWERS.len() => {
                side.ends |= ANSWERS[at].starts_with(b"HTTP/1.0");
                side.unsaid.extend(ANSWERS[at].repeat(requests));
            }
            // One answer too few, one too many, and bytes of the input's own.
            Some(11) => side.unsaid.extend(ANSWER.repeat(requests - 1)),
            Some(12) => side.unsaid.extend(ANSWER.repeat(requests + 1)),
            Some(13) => {
                let length =
                    usize::from(self.fates.next().unwrap_or(0)).min(self.fates.bytes.len());
                let (raw, rest) = self.fates.bytes.split_at(length);
                side.unsaid.extend_from_slice(raw);
                self.fates.bytes = rest;
            }
            Some(14) => return replies.push(Reply::new(US, Op::Send, Err(libc::EPIPE))),
            // Says nothing to this send at all.
            Some(_) => return,
        }
        // Where sends are not confirmed this meets nobody, as when a kernel talks too much.
        if fate.is_none_or(|fate| fate < 240) {
            replies.push(Reply::new(delay_ns(fate, US), Op::Send, Ok(bytes.len())));
        }
    }

    /// Answers a receive, if there is anything to say.
    fn say(&mut self, slot: SlotId, replies: &mut Vec<Reply>) {
        let index = slot.index as usize;
        let nothing_to_say = self.sides[index].unsaid.is_empty() && !self.sides[index].ends;
        let fate = self.fate();
        if nothing_to_say && fate.is_none() {
            return;
        }
        let Some(demand) = self.sides[index].listens.take() else { return };
        let end = || Reply::bytes(US, Arc::new([]));
        let reset = |errno| Reply::new(US, Op::Receive, Err(errno));
        match fate.map(|fate| fate % 8) {
            None | Some(0..=2) => {}
            // From here on the slot is deaf.
            Some(3) => return,
            Some(4) => return replies.push(reset(libc::ECONNRESET)),
            Some(5) => return replies.push(end()),
            // Two replies for others come before the own one.
            Some(6) => strangers(slot, self.sides.len() as u32, replies),
            Some(_) => self.sides[index].unsaid.extend_from_slice(b"\r\n"),
        }
        let side = &mut self.sides[index];
        if side.unsaid.is_empty() && side.ends {
            return replies.push(end());
        }
        if side.unsaid.is_empty() {
            side.listens = Some(demand);
            return;
        }
        let room = match demand {
            Demand::Read => PIECE_BYTES_MAX,
            Demand::Discard(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        };
        let cut =
            fate.filter(|fate| fate % 8 == 1).map_or(usize::MAX, |fate| 1 + usize::from(fate / 8));
        let length = side.unsaid.len().min(room).min(cut);
        let piece: Vec<u8> = side.unsaid.drain(..length).collect();
        let more = fate.is_some_and(|fate| fate & 128 != 0) && !side.unsaid.is_empty();
        if fate.is_none() && side.unsaid.is_empty() {
            self.served_when_well[index] = true;
        }
        let reply = match demand {
            Demand::Read => Reply::bytes(delay_ns(fate, self.service_ns), piece.into()),
            Demand::Discard(_) => Reply::new(delay_ns(fate, US), Op::Receive, Ok(length)),
        };
        replies.push(Reply { more, ..reply });
    }
}

/// Up to some 60 ms for the higher fates, where a byte has room for that.
fn delay_ns(fate: Option<u8>, usual_ns: u64) -> u64 {
    match fate {
        Some(fate @ 128..) => u64::from(fate / 8 % 16) * 4 * MS + usual_ns,
        _ => usual_ns,
    }
}

/// Completions of the connection before, and of a slot that there is not.
fn strangers(slot: SlotId, slots: u32, replies: &mut Vec<Reply>) {
    let generation = slot.generation.wrapping_sub(1) & SlotId::GENERATION_MAX;
    for stranger in [SlotId { generation, ..slot }, SlotId { index: slots, generation: 0 }] {
        let reply = Reply::new(0, Op::Receive, Err(libc::ECONNRESET));
        replies.push(Reply { slot: Some(stranger), ..reply });
    }
}
