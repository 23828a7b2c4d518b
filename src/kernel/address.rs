//! Where connections go: an address and a port of the network, or a unix socket.

use rustix::net::{SocketAddrAny, SocketAddrUnix};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::{fmt, io};

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP, over IPv4 or IPv6.
    Inet(SocketAddr),
    /// A unix socket: no ports, no TIME_WAIT, no options of TCP, no reset.
    Unix(UnixSocket),
}

/// The socket that a server on this machine listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixSocket {
    /// A file.
    File(PathBuf),
    /// A name without a file, which only this network namespace knows.
    Abstract(OsString),
}

impl UnixSocket {
    /// The longest path or name, in bytes: `sun_path` has 108, of which one is the NUL behind a path
    /// or before a name.
    pub const BYTES_MAX: usize = 107;

    /// The path, or the name.
    pub fn bytes(&self) -> &[u8] {
        match self {
            UnixSocket::File(path) => path.as_os_str().as_bytes(),
            UnixSocket::Abstract(name) => name.as_bytes(),
        }
    }
}

impl Address {
    /// The address of a TCP target; `None` for a unix socket.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Address::Inet(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// The unix socket; `None` for a TCP target.
    pub fn unix(&self) -> Option<&UnixSocket> {
        match self {
            Address::Inet(_) => None,
            Address::Unix(socket) => Some(socket),
        }
    }

    /// Those of TCP among these.
    pub fn all_inet(addresses: &[Address]) -> Vec<SocketAddr> {
        addresses.iter().filter_map(Address::inet).collect()
    }

    /// As connect(2) takes it.
    ///
    /// # Errors
    /// `ENAMETOOLONG`.
    pub(crate) fn to_kernel(&self) -> io::Result<SocketAddrAny> {
        Ok(match self {
            Address::Inet(address) => (*address).into(),
            Address::Unix(UnixSocket::File(path)) => SocketAddrUnix::new(path)?.into(),
            Address::Unix(UnixSocket::Abstract(name)) => {
                SocketAddrUnix::new_abstract_name(name.as_bytes())?.into()
            }
        })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Inet(address)
    }
}

impl From<UnixSocket> for Address {
    fn from(socket: UnixSocket) -> Address {
        Address::Unix(socket)
    }
}

/// `127.0.0.1:80`, `unix:/run/app.sock`, `unix:@name`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => write!(f, "{address}"),
            Address::Unix(socket) => write!(f, "unix:{socket}"),
        }
    }
}

/// `/run/app.sock`, `@name`.
impl fmt::Display for UnixSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnixSocket::File(path) => write!(f, "{}", path.display()),
            UnixSocket::Abstract(name) => write!(f, "@{}", name.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_it_is() {
        let inet: SocketAddr = "[::1]:80".parse().unwrap();
        for (address, shown) in [
            (Address::from(inet), "[::1]:80"),
            (UnixSocket::File("/run/a b.sock".into()).into(), "unix:/run/a b.sock"),
            (UnixSocket::Abstract("app".into()).into(), "unix:@app"),
        ] {
            assert_eq!(address.to_string(), shown);
            assert_eq!((address.inet().is_some(), address.unix().is_some()), {
                let unix = shown.starts_with("unix:");
                (!unix, unix)
            });
        }
    }

    #[test]
    fn the_kernel_has_room_for_the_longest_name_that_is_accepted() {
        let name = |bytes| "n".repeat(bytes);
        for socket in [
            UnixSocket::File(name(UnixSocket::BYTES_MAX).into()),
            UnixSocket::Abstract(name(UnixSocket::BYTES_MAX).into()),
        ] {
            Address::from(socket).to_kernel().expect("room");
        }
        let too_long = UnixSocket::Abstract(name(UnixSocket::BYTES_MAX + 1).into());
        let error = Address::from(too_long).to_kernel().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    }
}
