//! What the doctor has to say.

use crate::preflight::checks::Check;
use crate::tuning::obsolete::Obsolete;
use serde::Serialize;
use std::net::SocketAddr;

/// The name and version of the document's shape.
pub(crate) const SCHEMA: &str = "ringshot.doctor/1";

/// What the doctor has to say.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Diagnosis {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The version of ringshot.
    pub version: &'static str,
    /// What was typed, without secrets.
    pub command: Vec<String>,
    /// The URL, without a password; null for the bundled server.
    pub url: Option<String>,
    /// The addresses of the target, in the order in which a run tries them, of which none was tried;
    /// empty for the bundled server and for a unix socket.
    pub addresses: Vec<SocketAddr>,
    /// The unix socket that connections would go to; null for TCP.
    pub unix_socket: Option<String>,
    /// Who would choose the source ports, and why.
    pub source_ports: String,
    /// Whether nothing would limit the plan.
    pub fits: bool,
    /// Everything that matters to the plan, worst first.
    pub checks: Vec<Check>,
    /// Settings in the box's files that do nothing, or harm.
    pub obsolete: Vec<Obsolete>,
}
