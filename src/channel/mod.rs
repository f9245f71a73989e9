//! `Channel`: an owned descriptor and its state, the socket half of `asyncore.dispatcher`.

mod address;
mod file;
mod out_buffer;
mod producer;
mod queue;
mod socket;
mod timeout;
mod traffic;
mod transfer;
mod watch;

pub use address::{Address, ToAddress};
pub use file::{FileWrapper, file_dispatcher};
pub use out_buffer::{DEFAULT_QUEUE_LIMIT, QueueFull};
pub use producer::{FileProducer, IteratorProducer, Producer, SimpleProducer};
pub(crate) use socket::no_signal;
pub use socket::{Family, Type};
pub(crate) use transfer::retry;

use crate::diagnostics::diagnose;
use asyncore_backends::Interest;
use bitflags::bitflags;
use nix::{errno::Errno, fcntl};
use out_buffer::OutBuffer;
use queue::Queue;
use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt, io,
    num::NonZeroU64,
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd},
};
use timeout::NO_TIMER;
use traffic::Traffic;

/// An owned descriptor with its state: a socket, a pipe, a terminal, a file.
///
/// It is the socket half of `asyncore.dispatcher`; the [`Dispatcher`](crate::Dispatcher) is the
/// other. A channel is made by [`create_socket`](Self::create_socket), by
/// [`accept`](Self::accept), or from anything that owns a descriptor by [`new`](Self::new), and
/// given to a reactor, which owns it from then on. Its descriptor is non-blocking and
/// close-on-exec.
///
/// The methods take `&self`, as those of std's sockets do: a channel can be used through the
/// reference that [`Reactor::channel`](crate::Reactor::channel) or a callback's
/// [`Context`](crate::Context) gives.
///
/// # What ends a channel
///
/// The reactor calls `handle_close` when the peer has closed and what was pushed is sent, when the
/// connection broke (`ECONNRESET`, `EPIPE`, ...), or when
/// [`close_when_sent`](Self::close_when_sent) is done. A send that finds the connection broken does
/// not throw away what the peer sent before: it is read to its end first, unless reading is not
/// wanted.
#[repr(C)] // What every event needs comes first.
pub struct Channel {
    /// Taken by drop and by `into_fd` alone.
    fd: Option<OwnedFd>,
    marks: Cell<Marks>,
    /// The errno that broke the connection.
    failure: Cell<Option<Errno>>,
    state: Cell<State>,
    kind: Kind,
    traffic: Traffic,
    out: RefCell<OutBuffer>,
    /// How long it may be quiet, in nanoseconds.
    timeout: Cell<Option<NonZeroU64>>,
    /// The slot of the reactor's timer for that.
    timer: Cell<u32>,
    peer: OnceCell<Address>,
}

/// Where a channel is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A socket that is neither connected nor listening. A stream socket is not watched then; a
    /// datagram socket is.
    Unconnected,
    /// A connect is under way (asyncore's `connecting`).
    Connecting,
    /// Connected (asyncore's `connected`); files always are.
    Connected,
    /// Listening for connections (asyncore's `accepting`).
    Listening,
    /// Closed; the descriptor goes when the callback returns or the reactor next runs.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stream,
    /// Datagrams that keep their boundaries on a connection (`SOCK_SEQPACKET`).
    SeqPacket,
    Datagram,
    File(file::Access),
}

bitflags! {
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Marks: u32 {
        /// The peer will send no more.
        const INPUT_ENDED = 1;
        /// Nothing can be sent any more.
        const OUTPUT_ENDED = 1 << 1;
        /// A read failed: nothing is left on either side.
        const INPUT_FAILED = 1 << 2;
        /// The number is not ours any more and must not be closed.
        const LOST = 1 << 3;
        const HALF_CLOSE = 1 << 4;
        const CLOSE_WHEN_SENT = 1 << 5;
        const SHUTDOWN_WHEN_SENT = 1 << 6;
        /// Out-of-band data was told of and nothing was read since.
        const PRIORITY_TOLD = 1 << 7;
        /// Accepting waits for descriptors or memory.
        const ACCEPT_STALLED = 1 << 8;
        /// The stall was told of, and nothing was accepted since.
        const STALL_TOLD = 1 << 9;
        const ACCEPTED = 1 << 10;
        const SHUTDOWN_INPUT = 1 << 11;
        const URGENT = 1 << 12;
        /// Something was received, sent, accepted or connected since this was last asked.
        const ACTIVE = 1 << 13;
        /// It has a timeout, or had.
        const TIMED = 1 << 14;
        /// The queue has exceeded its high water mark, and not yet come down to the low one.
        const CONGESTED = 1 << 15;
        /// A flush has ended that, and the dispatcher was not told.
        const DRAINED = 1 << 16;
        /// Something is queued: what the queue itself says, at hand.
        const QUEUED = 1 << 17;
        /// What the user has suspended, as an `Interest`.
        const PAUSED = 7 << 18;
        /// What is not watched for because nobody handles it, as an `Interest`.
        const UNHANDLED = 7 << 21;
        /// The connection is broken: `failure` says how.
        const BROKEN = 1 << 24;
        /// Those that let nothing more be sent.
        const NO_OUTPUT = Self::OUTPUT_ENDED.bits() | Self::CLOSE_WHEN_SENT.bits()
            | Self::SHUTDOWN_WHEN_SENT.bits();
        /// Those that may end the channel.
        const ENDING = Self::INPUT_ENDED.bits() | Self::INPUT_FAILED.bits()
            | Self::CLOSE_WHEN_SENT.bits() | Self::BROKEN.bits();
        /// Those of which a connection has none most of the time; see `is_plain`.
        const OF_NOTE = Self::ENDING.bits() | Self::OUTPUT_ENDED.bits() | Self::LOST.bits()
            | Self::PRIORITY_TOLD.bits() | Self::ACCEPT_STALLED.bits() | Self::QUEUED.bits()
            | Self::URGENT.bits();
    }
}

impl Marks {
    /// An `Interest` among the marks, as `PAUSED`.
    const fn of(self, interest: Interest) -> Self {
        let shift = self.bits().trailing_zeros();
        Self::from_bits_retain((interest.bits() as u32) << shift).intersection(self)
    }

    const fn interest(self, place: Self) -> Interest {
        let shift = place.bits().trailing_zeros();
        Interest::from_bits_retain((self.intersection(place).bits() >> shift) as u8)
    }
}

/// Construction and destruction.
impl Channel {
    /// Takes over a descriptor: std's sockets, pipes, child stdio, files, any `OwnedFd`.
    ///
    /// It is made non-blocking and close-on-exec. What it is (listening, connected, a file) is
    /// asked of the kernel.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)`, `getsockopt(2)` and `getpeername(2)`; the descriptor is closed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncore::{Channel, State};
    /// use std::net::TcpListener;
    ///
    /// let channel = Channel::new(TcpListener::bind("127.0.0.1:0")?)?;
    /// assert_eq!(channel.state(), State::Listening);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = fd.into();
        make_nonblocking_and_cloexec(fd.as_fd())?;
        match socket::inspect(fd.as_fd())? {
            Some(found) => Ok(found.into_channel(fd)),
            None => file::channel(fd),
        }
    }

    fn with(fd: OwnedFd, kind: Kind, state: State, peer: Option<Address>) -> Self {
        Self {
            fd: Some(fd),
            kind,
            state: Cell::new(state),
            marks: Cell::new(Marks::empty()),
            failure: Cell::new(None),
            peer: peer.map_or_else(OnceCell::new, OnceCell::from),
            out: RefCell::default(),
            timeout: Cell::new(None),
            timer: Cell::new(NO_TIMER),
            traffic: Traffic::default(),
        }
    }

    /// Closes the channel (asyncore's `close`): no callback comes after it, and no `handle_close`.
    ///
    /// What was pushed and is not sent is dropped; see
    /// [`close_when_sent`](Self::close_when_sent). The descriptor itself is released when the
    /// running callback returns, when the reactor next runs, or when the channel is dropped.
    /// Closing twice is harmless.
    pub fn close(&self) {
        self.state.set(State::Closed);
        self.drop_queue();
    }

    /// Closes the channel once everything that was pushed is sent, with a `handle_close`
    /// (asynchat's `close_when_done`).
    ///
    /// Nothing more is read, and nothing more can be pushed. What the peer has sent until then is
    /// discarded, because closing with unread input would reset the connection and could destroy
    /// what is on its way. If the peer goes on to send, it may still be: where that matters, end
    /// the output with [`shutdown`](Self::shutdown) instead, and read until the peer closes.
    pub fn close_when_sent(&self) {
        self.mark(Marks::CLOSE_WHEN_SENT);
    }

    /// Gives the descriptor back. What is queued is dropped.
    ///
    /// # Errors
    ///
    /// `EBADF`: the number was closed behind the channel's back, and may be somebody else's.
    pub fn into_fd(mut self) -> io::Result<OwnedFd> {
        self.check_owned()?;
        self.fd.take().ok_or_else(|| Errno::EBADF.into())
    }

    /// Closes the descriptor now, unless its number is somebody else's, and says what `close(2)`
    /// said.
    pub(crate) fn release(&mut self) -> io::Result<()> {
        let Some(fd) = self.fd.take() else { return Ok(()) };
        if self.has(Marks::LOST) {
            // Closed behind our back: the number may be anybody's by now.
            let _ = fd.into_raw_fd();
            return Ok(());
        }
        if self.has(Marks::CLOSE_WHEN_SENT) && self.kind == Kind::Stream {
            socket::discard_input(fd.as_fd());
        }
        match nix::unistd::close(fd) {
            // Interrupted or not, the number is free.
            Ok(()) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            diagnose!(warn, "close: {error}");
        }
    }
}

/// State.
impl Channel {
    /// Where the channel is in its life.
    #[must_use]
    #[inline]
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// The descriptor, while I/O makes sense.
    #[inline]
    pub(crate) fn open_fd(&self) -> io::Result<BorrowedFd<'_>> {
        if self.state() == State::Closed || self.has(Marks::LOST) {
            return Err(self.why_not_open());
        }
        Ok(self.as_fd())
    }

    #[cold]
    fn why_not_open(&self) -> io::Error {
        if self.state() == State::Closed {
            io::Error::new(io::ErrorKind::NotConnected, "the channel is closed")
        } else {
            // As the first call said that found it.
            Errno::EBADF.into()
        }
    }

    /// The descriptor, if I/O may succeed: a system call on a socket that connects could take the
    /// error that tells what became of it.
    #[inline]
    fn io_fd(&self) -> io::Result<BorrowedFd<'_>> {
        if self.state() == State::Connecting && self.kind != Kind::Datagram {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.open_fd()
    }

    /// `EBADF` if the number was closed behind our back.
    pub(crate) fn check_owned(&self) -> io::Result<()> {
        if self.is_lost() { Err(Errno::EBADF.into()) } else { Ok(()) }
    }

    /// Whether the number was closed behind our back.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.has(Marks::LOST)
    }

    /// The number was closed behind our back.
    pub(crate) fn lose(&self) {
        self.mark(Marks::LOST);
    }

    /// The connection is broken.
    fn break_with(&self, errno: Errno) {
        self.failure.set(Some(errno));
        self.mark(Marks::BROKEN);
    }

    /// The descriptor's number.
    pub(crate) fn number(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }

    #[inline]
    fn has(&self, any: Marks) -> bool {
        self.marks.get().intersects(any)
    }

    #[inline]
    fn mark(&self, marks: Marks) {
        self.marks.set(self.marks.get() | marks);
    }

    #[inline]
    fn unmark(&self, marks: Marks) {
        self.marks.set(self.marks.get() - marks);
    }
}

impl AsFd for Channel {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("a channel has its descriptor until it is consumed").as_fd()
    }
}

/// What asyncore's repr shows: state, peer and, besides, the descriptor.
impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<channel")?;
        if let Some(fd) = &self.fd {
            write!(f, " fd {}", fd.as_raw_fd())?;
        }
        let state = match self.state() {
            State::Unconnected => "unconnected",
            State::Connecting => "connecting",
            State::Connected => "connected",
            State::Listening => "listening",
            State::Closed => "closed",
        };
        write!(f, " {state}")?;
        match (self.peer(), self.state()) {
            (Some(peer), _) => write!(f, " {peer}")?,
            (None, State::Listening) => {
                if let Ok(address) = self.local_addr() {
                    write!(f, " {address}")?;
                }
            }
            _ => {}
        }
        let producers = self.out.borrow().queue().map_or(0, Queue::producers);
        match (self.queued(), producers) {
            (0, 0) => {}
            (bytes, 0) => write!(f, " {bytes} bytes queued")?,
            (bytes, producers) => write!(f, " {bytes} bytes queued, {producers} producers")?,
        }
        f.write_str(">")
    }
}

fn make_nonblocking_and_cloexec(fd: BorrowedFd<'_>) -> io::Result<()> {
    use fcntl::{FcntlArg, FdFlag, OFlag};
    let status = OFlag::from_bits_retain(retry(|| fcntl::fcntl(fd, FcntlArg::F_GETFL))?);
    if !status.contains(OFlag::O_NONBLOCK) {
        retry(|| fcntl::fcntl(fd, FcntlArg::F_SETFL(status | OFlag::O_NONBLOCK)))?;
    }
    let flags = FdFlag::from_bits_retain(retry(|| fcntl::fcntl(fd, FcntlArg::F_GETFD))?);
    if !flags.contains(FdFlag::FD_CLOEXEC) {
        retry(|| fcntl::fcntl(fd, FcntlArg::F_SETFD(flags | FdFlag::FD_CLOEXEC)))?;
    }
    Ok(())
}
