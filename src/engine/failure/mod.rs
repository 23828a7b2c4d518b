//! The closed vocabulary of what can go wrong: a phase and a kind, nothing else.
//!
//! Every failed request has exactly one [`Failure`]. The phase says how far the request had come,
//! the kind says what stopped it: the kernel's errno, never swallowed, or one of a few words for
//! what no errno can say. Where the peer gave a number for it, that is there by its name ([`Code`]).

mod code;

pub use code::{Code, Codes};
use std::fmt;

/// How far a request had come when it failed, in the order of a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Turning the host name into addresses.
    Resolve,
    /// Creating the socket and setting its options.
    Socket,
    /// Choosing the source address and port.
    Bind,
    /// The TCP handshake.
    Connect,
    /// The TLS handshake.
    Tls,
    /// What the protocol agrees on before its first request: a greeting, an upgrade, a login.
    Setup,
    /// Handing the request to the kernel.
    Send,
    /// The socket broke while bytes of the response were awaited.
    Receive,
    /// The bytes of the response, or their absence, are at fault.
    Response,
    /// The response was whole, and not the one that was wanted.
    Verify,
}

impl Phase {
    /// The word used in reports and in the result document.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Resolve => "resolve",
            Phase::Socket => "socket",
            Phase::Bind => "bind",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::Setup => "setup",
            Phase::Send => "send",
            Phase::Receive => "receive",
            Phase::Response => "response",
            Phase::Verify => "verify",
        }
    }
}

/// What stopped a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The kernel's answer, as a positive errno.
    Errno(i32),
    /// The time for one request was over.
    Timeout,
    /// The peer closed before the response was whole.
    Eof,
    /// The bytes are not a response of this protocol.
    Malformed,
    /// A part of the response is beyond a limit of ours.
    TooLarge,
    /// A whole response with a status that was not wanted.
    Status,
    /// A whole response with a body that was not wanted.
    Body,
    /// What the peer says that it is, in a number of its protocol.
    Peer(Code),
    /// The session has broken its contract with the loop: a fault of the protocol's own code.
    Contract,
}

impl fmt::Display for Kind {
    /// The errno's symbolic name, or the word of the vocabulary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Kind::Errno(errno) => return write_errno(errno, f),
            Kind::Timeout => "timeout",
            Kind::Eof => "eof",
            Kind::Malformed => "malformed",
            Kind::TooLarge => "too_large",
            Kind::Status => "status",
            Kind::Body => "body",
            Kind::Peer(code) => return code.fmt(f),
            Kind::Contract => "contract",
        })
    }
}

/// `ECONNREFUSED` for 111; `errno 4095` for a number that nobody has named.
fn write_errno(errno: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match nix::errno::Errno::from_raw(errno) {
        nix::errno::Errno::UnknownErrno => write!(f, "errno {errno}"),
        // nix names its variants exactly as the C headers do.
        named => write!(f, "{named:?}"),
    }
}

/// One failed request: how far it came, and what stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Failure {
    /// How far it came.
    pub phase: Phase,
    /// What stopped it.
    pub kind: Kind,
}

impl Failure {
    /// A failure named by the kernel.
    pub fn errno(phase: Phase, errno: i32) -> Failure {
        Failure { phase, kind: Kind::Errno(errno) }
    }

    /// A failure of the response's own bytes, or of their absence.
    pub fn response(kind: Kind) -> Failure {
        Failure { phase: Phase::Response, kind }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.phase.name(), self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_phase_and_kind() {
        let refused = Failure::errno(Phase::Connect, libc::ECONNREFUSED);
        assert_eq!(refused.to_string(), "connect/ECONNREFUSED");
        assert_eq!(Failure::response(Kind::TooLarge).to_string(), "response/too_large");
        let refused = Kind::Peer(Code { of: Codes::Rst, number: 7 });
        assert_eq!(Failure::response(refused).to_string(), "response/rst_refused_stream");
        // Each connection has room for it.
        assert_eq!(size_of::<Failure>(), 12);
    }

    #[test]
    fn an_errno_keeps_its_name_and_an_unknown_one_its_number() {
        assert_eq!(Kind::Errno(libc::EADDRNOTAVAIL).to_string(), "EADDRNOTAVAIL");
        assert_eq!(Kind::Errno(libc::EAGAIN).to_string(), "EAGAIN");
        assert_eq!(Kind::Errno(4095).to_string(), "errno 4095");
    }
}
