//! Where a socket is: an Internet address or a Unix one.

use nix::sys::socket::{SockaddrLike, SockaddrStorage, UnixAddr};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
};

/// The address of a socket, or of its peer.
///
/// Parsed from text by [`ToAddress`]: what contains a slash is a Unix path, everything else is
/// `IP:PORT`, with an IPv6 address in brackets. Host names are not looked up: that blocks. See
/// [`connect_to`](crate::Reactor::connect_to) for them.
///
/// ```
/// use asyncore::{Address, ToAddress};
///
/// assert_eq!("127.0.0.1:80".to_address()?.to_string(), "127.0.0.1:80");
/// assert_eq!("/run/x.sock".to_address()?, Address::Unix("/run/x.sock".into()));
/// assert!("localhost:80".to_address().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IPv4 or IPv6 address with its port (`AF_INET`, `AF_INET6`).
    Inet(SocketAddr),
    /// A path in the file system (`AF_UNIX`).
    Unix(PathBuf),
    /// A name in Linux's abstract namespace (`AF_UNIX`), without its leading zero byte.
    Abstract(Vec<u8>),
    /// A Unix socket that was never bound, as most clients are; or a family without addresses.
    Unnamed,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
            Self::Unnamed => f.write_str("(unnamed)"),
        }
    }
}

impl Address {
    /// The Internet address, if it is one.
    #[must_use]
    pub fn as_inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            _ => None,
        }
    }

    pub(super) fn from_raw(raw: &SockaddrStorage) -> Self {
        if let Some(inet) = raw.as_sockaddr_in() {
            return Self::Inet(SocketAddr::V4(SocketAddrV4::from(*inet)));
        }
        if let Some(inet6) = raw.as_sockaddr_in6() {
            return Self::Inet(SocketAddr::V6(SocketAddrV6::from(*inet6)));
        }
        let Some(unix) = raw.as_unix_addr() else {
            return Self::Unnamed;
        };
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = unix.as_abstract() {
            return Self::Abstract(name.to_vec());
        }
        unix.path().map_or(Self::Unnamed, |path| Self::Unix(path.to_owned()))
    }

    /// Hands `call` the address as the kernel takes it.
    pub(super) fn with_raw<R>(
        &self,
        call: impl FnOnce(&dyn SockaddrLike) -> nix::Result<R>,
    ) -> io::Result<R> {
        Ok(match self {
            Self::Inet(address) => call(&SockaddrStorage::from(*address)),
            Self::Unix(path) => call(&UnixAddr::new(path)?),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Abstract(name) => call(&UnixAddr::new_abstract(name)?),
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Self::Abstract(_) => Err(nix::Error::EAFNOSUPPORT),
            Self::Unnamed => Err(nix::Error::EDESTADDRREQ),
        }?)
    }
}

/// What can be given where an address is wanted: text, std's addresses, paths.
///
/// See [`Address`] for what text may say.
pub trait ToAddress {
    /// Converts to an address.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput): the text is not an address.
    fn to_address(&self) -> io::Result<Address>;
}

impl<T: ToAddress + ?Sized> ToAddress for &T {
    fn to_address(&self) -> io::Result<Address> {
        (**self).to_address()
    }
}

impl ToAddress for Address {
    fn to_address(&self) -> io::Result<Address> {
        Ok(self.clone())
    }
}

impl ToAddress for SocketAddr {
    fn to_address(&self) -> io::Result<Address> {
        Ok(Address::Inet(*self))
    }
}

impl ToAddress for (IpAddr, u16) {
    fn to_address(&self) -> io::Result<Address> {
        Ok(Address::Inet((*self).into()))
    }
}

impl ToAddress for Path {
    fn to_address(&self) -> io::Result<Address> {
        Ok(Address::Unix(self.to_owned()))
    }
}

impl ToAddress for PathBuf {
    fn to_address(&self) -> io::Result<Address> {
        self.as_path().to_address()
    }
}

impl ToAddress for str {
    fn to_address(&self) -> io::Result<Address> {
        if self.contains('/') {
            return Path::new(self).to_address();
        }
        self.parse().map(Address::Inet).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{self:?} is neither IP:PORT nor a path with a slash"),
            )
        })
    }
}

impl ToAddress for String {
    fn to_address(&self) -> io::Result<Address> {
        self.as_str().to_address()
    }
}
