//! Fills the connection tracking table of a network namespace.
//!
//! The limit, `nf_conntrack_max`, is the machine's and not to be touched; but every namespace is
//! held to it by its own count. So the table is filled with made-up entries over netlink, and the
//! kernel forgets them with the namespace. They are marked ASSURED, or the kernel would drop them
//! early to make room.

use super::netns::Namespace;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::time::Duration;

/// Entries in one message to the kernel.
const BATCH: usize = 128;

/// How long an entry is to live.
const TIMEOUT_S: u32 = 600;

/// From linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_NEW: u16 = 0;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_TIMEOUT: u16 = 7;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const IPS_SEEN_REPLY: u32 = 1 << 1;
const IPS_ASSURED: u32 = 1 << 2;
const IPS_CONFIRMED: u32 = 1 << 3;
const NLA_F_NESTED: u16 = 1 << 15;
const CREATE: i32 = libc::NLM_F_REQUEST | libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// How many entries the table may have.
pub fn limit(namespace: &Namespace) -> u64 {
    namespace.get("net.netfilter.nf_conntrack_max").parse().expect("a number")
}

/// Puts entries into the table until it has so many.
pub fn fill(namespace: &Namespace, entries: u64) -> io::Result<()> {
    let netfilter = Protocol::from(libc::NETLINK_NETFILTER);
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(netfilter))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let count = |namespace: &Namespace| -> u64 {
        namespace.get("net.netfilter.nf_conntrack_count").parse().expect("a number")
    };
    let missing = entries.saturating_sub(count(namespace)) as u32;
    let mut batch = Batch::new();
    let mut number = 0;
    while number < missing {
        let entries = (BATCH as u32).min(missing - number);
        socket.send(batch.numbered(number, entries as usize))?;
        acknowledged(&socket)?;
        number += entries;
    }
    let reached = count(namespace);
    match reached >= entries {
        true => Ok(()),
        false => Err(io::Error::other(format!("only {reached} of {entries} entries"))),
    }
}

/// Reads the kernel's answer: a message with a negative errno, or 0.
fn acknowledged(mut socket: &Socket) -> io::Result<()> {
    let mut answer = [0; 4096];
    let count = io::Read::read(&mut socket, &mut answer)?;
    let Some(code) = answer[..count].get(16..20) else {
        return Err(io::Error::other("a short answer"));
    };
    match i32::from_ne_bytes(code.try_into().expect("four bytes")) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

/// Messages that make one entry each, equal but for the client's address and port.
struct Batch {
    bytes: Vec<u8>,
    entry_bytes: usize,
    /// Where in an entry the client is: in the tuple of either direction.
    addresses: [usize; 2],
    ports: [usize; 2],
}

impl Batch {
    fn new() -> Batch {
        let client: (u32, u16) = (0xaabb_ccdd, 0xeeff);
        let messages: Vec<Vec<u8>> = (0..BATCH).map(|_| entry(client)).collect();
        let bytes = &messages[0];
        let find = |marker: &[u8]| -> Vec<usize> {
            (0..bytes.len()).filter(|&at| bytes[at..].starts_with(marker)).collect()
        };
        let addresses = find(&client.0.to_be_bytes()).try_into().expect("two addresses");
        let ports = find(&client.1.to_be_bytes()).try_into().expect("two ports");
        let entry_bytes = bytes.len();
        Batch { bytes: messages.concat(), entry_bytes, addresses, ports }
    }

    /// So many entries for clients from a number on.
    fn numbered(&mut self, first: u32, entries: usize) -> &[u8] {
        let used = entries * self.entry_bytes;
        let last = first + entries as u32 - 1;
        let messages = self.bytes[..used].chunks_exact_mut(self.entry_bytes);
        for (number, entry) in (first..=last).zip(messages) {
            let client = (0x0a00_0000 | number >> 16, (number & 0xffff) as u16);
            for at in self.addresses {
                entry[at..at + 4].copy_from_slice(&client.0.to_be_bytes());
            }
            for at in self.ports {
                entry[at..at + 2].copy_from_slice(&client.1.to_be_bytes());
            }
            // Failures are always answered; a success only where it is asked for.
            let flags = if number == last { CREATE | libc::NLM_F_ACK } else { CREATE };
            entry[6..8].copy_from_slice(&(flags as u16).to_ne_bytes());
        }
        &self.bytes[..used]
    }
}

/// The message that makes an entry: a UDP exchange of two addresses that nobody has.
fn entry(client: (u32, u16)) -> Vec<u8> {
    let server = (0x0b00_0001, 9);
    let status = IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED;
    let mut body = vec![libc::AF_INET as u8, 0, 0, 0]; // struct nfgenmsg
    body.extend(tuple(CTA_TUPLE_ORIG, client, server));
    body.extend(tuple(CTA_TUPLE_REPLY, server, client));
    body.extend(attribute(CTA_STATUS, &status.to_be_bytes()));
    body.extend(attribute(CTA_TIMEOUT, &TIMEOUT_S.to_be_bytes()));

    // struct nlmsghdr: length, type, flags, sequence number, sender.
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend((NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW).to_ne_bytes());
    message.extend((CREATE as u16).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn tuple(kind: u16, from: (u32, u16), to: (u32, u16)) -> Vec<u8> {
    let addresses = [
        attribute(CTA_IP_V4_SRC, &from.0.to_be_bytes()),
        attribute(CTA_IP_V4_DST, &to.0.to_be_bytes()),
    ];
    let ports = [
        attribute(CTA_PROTO_NUM, &[libc::IPPROTO_UDP as u8]),
        attribute(CTA_PROTO_SRC_PORT, &from.1.to_be_bytes()),
        attribute(CTA_PROTO_DST_PORT, &to.1.to_be_bytes()),
    ];
    let parts = [
        attribute(CTA_TUPLE_IP | NLA_F_NESTED, &addresses.concat()),
        attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, &ports.concat()),
    ];
    attribute(kind | NLA_F_NESTED, &parts.concat())
}

/// struct nlattr: length and type, then the value, filled up to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = 4 + value.len();
    let mut bytes = Vec::with_capacity(len.next_multiple_of(4));
    bytes.extend((len as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(len.next_multiple_of(4), 0);
    bytes
}
