//! A `Connection` header of the user's own replaces the one with which ringshot asks the server to
//! close. Pasted from a browser it is `keep-alive`, and then the server was not asked.

use crate::engine::policy::CloseMode;

/// Which side closes under these headers, and what to report about it before the run.
pub(super) fn resolve(
    wanted: CloseMode,
    requests_per_connection: Option<u64>,
    headers: &[(String, Vec<u8>)],
) -> (CloseMode, Option<String>) {
    let own: Vec<&[u8]> = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .map(|(_, value)| value.as_slice())
        .collect();
    let asks = own.iter().any(|value| asks_to_close(value));
    match (wanted, requests_per_connection) {
        _ if own.is_empty() => (wanted, None),
        (_, None | Some(2..)) if asks => {
            let note = "the Connection header asks the server to close after each request, so no \
                        connection is kept; leave the header out to keep connections";
            (wanted, Some(note.into()))
        }
        // Without a last request on a connection, no request asks.
        (CloseMode::Server, Some(_)) if !asks => {
            let note = "the Connection header does not ask the server to close, so ringshot closes \
                        each connection first (--close client); -k keeps connections, and without \
                        the header the server closes them";
            (CloseMode::Client, Some(note.into()))
        }
        _ => (wanted, None),
    }
}

/// Whether `close` is among the options of a `Connection` header (RFC 9110 §7.6.1).
fn asks_to_close(value: &[u8]) -> bool {
    let mut options = value.split(|&byte| byte == b',');
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use CloseMode::{Client, Rst, Server};

    #[test]
    fn the_server_closes_only_where_a_request_asks_it_to() {
        let each = Some(1);
        for (wanted, per_connection, values, expected, said) in [
            (Server, each, &[][..], Server, ""),
            (Server, each, &["keep-alive"][..], Client, "does not ask"),
            (Server, Some(5), &["Keep-Alive, Upgrade"], Client, "does not ask"),
            (Server, each, &[""], Client, "does not ask"),
            (Server, each, &["closed"], Client, "does not ask"),
            (Server, each, &["close"], Server, ""),
            (Server, each, &["keep-alive, \tCLOSE"], Server, ""),
            (Server, each, &["keep-alive", "te,close"], Server, ""),
            (Server, Some(5), &["close"], Server, "no connection is kept"),
            (Client, None, &["close"], Client, "no connection is kept"),
            // The server was not to be asked.
            (Server, None, &["keep-alive"], Server, ""),
            (Client, each, &["keep-alive"], Client, ""),
            (Rst, each, &["upgrade"], Rst, ""),
        ] {
            let header = |value: &&str| ("cONNECTION".to_owned(), value.as_bytes().to_vec());
            let headers: Vec<_> = values.iter().map(header).collect();
            let (close, note) = resolve(wanted, per_connection, &headers);
            assert_eq!(close, expected, "{values:?}");
            assert!(note.as_deref().unwrap_or("").contains(said), "{values:?}: {note:?}");
            assert_eq!(note.is_some(), !said.is_empty(), "{values:?}: {note:?}");
        }
    }
}
