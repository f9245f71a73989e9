//! `Channel`: an owned descriptor and its state, the socket half of `asyncore.dispatcher`.

mod address;
mod file;
mod out_buffer;
mod socket;

pub use address::{Address, ToAddress};
pub use file::{FileWrapper, file_dispatcher};
pub use out_buffer::{DEFAULT_QUEUE_LIMIT, QueueFull};
pub use socket::{Family, Type};

use crate::diagnostics::diagnose;
use asyncore_backends::Interest;
use bitflags::bitflags;
use nix::{errno::Errno, fcntl};
use out_buffer::OutBuffer;
use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd},
};

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
/// connection broke (`ECONNRESET`, `EPIPE`, ...), or when [`close_when_sent`](Self::close_when_sent)
/// is done. A send that finds the connection broken does not throw away what the peer sent before:
/// it is read to its end first, unless reading is not wanted.
pub struct Channel {
    /// Taken by drop and by `into_fd` alone.
    fd: Option<OwnedFd>,
    kind: Kind,
    state: Cell<State>,
    marks: Cell<Marks>,
    /// Suspended by the user.
    paused: Cell<Interest>,
    /// Dropped because nobody handles it.
    unhandled: Cell<Interest>,
    /// The errno that broke the connection.
    failure: Cell<Option<Errno>>,
    peer: RefCell<Option<Address>>,
    out: RefCell<OutBuffer>,
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
    struct Marks: u16 {
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
    /// Those of `fcntl(2)` and `getsockopt(2)`; the descriptor is closed then.
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
            paused: Cell::new(Interest::empty()),
            unhandled: Cell::new(Interest::empty()),
            failure: Cell::new(None),
            peer: RefCell::new(peer),
            out: RefCell::new(OutBuffer::new()),
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
        self.out.borrow_mut().clear();
    }

    /// Closes the channel once everything that was pushed is sent, with a `handle_close`
    /// (asynchat's `close_when_done`).
    ///
    /// Nothing more is read, and nothing more can be pushed.
    pub fn close_when_sent(&self) {
        self.mark(Marks::CLOSE_WHEN_SENT);
    }

    /// Gives the descriptor back. What is queued is dropped.
    #[must_use]
    pub fn into_fd(mut self) -> OwnedFd {
        self.fd.take().expect("a channel has its descriptor until it is consumed")
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
        Ok(nix::unistd::close(fd)?)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            diagnose!(warn, "close: {error}");
        }
    }
}

/// Sending and receiving.
impl Channel {
    /// Reads what is there (asyncore's `recv`); `read(2)` for a file.
    ///
    /// 0 bytes into a buffer with room are the end of the input (not so for datagrams): the
    /// reactor closes the channel after the callback, once what was pushed is sent.
    ///
    /// # Errors
    ///
    /// * [`WouldBlock`](io::ErrorKind::WouldBlock): nothing is there. A callback may return it: it
    ///   is not taken for an error.
    /// * [`NotConnected`](io::ErrorKind::NotConnected): the channel is closed or not connected.
    /// * What `recv(2)` says. An errno that means a broken connection also ends the channel, with
    ///   that error as the cause.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let fd = self.open_fd()?;
        let result = match self.kind {
            Kind::File(_) => retry(|| nix::unistd::read(fd, buffer)),
            _ => retry(|| socket::recv(fd, buffer)),
        };
        self.received(result, buffer.is_empty())
    }

    /// [`recv`](Self::recv) into several buffers, one after the other (`readv(2)`).
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    pub fn recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let fd = self.open_fd()?;
        let result = retry(|| nix::sys::uio::readv(fd, buffers));
        self.received(result, buffers.iter().all(|buffer| buffer.is_empty()))
    }

    /// Sends now what the kernel takes (asyncore's `send`); `write(2)` for a file.
    ///
    /// It never overtakes what was pushed before. A socket never raises `SIGPIPE`; for pipes, Rust
    /// programs ignore that signal by default.
    ///
    /// # Errors
    ///
    /// * [`WouldBlock`](io::ErrorKind::WouldBlock): the kernel takes nothing now, or pushed bytes
    ///   are waiting.
    /// * [`NotConnected`](io::ErrorKind::NotConnected): the channel is closed or not connected.
    /// * [`BrokenPipe`](io::ErrorKind::BrokenPipe): the output has ended.
    /// * What `send(2)` says. An errno that means a broken connection also ends the channel.
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.check_direct()?;
        self.transmit(data)
    }

    /// [`send`](Self::send) from several buffers, one after the other (`sendmsg(2)`, `writev(2)`).
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    pub fn send_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check_direct()?;
        let fd = self.open_fd()?;
        let result = match self.kind {
            Kind::File(_) => retry(|| nix::sys::uio::writev(fd, buffers)),
            _ => retry(|| socket::send_vectored(fd, buffers)),
        };
        self.sent(result)
    }

    /// Sends all of `data`: now what the kernel takes, the rest when the channel is writable
    /// (`send` of asyncore's `dispatcher_with_send`).
    ///
    /// While the channel connects, everything waits. The reactor sends in pieces of at most
    /// 64 KiB, and the cost is linear in the bytes queued.
    ///
    /// # Errors
    ///
    /// * [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) with a [`QueueFull`] inside: more than
    ///   the queue limit would wait. Nothing of `data` was taken.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the socket keeps message boundaries, which a
    ///   queue of bytes would not.
    /// * Those of [`send`](Self::send), but never `WouldBlock`.
    pub fn push(&self, data: &[u8]) -> io::Result<()> {
        self.check_output()?;
        if matches!(self.kind, Kind::Datagram | Kind::SeqPacket) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "push would merge messages; use send or send_to",
            ));
        }
        if data.is_empty() {
            return Ok(());
        }
        self.out.borrow().check_room(data.len())?;
        let mut sent = 0;
        if self.queued() == 0 && self.state() == State::Connected {
            sent = match self.transmit(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                result => result?,
            };
        }
        self.out.borrow_mut().push(&data[sent..])
    }

    /// How many pushed bytes wait to be sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.out.borrow().len()
    }

    /// Sets how many bytes may wait in the queue; [`DEFAULT_QUEUE_LIMIT`] unless set.
    pub fn set_queue_limit(&self, bytes: usize) {
        self.out.borrow_mut().set_limit(bytes);
    }

    /// Sends a piece of what is queued.
    pub(crate) fn flush_queue(&self) -> io::Result<()> {
        let result = self.transmit(self.out.borrow().front());
        if self.has(Marks::OUTPUT_ENDED) {
            self.out.borrow_mut().clear();
        }
        match result {
            Ok(sent) => self.out.borrow_mut().consume(sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        self.shutdown_if_sent()
    }

    fn transmit(&self, data: &[u8]) -> io::Result<usize> {
        let fd = self.open_fd()?;
        let result = match self.kind {
            Kind::File(_) => retry(|| nix::unistd::write(fd, data)),
            _ => retry(|| socket::send(fd, data)),
        };
        self.sent(result)
    }

    /// Whether bytes may go out at all.
    fn check_output(&self) -> io::Result<()> {
        self.open_fd()?;
        if self.state() == State::Unconnected && self.kind == Kind::Stream {
            return Err(Errno::ENOTCONN.into());
        }
        let over = Marks::OUTPUT_ENDED | Marks::CLOSE_WHEN_SENT | Marks::SHUTDOWN_WHEN_SENT;
        if self.has(over) {
            return Err(Errno::EPIPE.into());
        }
        Ok(())
    }

    /// Whether bytes may go out past the queue.
    fn check_direct(&self) -> io::Result<()> {
        self.check_output()?;
        if self.queued() > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    /// Every result of a read comes by here.
    fn received(&self, result: nix::Result<usize>, no_room: bool) -> io::Result<usize> {
        match result {
            Ok(0) if no_room || self.kind == Kind::Datagram => Ok(0),
            Ok(0) => {
                self.mark(Marks::INPUT_ENDED);
                Ok(0)
            }
            Ok(count) => {
                self.unmark(Marks::PRIORITY_TOLD);
                Ok(count)
            }
            // The master of a pseudo-terminal whose last slave has closed.
            Err(Errno::EIO) if self.is_terminal() => {
                self.mark(Marks::INPUT_ENDED);
                Ok(0)
            }
            Err(errno) => {
                if self.breaks(errno) {
                    self.mark(Marks::INPUT_FAILED);
                }
                Err(self.note(errno))
            }
        }
    }

    /// Every result of a write comes by here.
    fn sent(&self, result: nix::Result<usize>) -> io::Result<usize> {
        result.map_err(|errno| {
            if self.breaks(errno) {
                self.mark(Marks::OUTPUT_ENDED);
            }
            self.note(errno)
        })
    }

    fn note(&self, errno: Errno) -> io::Error {
        if self.breaks(errno) && self.failure.get().is_none() {
            self.failure.set(Some(errno));
        }
        // EBADF may also mean "not open for reading"; then the number is still ours.
        if errno == Errno::EBADF
            && let Ok(fd) = self.open_fd()
            && fcntl::fcntl(fd, fcntl::FcntlArg::F_GETFD) == Err(Errno::EBADF)
        {
            self.mark(Marks::LOST);
        }
        errno.into()
    }

    /// Whether `errno` says that the connection is over.
    fn breaks(&self, errno: Errno) -> bool {
        self.kind != Kind::Datagram
            && self.state() == State::Connected
            && matches!(
                errno,
                Errno::ECONNRESET
                    | Errno::ENOTCONN
                    | Errno::ESHUTDOWN
                    | Errno::ECONNABORTED
                    | Errno::EPIPE
                    | Errno::ETIMEDOUT
            )
    }

    /// The descriptor, while I/O makes sense.
    fn open_fd(&self) -> io::Result<BorrowedFd<'_>> {
        if self.state() == State::Closed || self.has(Marks::LOST) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the channel is closed"));
        }
        Ok(self.as_fd())
    }
}

/// State.
impl Channel {
    /// Where the channel is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Stops to watch for `interest`, whatever the dispatcher wants, until [`resume`](Self::resume).
    ///
    /// Back-pressure: data, end of file and hang-ups stay where they are, and nothing of them is
    /// lost. Pausing `WRITE` also holds up what was pushed.
    pub fn pause(&self, interest: Interest) {
        self.paused.set(self.paused.get() | interest);
    }

    /// Watches for `interest` again, after [`pause`](Self::pause) or after the event had found no
    /// handler.
    pub fn resume(&self, interest: Interest) {
        self.paused.set(self.paused.get() - interest);
        self.unhandled.set(self.unhandled.get() - interest);
    }

    /// Whether the peer may end its side (`SHUT_WR`) and the channel live on; false unless set.
    ///
    /// By default the end of the input closes the channel, as in asyncore, once what was pushed is
    /// sent. With half-close on, only reading ends; the channel closes when its own output is shut
    /// down as well.
    pub fn set_half_close(&self, on: bool) {
        self.marks.update(|mut marks| {
            marks.set(Marks::HALF_CLOSE, on);
            marks
        });
    }

    /// What the channel can be watched for, if its dispatcher wants it.
    pub(crate) fn possible(&self) -> Interest {
        let mut possible = match (self.state(), self.kind) {
            (State::Closed, _) | (State::Unconnected, Kind::Stream | Kind::SeqPacket) => {
                return Interest::empty();
            }
            (State::Listening, _) if self.has(Marks::ACCEPT_STALLED) => Interest::empty(),
            (State::Listening, _) => Interest::READ,
            (_, Kind::File(access)) => access.possible(),
            _ => Interest::all(),
        };
        if self.has(Marks::INPUT_ENDED | Marks::CLOSE_WHEN_SENT) {
            possible -= Interest::READ | Interest::PRIORITY;
        }
        if self.has(Marks::OUTPUT_ENDED | Marks::CLOSE_WHEN_SENT) {
            possible -= Interest::WRITE;
        }
        if self.has(Marks::PRIORITY_TOLD) {
            possible -= Interest::PRIORITY;
        }
        possible - self.paused.get() - self.unhandled.get()
    }

    /// What the channel is watched for, whether its dispatcher wants it or not.
    pub(crate) fn required(&self) -> Interest {
        if self.state() == State::Connecting {
            Interest::WRITE
        } else if self.queued() > 0 {
            Interest::WRITE - self.paused.get()
        } else {
            Interest::empty()
        }
    }

    /// Whether the time for `handle_close` has come; `reads` says whether reading is wanted.
    pub(crate) fn is_over(&self, reads: impl FnOnce() -> bool) -> bool {
        let sent = self.queued() == 0;
        let output_ended = self.has(Marks::OUTPUT_ENDED);
        if self.has(Marks::INPUT_FAILED) {
            true
        } else if self.has(Marks::CLOSE_WHEN_SENT) {
            sent || output_ended
        } else if self.has(Marks::INPUT_ENDED) {
            if self.has(Marks::HALF_CLOSE) { sent && output_ended } else { sent || output_ended }
        } else {
            // Broken for writing: what the peer sent before is read first, if it is wanted.
            let paused = self.paused.get().contains(Interest::READ);
            self.failure.get().is_some() && !paused && !reads()
        }
    }

    /// What broke the connection, if something did.
    pub(crate) fn cause(&self) -> Option<io::Error> {
        self.failure.get().map(io::Error::from)
    }

    /// Whether `error` is the one that broke the connection, which `handle_close` will tell.
    pub(crate) fn knows(&self, error: &io::Error) -> bool {
        self.failure.get().is_some_and(|errno| error.raw_os_error() == Some(errno as i32))
    }

    /// Stops to watch for an event that found no handler; false if it had been stopped before.
    pub(crate) fn drop_unhandled(&self, interest: Interest) -> bool {
        let before = self.unhandled.replace(self.unhandled.get() | interest);
        !before.contains(interest)
    }

    /// Until something is read, out-of-band data is not told of again: it would be for ever.
    pub(crate) fn tell_priority_once(&self) {
        self.mark(Marks::PRIORITY_TOLD);
    }

    /// The number was closed behind our back.
    pub(crate) fn lose(&self) {
        self.mark(Marks::LOST);
    }

    /// The descriptor's number.
    pub(crate) fn number(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }

    fn has(&self, any: Marks) -> bool {
        self.marks.get().intersects(any)
    }

    fn mark(&self, marks: Marks) {
        self.marks.set(self.marks.get() | marks);
    }

    fn unmark(&self, marks: Marks) {
        self.marks.set(self.marks.get() - marks);
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("a channel has its descriptor until it is consumed").as_fd()
    }
}

/// [`recv`](Channel::recv).
impl Read for &Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.recv_vectored(buffers)
    }
}

/// [`send`](Channel::send); a flush has nothing to do.
impl Write for &Channel {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.send(data)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// [`recv`](Channel::recv).
impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

/// [`send`](Channel::send); a flush has nothing to do.
impl Write for Channel {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
        match (&*self.peer.borrow(), self.state()) {
            (Some(peer), _) => write!(f, " {peer}")?,
            (None, State::Listening) => {
                if let Ok(address) = self.local_addr() {
                    write!(f, " {address}")?;
                }
            }
            _ => {}
        }
        if self.queued() > 0 {
            write!(f, " {} bytes queued", self.queued())?;
        }
        f.write_str(">")
    }
}

/// `EINTR` never surfaces.
fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

fn make_nonblocking_and_cloexec(fd: BorrowedFd<'_>) -> io::Result<()> {
    use fcntl::{FcntlArg, FdFlag, OFlag};
    let status = OFlag::from_bits_retain(fcntl::fcntl(fd, FcntlArg::F_GETFL)?);
    if !status.contains(OFlag::O_NONBLOCK) {
        fcntl::fcntl(fd, FcntlArg::F_SETFL(status | OFlag::O_NONBLOCK))?;
    }
    let flags = FdFlag::from_bits_retain(fcntl::fcntl(fd, FcntlArg::F_GETFD)?);
    if !flags.contains(FdFlag::FD_CLOEXEC) {
        fcntl::fcntl(fd, FcntlArg::F_SETFD(flags | FdFlag::FD_CLOEXEC))?;
    }
    Ok(())
}
