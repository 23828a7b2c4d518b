//! Numbers by which a peer says why, and their names.

use std::fmt;

/// Whose numbers they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codes {
    /// TLS alerts (RFC 8446 §6, and those of before that are still met).
    Alert,
    /// Errors of an HTTP/2 stream (RFC 9113 §7).
    Rst,
    /// Why a WebSocket was closed (RFC 6455 §7.4): these go by their number.
    Close,
    /// Statuses of gRPC (its `statuscodes.md`).
    Grpc,
}

/// A peer's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code {
    /// Whose.
    pub of: Codes,
    /// The number.
    pub number: u32,
}

impl Code {
    /// The name that its standard gives it, in lower case.
    fn name(self) -> Option<&'static str> {
        let names = match self.of {
            Codes::Alert => ALERTS,
            Codes::Rst => RSTS,
            Codes::Close => return None,
            Codes::Grpc => GRPC,
        };
        names.iter().find(|&&(number, _)| number == self.number).map(|&(_, name)| name)
    }
}

impl fmt::Display for Code {
    /// `alert_unknown_ca`, `rst_refused_stream`, `close_1005`, `grpc_unavailable`; and by its number
    /// what has no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Codes::Alert => "alert",
            Codes::Rst => "rst",
            Codes::Close => "close",
            Codes::Grpc => "grpc",
        };
        match (self.name(), self.of) {
            (Some(name), _) => write!(f, "{of}_{name}"),
            // As its standard has it: a number that is not defined is this one.
            (None, Codes::Grpc) => f.write_str("grpc_unknown"),
            (None, _) => write!(f, "{of}_{}", self.number),
        }
    }
}

const ALERTS: &[(u32, &str)] = &[
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (41, "no_certificate"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (60, "export_restriction"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (111, "certificate_unobtainable"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (114, "bad_certificate_hash_value"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
];

const RSTS: &[(u32, &str)] = &[
    (0, "no_error"),
    (1, "protocol_error"),
    (2, "internal_error"),
    (3, "flow_control_error"),
    (4, "settings_timeout"),
    (5, "stream_closed"),
    (6, "frame_size_error"),
    (7, "refused_stream"),
    (8, "cancel"),
    (9, "compression_error"),
    (10, "connect_error"),
    (11, "enhance_your_calm"),
    (12, "inadequate_security"),
    (13, "http_1_1_required"),
];

const GRPC: &[(u32, &str)] = &[
    (0, "ok"),
    (1, "cancelled"),
    (2, "unknown"),
    (3, "invalid_argument"),
    (4, "deadline_exceeded"),
    (5, "not_found"),
    (6, "already_exists"),
    (7, "permission_denied"),
    (8, "resource_exhausted"),
    (9, "failed_precondition"),
    (10, "aborted"),
    (11, "out_of_range"),
    (12, "unimplemented"),
    (13, "internal"),
    (14, "unavailable"),
    (15, "data_loss"),
    (16, "unauthenticated"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_name_of_its_standard_or_itself() {
        for (of, number, text) in [
            (Codes::Alert, 48, "alert_unknown_ca"),
            (Codes::Alert, 120, "alert_no_application_protocol"),
            (Codes::Alert, 211, "alert_211"),
            (Codes::Rst, 7, "rst_refused_stream"),
            (Codes::Rst, 13, "rst_http_1_1_required"),
            (Codes::Rst, u32::MAX, "rst_4294967295"),
            (Codes::Close, 1005, "close_1005"),
            (Codes::Grpc, 14, "grpc_unavailable"),
            (Codes::Grpc, 99, "grpc_unknown"),
        ] {
            assert_eq!(Code { of, number }.to_string(), text);
        }
    }
}
