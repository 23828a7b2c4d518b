//! Unix sockets: what is bound to a path or a name, and how full its queue is.
//!
//! Only sockets of this network namespace are listed. A path leads to a server in another one all
//! the same, so a socket that is not listed may exist.

use super::diag;
use super::sockets::Listener;
use crate::kernel::UnixSocket;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NlasIterator, Parseable,
};
use netlink_packet_sock_diag::constants::{
    TCP_LISTEN, UNIX_DIAG_NAME, UNIX_DIAG_RQLEN, UNIX_DIAG_VFS,
};
use netlink_packet_sock_diag::message::SockDiagMessage;
use netlink_packet_sock_diag::unix::{
    ShowFlags, StateFlags, UnixRequest, UnixResponseBuffer, UnixResponseHeader,
};
use nix::sys::stat::{major, minor};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;

/// A socket that is bound to the path or the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Its number among all files, by which a process that holds it can be found.
    pub inode: u32,
    /// `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_SEQPACKET`.
    pub kind: libc::c_int,
    /// Its queue, if it listens.
    pub listener: Option<Listener>,
}

/// What is bound to it; none that is seen from here.
///
/// # Errors
/// Where sock_diag is not to be had: a kernel without `unix_diag`, a filter on system calls.
pub(crate) fn bound(socket: &UnixSocket) -> io::Result<Vec<Bound>> {
    let place = BoundTo::of(socket)?;
    let mut found = Vec::new();
    diag::ask(&request(), &mut |payload| {
        found.extend(row(payload)?.filter(|row| place.has(row)).map(|row| row.bound));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// What would accept connections to it; `None` when nothing does that is seen from here.
///
/// # Errors
/// As [`bound`].
pub(crate) fn listener(socket: &UnixSocket) -> io::Result<Option<Listener>> {
    Ok(bound(socket)?.iter().find_map(|bound| bound.listener))
}

/// The numbers of the sockets that [`listener`] reports.
///
/// # Errors
/// As [`bound`].
pub(crate) fn listener_inodes(socket: &UnixSocket) -> io::Result<Vec<u32>> {
    let listening = bound(socket)?.into_iter().filter(|bound| bound.listener.is_some());
    Ok(listening.map(|bound| bound.inode).collect())
}

/// What shows that a socket is bound there. A path is compared by its file: it can be spelled in
/// many ways, and the file that was there before has another number.
enum BoundTo<'a> {
    File { inode: u32, device: u32, path: &'a [u8] },
    Abstract(&'a [u8]),
}

impl BoundTo<'_> {
    fn of(socket: &UnixSocket) -> io::Result<BoundTo<'_>> {
        Ok(match socket {
            UnixSocket::Abstract(_) => BoundTo::Abstract(socket.bytes()),
            UnixSocket::File(path) => {
                let file = std::fs::metadata(path)?;
                // As the kernel keeps it, and in the 32 bits that it shows.
                let device = (major(file.dev()) << 20 | minor(file.dev())) as u32;
                BoundTo::File { inode: file.ino() as u32, device, path: socket.bytes() }
            }
        })
    }

    fn has(&self, row: &UnixRow) -> bool {
        match self {
            BoundTo::Abstract(name) => row.name.strip_prefix(&[0]) == Some(name),
            // stat(2) shows another device than the file system's own on some (btrfs, overlayfs).
            BoundTo::File { inode, device, path } => {
                row.file.is_some_and(|(of_row, device_of_row)| {
                    of_row == *inode && (device_of_row == *device || row.name == *path)
                })
            }
        }
    }
}

/// A socket as it is listed.
#[derive(Debug, PartialEq, Eq)]
struct UnixRow {
    bound: Bound,
    /// The path; a name behind a NUL.
    name: Vec<u8>,
    /// The number and the device of the file.
    file: Option<(u32, u32)>,
}

/// All sockets, in whatever state.
fn request() -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = UnixRequest {
        state_flags: StateFlags::from_bits_retain(u32::MAX),
        inode: 0,
        show_flags: ShowFlags::NAME | ShowFlags::VFS | ShowFlags::RQLEN,
        cookie: [0xff; 8],
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::UnixRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The fixed part of a row and the attributes that matter; `None` for a socket without a name.
fn row(payload: &[u8]) -> io::Result<Option<UnixRow>> {
    let header = UnixResponseHeader::parse(payload).map_err(diag::invalid)?;
    let attributes = &payload[size_of::<UnixResponseBuffer>()..];
    let (mut name, mut file, mut queue) = (None, None, None);
    // Attributes that cannot be read end the list: the row itself is whole.
    for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
        let value = attribute.value();
        match attribute.kind() {
            UNIX_DIAG_NAME => name = Some(value.to_vec()),
            UNIX_DIAG_VFS => file = pair(value),
            UNIX_DIAG_RQLEN => queue = pair(value),
            _ => {}
        }
    }
    let Some(name) = name else { return Ok(None) };
    // A path may end with a NUL; a name without a file starts with one.
    let name = match name.iter().position(|&byte| byte == 0) {
        Some(end @ 1..) => name[..end].to_vec(),
        _ => name,
    };
    let listens = header.state == TCP_LISTEN;
    let listener = queue.filter(|_| listens);
    Ok(Some(UnixRow {
        bound: Bound {
            inode: header.inode,
            kind: header.kind.into(),
            listener: listener.map(|(queued, backlog)| Listener { backlog, queued, count: 1 }),
        },
        name,
        file,
    }))
}

/// Two numbers, as the kernel writes them.
fn pair(value: &[u8]) -> Option<(u32, u32)> {
    let (first, rest) = value.split_first_chunk()?;
    Some((u32::from_ne_bytes(*first), u32::from_ne_bytes(*rest.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use socket2::{Domain, SockAddr, Socket, Type};
    use std::path::Path;

    fn bind(path: &Path, kind: Type) -> Socket {
        let socket = Socket::new(Domain::UNIX, kind, None).expect("a socket");
        socket.bind(&SockAddr::unix(path).expect("a short path")).expect("bound");
        socket
    }

    #[test]
    fn a_listener_is_found_by_its_file_however_the_path_is_spelled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let other = bind(&directory.path().join("other.sock"), Type::STREAM);
        other.listen(3).unwrap();
        let first = bind(&path, Type::STREAM);
        first.listen(5).unwrap();
        // Another socket has the path now: the first still listens, and no client reaches it.
        std::fs::remove_file(&path).unwrap();
        let socket = bind(&path, Type::STREAM);
        socket.listen(7).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for spelled in [path.clone(), link, directory.path().join("../").join(&path)] {
            let spelled = UnixSocket::File(spelled);
            let found = listener(&spelled).unwrap();
            assert_eq!(found, Some(Listener { backlog: 7, queued: 0, count: 1 }), "{spelled}");
            assert_eq!(listener_inodes(&spelled).unwrap().len(), 1, "{spelled}");
        }
        let _waits = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        _waits.connect(&SockAddr::unix(&path).unwrap()).unwrap();
        let found = listener(&UnixSocket::File(path)).unwrap();
        assert_eq!(found, Some(Listener { backlog: 7, queued: 1, count: 1 }));
    }

    #[test]
    fn what_is_bound_and_does_not_listen_is_told_with_its_kind() {
        let directory = tempfile::tempdir().unwrap();
        for (kind, number) in [(Type::DGRAM, libc::SOCK_DGRAM), (Type::STREAM, libc::SOCK_STREAM)] {
            let path = directory.path().join(number.to_string());
            let _socket = bind(&path, kind);
            let found = bound(&UnixSocket::File(path)).unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].kind, found[0].listener), (number, None));
        }
        let missing = UnixSocket::File(directory.path().join("missing"));
        assert_eq!(bound(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_name_without_a_file_is_found() {
        let name = format!("ringshot-{}", std::process::id());
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(format!("\0{name}")).unwrap()).unwrap();
        socket.listen(9).unwrap();
        let found = |name: &str| listener(&UnixSocket::Abstract(name.into())).unwrap();
        assert_eq!(found(&name), Some(Listener { backlog: 9, queued: 0, count: 1 }));
        assert_eq!(found(&format!("{name}-not")), None);
    }

    #[test]
    fn a_row_that_is_cut_off_is_an_error_and_one_without_a_name_none() {
        let header = [1, 1, TCP_LISTEN, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for length in 0..header.len() {
            let error = row(&header[..length]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}");
        }
        assert_eq!(row(&header).unwrap(), None);
        // A name of one NUL and nothing behind it, and a queue of which half is missing.
        let attributes = [5, 0, 0, 0, 0, 0, 0, 0, 8, 0, 4, 0, 1, 0, 0, 0];
        let found = row(&[&header[..], &attributes].concat()).unwrap().expect("a row");
        assert_eq!((found.name, found.bound.inode, found.bound.listener), (vec![0], 7, None));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = row(&bytes);
        }
    }
}
