//! What all connections of a run do alike.

/// Who ends a connection, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseMode {
    /// The peer is asked to, and waited for: it keeps TIME_WAIT.
    Server,
    /// We do, as soon as the answer is whole: we keep TIME_WAIT.
    Client,
    /// We reset: nobody keeps TIME_WAIT.
    Rst,
}

impl CloseMode {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            CloseMode::Server => "server",
            CloseMode::Client => "client",
            CloseMode::Rst => "rst",
        }
    }
}

/// What all connections of a run do alike.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Requests on one connection; `None` for as many as it carries.
    pub requests_per_connection: Option<u64>,
    /// Requests under way at once; 0 for connections without any.
    pub pipeline: u32,
    /// Connections are opened whether or not there is a request for them, and opened again when they
    /// end.
    pub holds: bool,
    /// How a connection ends.
    pub close: CloseMode,
    /// The time for one request, connect included.
    pub timeout_ns: u64,
    /// From this size on, the rest of a body is thrown away unseen.
    pub discard_from_bytes: u64,
}
