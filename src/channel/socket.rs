//! What a socket can do: asyncore's `create_socket`, `bind`, `listen`, `connect`, `accept`, ...

use super::{Address, Channel, Kind, Marks, State, ToAddress, make_nonblocking_and_cloexec, retry};
use nix::{
    errno::Errno,
    poll::{self, PollFd, PollFlags, PollTimeout},
    sys::socket::{
        self, AddressFamily, Backlog, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage,
        sockopt,
    },
};
use std::{
    io::{self, IoSlice},
    net::Shutdown,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// The address family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 (`AF_INET`).
    Inet,
    /// IPv6 (`AF_INET6`).
    Inet6,
    /// Local sockets with a path (`AF_UNIX`).
    Unix,
}

impl Family {
    /// The family that `address` belongs to.
    #[must_use]
    pub fn of(address: &Address) -> Self {
        match address {
            Address::Inet(address) if address.is_ipv4() => Self::Inet,
            Address::Inet(_) => Self::Inet6,
            _ => Self::Unix,
        }
    }
}

/// The type of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// A connection of bytes: TCP or a Unix stream (`SOCK_STREAM`).
    Stream,
    /// Messages: UDP or Unix datagrams (`SOCK_DGRAM`).
    Datagram,
}

/// Sockets.
impl Channel {
    /// Makes a socket (asyncore's `create_socket`).
    ///
    /// # Errors
    ///
    /// Those of `socket(2)`: `EMFILE`, `EAFNOSUPPORT`, ...
    pub fn create_socket(family: Family, kind: Type) -> io::Result<Self> {
        let family = match family {
            Family::Inet => AddressFamily::Inet,
            Family::Inet6 => AddressFamily::Inet6,
            Family::Unix => AddressFamily::Unix,
        };
        let (socket_type, kind) = match kind {
            Type::Stream => (SockType::Stream, Kind::Stream),
            Type::Datagram => (SockType::Datagram, Kind::Datagram),
        };
        let fd = socket::socket(family, socket_type, new_flags(), None::<SockProtocol>)?;
        if new_flags().is_empty() {
            make_nonblocking_and_cloexec(fd.as_fd())?;
        }
        Ok(Self::with(fd, kind, State::Unconnected, None))
    }

    /// Lets the address be bound again while connections of its last owner are in `TIME_WAIT`
    /// (asyncore's `set_reuse_addr`, `SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`; asyncore ignores them.
    pub fn set_reuse_addr(&self) -> io::Result<()> {
        Ok(socket::setsockopt(&self.open_fd()?, sockopt::ReuseAddr, &true)?)
    }

    /// Lets several sockets be bound to one address, if all of them say so before they are bound
    /// (`SO_REUSEPORT`). This is how several reactors, each on a thread of its own, serve one port.
    ///
    /// On Linux and FreeBSD the kernel spreads connections and datagrams over the sockets, by a
    /// hash of the addresses: a peer's datagrams all come to the same one, and how busy each is
    /// counts for nothing. A listener that closes takes the connections with it that it had not
    /// accepted. Elsewhere one of the sockets may get everything.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`. Unix sockets cannot share a path, whether it is refused here or by
    /// [`bind`](Self::bind).
    pub fn set_reuse_port(&self) -> io::Result<()> {
        #[cfg(not(target_os = "freebsd"))]
        use sockopt::ReusePort;
        #[cfg(target_os = "freebsd")]
        use sockopt::ReusePortLb as ReusePort;
        Ok(socket::setsockopt(&self.open_fd()?, ReusePort, &true)?)
    }

    /// Binds the socket to an address; port 0 lets the kernel choose, and
    /// [`local_addr`](Self::local_addr) says what it chose.
    ///
    /// # Errors
    ///
    /// Those of `bind(2)`: `EADDRINUSE`, `EACCES`, ...
    pub fn bind(&self, address: impl ToAddress) -> io::Result<()> {
        let fd = self.open_fd()?.as_raw_fd();
        address.to_address()?.with_raw(|raw| socket::bind(fd, raw))
    }

    /// Listens for connections; the kernel lowers a `backlog` beyond its own limit.
    ///
    /// # Errors
    ///
    /// Those of `listen(2)`.
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        let backlog = i32::try_from(backlog).ok().and_then(|backlog| Backlog::new(backlog).ok());
        socket::listen(&self.open_fd()?, backlog.unwrap_or(Backlog::MAXCONN))?;
        self.state.set(State::Listening);
        Ok(())
    }

    /// Starts to connect; `handle_connect` comes in a later pass, even if it succeeds at once.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`, and `EISCONN`, `EALREADY` or `EINVAL` if the channel is connected,
    /// connecting or listening. A Unix socket's full backlog is [`WouldBlock`]. After an error the
    /// channel is as it was.
    ///
    /// A connect that fails later is told by `handle_error`, then `handle_close`, and is final.
    ///
    /// [`WouldBlock`]: io::ErrorKind::WouldBlock
    pub fn connect(&self, address: impl ToAddress) -> io::Result<()> {
        match self.state() {
            State::Connected => return Err(Errno::EISCONN.into()),
            State::Connecting => return Err(Errno::EALREADY.into()),
            State::Listening => return Err(Errno::EINVAL.into()),
            State::Unconnected | State::Closed => {}
        }
        let fd = self.open_fd()?.as_raw_fd();
        let address = address.to_address()?;
        address.with_raw(|raw| match socket::connect(fd, raw) {
            // An interrupted connect goes on by itself.
            Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(()),
            result => result,
        })?;
        // Whoever has a peer is connected or was, and came no further than this.
        let _ = self.peer.set(address);
        self.state.set(State::Connecting);
        Ok(())
    }

    /// Whether a connect has nothing to wait for: a datagram socket only notes its peer.
    pub(crate) fn connects_at_once(&self) -> bool {
        self.kind == Kind::Datagram
    }

    /// Reads, once, what became of the connect.
    pub(crate) fn finish_connect(&self) -> io::Result<()> {
        if let Some(errno) = self.failure.take() {
            self.unmark(Marks::BROKEN);
            return Err(errno.into());
        }
        // Where it connects at once, an error is that of a datagram sent since.
        if !self.connects_at_once() {
            let errno =
                socket::getsockopt(self, sockopt::SocketError).map_err(|errno| self.note(errno))?;
            if errno != 0 {
                return Err(io::Error::from_raw_os_error(errno));
            }
            // No error and no peer: somebody else has taken the error.
            socket::getpeername::<SockaddrStorage>(self.number())
                .map_err(|errno| self.note(errno))?;
        }
        self.state.set(State::Connected);
        self.mark(Marks::ACTIVE);
        self.shut_down_if_due()
    }

    /// Accepts a connection, if one is there (asyncore's `accept`).
    ///
    /// A connection that broke before it was accepted is nobody's error, and `None`. The kernel
    /// looks for a free descriptor number first, so a want of them is told even if nobody waits.
    ///
    /// # Errors
    ///
    /// * `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`: there is no room for one. The listener lives and
    ///   is not watched until a channel of the reactor closes or a tenth of a second has passed.
    /// * What else `accept(2)` says: `EINVAL` if the socket does not listen, ...
    pub fn accept(&self) -> io::Result<Option<(Self, Address)>> {
        let fd = self.open_fd()?;
        if self.state() != State::Listening {
            return Err(Errno::EINVAL.into());
        }
        let error = match asyncore_backends::accept(fd) {
            Ok((fd, peer)) => {
                let peer = peer.as_ref().map_or(Address::Unnamed, Address::from_raw);
                self.unmark(Marks::STALL_TOLD | Marks::ACCEPT_STALLED);
                self.mark(Marks::ACCEPTED | Marks::ACTIVE);
                let channel = Self::with(fd, self.kind, State::Connected, Some(peer.clone()));
                return Ok(Some((channel, peer)));
            }
            Err(error) => error,
        };
        match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
            Errno::EAGAIN | Errno::EINTR => Ok(None),
            errno if is_of_the_connection(errno) => Ok(None),
            errno => {
                if is_of_no_room(errno) {
                    self.mark(Marks::ACCEPT_STALLED);
                }
                Err(self.note(errno))
            }
        }
    }

    /// Whether something was accepted since this was last asked.
    pub(crate) fn has_accepted(&self) -> bool {
        let accepted = self.has(Marks::ACCEPTED);
        self.unmark(Marks::ACCEPTED);
        accepted
    }

    /// Whether accepting waits for room.
    pub(crate) fn is_stalled(&self) -> bool {
        self.has(Marks::ACCEPT_STALLED)
    }

    /// True the first time, until something is accepted.
    pub(crate) fn tell_stall_once(&self) -> bool {
        let told = self.has(Marks::STALL_TOLD);
        self.mark(Marks::STALL_TOLD);
        !told
    }

    pub(crate) fn end_stall(&self) {
        self.unmark(Marks::ACCEPT_STALLED);
    }

    /// Receives one datagram and says whose it is. What does not fit the buffer is lost.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv). On a datagram socket they do not end the channel.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        let fd = self.io_fd()?.as_raw_fd();
        let mut sender = None;
        let result = retry(|| {
            let (count, raw) = socket::recvfrom::<SockaddrStorage>(fd, buffer)?;
            sender = raw;
            Ok(count)
        });
        let count = self.received(result, buffer.is_empty())?;
        Ok((count, sender.as_ref().map_or(Address::Unnamed, Address::from_raw)))
    }

    /// Sends one datagram to an address.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send). On a datagram socket they do not end the channel.
    pub fn send_to(&self, data: &[u8], address: impl ToAddress) -> io::Result<usize> {
        let fd = self.direct_fd()?.as_raw_fd();
        let address = address.to_address()?;
        let result =
            address.with_raw(|raw| Ok(retry(|| socket::sendto(fd, data, raw, no_signal()))));
        self.sent(result?)
    }

    /// Sends out-of-band data: the last byte is urgent (`MSG_OOB`).
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    pub fn send_oob(&self, data: &[u8]) -> io::Result<usize> {
        let fd = self.direct_fd()?.as_raw_fd();
        self.sent(retry(|| socket::send(fd, data, MsgFlags::MSG_OOB | no_signal())))
    }

    /// Takes out-of-band data (`MSG_OOB`): one byte, for TCP.
    ///
    /// A read that goes past its place in the stream discards it. With `SO_OOBINLINE` it comes in
    /// the stream instead.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv); [`WouldBlock`](io::ErrorKind::WouldBlock) if there is none.
    pub fn recv_oob(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let fd = self.io_fd()?.as_raw_fd();
        let result = retry(|| socket::recv(fd, buffer, MsgFlags::MSG_OOB));
        if result == Err(Errno::EAGAIN) {
            // Announced and not here yet: it is told of when it is.
            self.unmark(Marks::PRIORITY_TOLD);
        }
        let count = result.map_err(|errno| {
            // "Nothing is there" has an errno of its own here.
            self.note(if errno == Errno::EINVAL { Errno::EAGAIN } else { errno })
        })?;
        self.note_input();
        self.count_received(count);
        Ok(count)
    }

    /// Ends one side of the connection or both; both wait for a connect that is under way, and the
    /// end of the output for what was pushed.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.open_fd()?;
        if matches!(self.kind, Kind::File(_)) {
            return Err(Errno::ENOTSOCK.into());
        }
        if how != Shutdown::Write {
            self.mark(Marks::SHUTDOWN_INPUT);
        }
        if how != Shutdown::Read {
            self.mark(Marks::SHUTDOWN_WHEN_SENT);
        }
        self.shut_down_if_due()
    }

    /// Ends the sides that are to be ended, unless a connect or the queue is in the way.
    pub(super) fn shut_down_if_due(&self) -> io::Result<()> {
        let fd = self.open_fd()?.as_raw_fd();
        if self.state() == State::Connecting {
            return Ok(());
        }
        if self.has(Marks::SHUTDOWN_INPUT) {
            self.unmark(Marks::SHUTDOWN_INPUT);
            socket::shutdown(fd, socket::Shutdown::Read).map_err(|errno| self.note(errno))?;
        }
        if !self.has(Marks::SHUTDOWN_WHEN_SENT) || self.has_output() {
            return Ok(());
        }
        self.unmark(Marks::SHUTDOWN_WHEN_SENT);
        let result = socket::shutdown(fd, socket::Shutdown::Write);
        self.sent(result.map(|()| 0))?;
        self.mark(Marks::OUTPUT_ENDED);
        Ok(())
    }

    /// The address the socket is bound to (`getsockname(2)`).
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`: `ENOTSOCK` for a file.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.check_owned()?;
        let raw = socket::getsockname::<SockaddrStorage>(self.number())?;
        Ok(Address::from_raw(&raw))
    }

    /// The address of the peer, as `accept` or `connect` had it; it is known after the peer left.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if there is no peer.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.peer().cloned().ok_or_else(|| Errno::ENOTCONN.into())
    }

    pub(crate) fn peer(&self) -> Option<&Address> {
        self.peer.get()
    }

    /// Whether the channel is as good as before in spite of `error`: a listener without room, a
    /// datagram socket that was told of an unreachable peer.
    #[must_use]
    pub fn survives(&self, error: &io::Error) -> bool {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
        match (self.state(), self.kind) {
            (State::Listening, _) => is_of_no_room(errno),
            (_, Kind::Datagram) => {
                matches!(
                    errno,
                    Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::ENOBUFS | Errno::EMSGSIZE
                ) || is_of_the_connection(errno)
            }
            _ => false,
        }
    }

    /// Whether the peer is gone and left nothing unread, which nobody else will find out.
    ///
    /// An error says that it cannot be told; `WouldBlock` that there was nothing to ask for.
    pub(crate) fn has_ended_unread(&self) -> io::Result<bool> {
        let Ok(fd) = self.open_fd() else { return Ok(false) };
        let peek = match self.kind {
            Kind::Stream | Kind::SeqPacket => {
                retry(|| socket::recv(fd.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK))
            }
            Kind::Datagram => return Ok(false),
            // Readable, and nothing to read. What cannot say how much there is has no end.
            Kind::File(_) => match is_readable(fd) {
                Ok(true) => match asyncore_backends::unread(fd).map_err(errno_of) {
                    Err(Errno::ENOTTY | Errno::EINVAL) => Ok(1),
                    result => result,
                },
                // The callback has read before it left the event to the default.
                Ok(false) => Err(Errno::EAGAIN),
                Err(errno) => Err(errno),
            },
        };
        // Taken as a read, so that an end or a broken connection is noted; but nothing was read.
        match peek {
            Ok(0) => self.received_nothing(false)?,
            Ok(_) => {
                self.note_input();
                0
            }
            Err(errno) => self.not_received(errno)?,
        };
        Ok(self.has(Marks::INPUT_ENDED))
    }
}

/// What a foreign socket turned out to be.
pub(super) struct Found {
    kind: Kind,
    state: State,
    peer: Option<Address>,
    failure: Option<Errno>,
}

impl Found {
    pub(super) fn into_channel(self, fd: OwnedFd) -> Channel {
        let channel = Channel::with(fd, self.kind, self.state, self.peer);
        if let Some(errno) = self.failure {
            if channel.breaks(errno) {
                channel.mark(Marks::INPUT_FAILED);
            } else {
                // Not of a connection that was: the connect has failed.
                channel.state.set(State::Connecting);
            }
            channel.break_with(errno);
        }
        channel
    }
}

/// Asks the kernel what `fd` is; `None` if it is not a socket.
pub(super) fn inspect(fd: BorrowedFd<'_>) -> io::Result<Option<Found>> {
    let kind = match socket::getsockopt(&fd, sockopt::SockType) {
        Err(Errno::ENOTSOCK) => return Ok(None),
        result => match result? {
            SockType::Stream => Kind::Stream,
            SockType::SeqPacket => Kind::SeqPacket,
            _ => Kind::Datagram,
        },
    };
    let found = |state, peer| Found { kind, state, peer, failure: None };
    if socket::getsockopt(&fd, sockopt::AcceptConn)? {
        return Ok(Some(found(State::Listening, None)));
    }
    match socket::getpeername::<SockaddrStorage>(fd.as_raw_fd()) {
        Ok(raw) => return Ok(Some(found(State::Connected, Some(Address::from_raw(&raw))))),
        // EINVAL is macOS's word for a connection that was; and some families have no addresses.
        Err(Errno::ENOTCONN | Errno::EINVAL | Errno::EOPNOTSUPP) => {}
        Err(errno) => return Err(errno.into()),
    }
    if kind == Kind::Datagram {
        return Ok(Some(found(State::Unconnected, None)));
    }
    // No peer: never connected, still connecting, or connected once and gone. A look tells.
    let look = || socket::recv(fd.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK);
    Ok(Some(match retry(look) {
        Ok(_) => found(State::Connected, None),
        Err(Errno::EAGAIN) => found(State::Connecting, None),
        Err(Errno::ENOTCONN | Errno::EINVAL) => found(State::Unconnected, None),
        Err(errno) => Found { failure: Some(errno), ..found(State::Connected, None) },
    }))
}

#[inline]
pub(super) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<usize> {
    asyncore_backends::recv(fd, buffer).map_err(errno_of)
}

#[inline]
pub(super) fn send(fd: BorrowedFd<'_>, data: &[u8]) -> nix::Result<usize> {
    asyncore_backends::send(fd, data).map_err(errno_of)
}

pub(super) fn errno_of(error: io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

pub(super) fn send_vectored(fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> nix::Result<usize> {
    socket::sendmsg::<()>(fd.as_raw_fd(), buffers, &[], no_signal(), None)
}

/// Whether it is so now: what a wait said before may have been read.
fn is_readable(fd: BorrowedFd<'_>) -> nix::Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    Ok(retry(|| poll::poll(&mut fds, PollTimeout::ZERO))? > 0)
}

/// Reads and forgets what has come, within reason.
pub(super) fn discard_input(fd: BorrowedFd<'_>) {
    let mut buffer = [0; 16 << 10];
    for _ in 0..64 {
        if !matches!(recv(fd, &mut buffer), Ok(1..)) {
            return;
        }
    }
}

/// Errors that `accept(2)` passes on from the connection it would have returned.
fn is_of_the_connection(errno: Errno) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if errno == Errno::ENONET {
        return true;
    }
    matches!(
        errno,
        Errno::ECONNABORTED
            | Errno::EPROTO
            | Errno::ENETDOWN
            | Errno::ENOPROTOOPT
            | Errno::EHOSTDOWN
            | Errno::EHOSTUNREACH
            | Errno::EOPNOTSUPP
            | Errno::ENETUNREACH
    )
}

fn is_of_no_room(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
}

#[cfg(not(target_vendor = "apple"))]
fn new_flags() -> SockFlag {
    SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC
}

#[cfg(target_vendor = "apple")]
fn new_flags() -> SockFlag {
    SockFlag::empty()
}

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn no_signal() -> MsgFlags {
    MsgFlags::MSG_NOSIGNAL
}

#[cfg(target_vendor = "apple")]
pub(crate) fn no_signal() -> MsgFlags {
    MsgFlags::empty()
}
