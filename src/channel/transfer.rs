//! Bytes in and out: `recv`, `send`, and `push` with its queue.

use super::{Channel, Kind, Marks, Producer, State, out_buffer::OutBuffer, queue::Queue, socket};
use asyncore_backends::Interest;
use nix::{errno::Errno, fcntl};
use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    os::fd::BorrowedFd,
};

/// What the kernel takes in one vectored call (`IOV_MAX` of Linux and the BSDs).
const MOST_BUFFERS: usize = 1024;

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
    #[inline]
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let fd = self.io_fd()?;
        match self.kind {
            Kind::File(_) => self.read_file(fd, buffer),
            _ => self.received(socket::recv(fd, buffer), buffer.is_empty()),
        }
    }

    fn read_file(&self, fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
        self.received(retry(|| nix::unistd::read(fd, buffer)), buffer.is_empty())
    }

    /// [`recv`](Self::recv) into several buffers, one after the other (`readv(2)`).
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    pub fn recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let fd = self.io_fd()?;
        let count = buffers.len().min(MOST_BUFFERS);
        let buffers = &mut buffers[..count];
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
    /// * `EBADF`: a file that is not open for writing.
    /// * What `send(2)` says. An errno that means a broken connection also ends the channel.
    #[inline]
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.direct_fd()?;
        self.transmit(data)
    }

    /// [`send`](Self::send) from several buffers, one after the other (`sendmsg(2)`, `writev(2)`).
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    pub fn send_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let fd = self.direct_fd()?;
        let buffers = &buffers[..buffers.len().min(MOST_BUFFERS)];
        let result = match self.kind {
            Kind::File(_) => retry(|| nix::sys::uio::writev(fd, buffers)),
            _ => retry(|| socket::send_vectored(fd, buffers)),
        };
        self.sent(result)
    }

    /// Sends all of `data`: now what the kernel takes, the rest when the channel is writable
    /// (`send` of asyncore's `dispatcher_with_send`).
    ///
    /// While the channel connects, and while writing is [paused](Self::pause), everything waits.
    /// The reactor sends in pieces of at most 64 KiB, and the cost is linear in the bytes queued.
    ///
    /// # Errors
    ///
    /// * [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) with a [`QueueFull`](crate::QueueFull)
    ///   inside: with what is queued it is more than the queue limit, whatever the kernel might
    ///   take at once. Nothing of `data` was taken.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): the socket keeps message boundaries, which a
    ///   queue of bytes would not.
    /// * Those of [`send`](Self::send), but never `WouldBlock`.
    pub fn push(&self, data: &[u8]) -> io::Result<()> {
        self.check_push()?;
        if data.is_empty() {
            return Ok(());
        }
        self.out.borrow().check_room(data.len())?;
        let mut sent = 0;
        let usual = self.state() == State::Connected && !self.is_paused(Interest::WRITE);
        if usual && !self.has_output() {
            sent = match self.transmit(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                result => result?,
            };
        }
        if sent < data.len() {
            self.change_output(|out| out.push(&data[sent..]))?;
            self.gauge();
        }
        Ok(())
    }

    /// Sends what `producer` makes, behind what was pushed before (asynchat's
    /// `push_with_producer`).
    ///
    /// It is asked for more when the channel can be written, and never holds more than a piece in
    /// memory. What is pushed after it is sent after it. Whatever waits for the queue waits for
    /// producers as well: [`close_when_sent`](Self::close_when_sent),
    /// [`shutdown`](Self::shutdown), the close after the peer's end of file.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push), except for the queue limit: a producer does not count.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncore::{Channel, Context, Dispatcher, FileProducer};
    /// use std::{fs::File, io};
    ///
    /// struct Motd;
    ///
    /// impl Dispatcher for Motd {
    ///     fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
    ///         cx.push(b"today:\n")?;
    ///         cx.push_with_producer(FileProducer::new(File::open("/etc/motd")?))?;
    ///         cx.push(b"bye\n")?;
    ///         cx.close_when_sent();
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn push_with_producer(&self, producer: impl Producer + 'static) -> io::Result<()> {
        self.check_push()?;
        self.change_output(|out| out.push_producer(Box::new(producer)));
        Ok(())
    }

    /// How many pushed bytes wait to be sent, with the piece that a producer has made last.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.out.borrow().len()
    }

    /// Whether something waits to be sent: pushed bytes, or a producer.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        let queued = self.has(Marks::QUEUED);
        debug_assert_eq!(queued, !self.out.borrow().is_empty());
        queued
    }

    /// Whatever fills the queue, or takes from it, comes by here.
    fn change_output<T>(&self, change: impl FnOnce(&mut OutBuffer) -> T) -> T {
        let mut out = self.out.borrow_mut();
        let result = change(&mut out);
        self.marks.update(|mut marks| {
            marks.set(Marks::QUEUED, !out.is_empty());
            marks
        });
        result
    }

    /// Drops what waits to be sent, producers included (the half of asynchat's `discard_buffers`
    /// that is about output).
    ///
    /// The peer may have received a part of it. A congestion is over then, without a
    /// [`handle_drained`](crate::Dispatcher::handle_drained).
    pub fn discard_queue(&self) {
        self.drop_queue();
        // Its error, if it means anything, is noted: handle_close will tell.
        let _ = self.shut_down_if_due();
    }

    /// Sets how many bytes may be queued, and so pushed at once;
    /// [`DEFAULT_QUEUE_LIMIT`](crate::DEFAULT_QUEUE_LIMIT) unless set.
    pub fn set_queue_limit(&self, bytes: usize) {
        self.out.borrow_mut().set_limit(bytes);
    }

    /// Sets when the output is [congested](Self::is_congested): from when more than `high` bytes
    /// are queued until no more than `low` are. Unless set, it never is.
    ///
    /// They hold at once, for what is queued already as well. A congestion that they end is over
    /// without a [`handle_drained`](crate::Dispatcher::handle_drained). Unlike the
    /// [limit](Self::set_queue_limit) they refuse nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput): `low` is above `high`. Nothing has changed.
    ///
    /// # Examples
    ///
    /// An echo server whose clients are not read from while they do not read:
    ///
    /// ```
    /// use asyncore::{Address, Channel, Context, Dispatcher};
    /// use std::io;
    ///
    /// struct Echo;
    ///
    /// impl Dispatcher for Echo {
    ///     fn readable(&self, channel: &Channel) -> bool {
    ///         !channel.is_congested()
    ///     }
    ///
    ///     fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
    ///         let mut buffer = [0; 8192];
    ///         let count = cx.recv(&mut buffer)?;
    ///         cx.push(&buffer[..count])
    ///     }
    /// }
    ///
    /// struct Server;
    ///
    /// impl Dispatcher for Server {
    ///     fn handle_accepted(
    ///         &mut self,
    ///         cx: &mut Context<'_>,
    ///         channel: Channel,
    ///         _: Address,
    ///     ) -> io::Result<()> {
    ///         channel.set_water_marks(16 << 10, 64 << 10)?;
    ///         cx.add_channel(channel, Echo).map(drop)
    ///     }
    /// }
    /// ```
    pub fn set_water_marks(&self, low: usize, high: usize) -> io::Result<()> {
        if low > high {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the low water mark, {low}, is above the high one, {high}"),
            ));
        }
        self.out.borrow_mut().set_water_marks(low, high);
        self.gauge();
        Ok(())
    }

    /// Whether more is queued than is good, by the [water marks](Self::set_water_marks): whoever
    /// fills the queue had better wait.
    ///
    /// Who fills it from the same channel says so by [`readable`](crate::Dispatcher::readable),
    /// which is asked again after each flush. For who fills it from another one there is
    /// [`handle_drained`](crate::Dispatcher::handle_drained). What a producer makes counts from the
    /// end of the flush on for which it was made, as far as it was not sent.
    #[must_use]
    #[inline]
    pub fn is_congested(&self) -> bool {
        self.has(Marks::CONGESTED)
    }

    /// Whether a flush has ended a congestion; true once, and if there can be more output.
    #[inline]
    pub(crate) fn has_drained(&self) -> bool {
        let drained = self.has(Marks::DRAINED);
        self.unmark(Marks::DRAINED);
        drained && !self.is_closing()
    }

    /// Compares what is queued with the water marks; true if a congestion is over.
    fn gauge(&self) -> bool {
        let was = self.is_congested();
        let is = self.out.borrow().is_congested(was);
        match (was, is) {
            (false, true) => self.mark(Marks::CONGESTED),
            (true, false) => self.unmark(Marks::CONGESTED),
            _ => {}
        }
        was && !is
    }

    /// Leaves nothing in the queue.
    pub(super) fn drop_queue(&self) {
        self.unmark(Marks::CONGESTED);
        let unsent = self.change_output(OutBuffer::clear);
        drop(unsent);
    }

    /// Sends a piece of what is queued.
    pub(crate) fn flush_queue(&self) -> io::Result<()> {
        self.ask_producers()?;
        if self.state() == State::Closed {
            return Ok(());
        }
        let result = match self.out.borrow().queue().map_or(&[][..], Queue::front) {
            [] => Ok(0),
            front => self.transmit(front),
        };
        if self.has(Marks::OUTPUT_ENDED) {
            self.drop_queue();
        }
        match result {
            Ok(sent) => {
                self.change_output(|out| out.queue_mut().map(|queue| queue.consume(sent)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if self.gauge() {
            self.mark(Marks::DRAINED);
        }
        self.shut_down_if_due()
    }

    /// Has producers make enough to be worth a system call.
    fn ask_producers(&self) -> io::Result<()> {
        loop {
            let next = self.change_output(|out| out.queue_mut().and_then(Queue::take_producer));
            let Some((mut producer, mut piece)) = next else { return Ok(()) };
            let result = producer.more(self, &mut piece);
            if !self.out.borrow().queue().is_some_and(Queue::misses_producer) {
                // It has closed the channel, or discarded its queue.
                return result;
            }
            let goes_on = match &result {
                Ok(()) => !piece.is_empty(),
                Err(error) => error.kind() == io::ErrorKind::Interrupted,
            };
            let producer = goes_on.then_some(producer);
            self.change_output(|out| out.queue_mut().map(|queue| queue.put_back(piece, producer)));
            match result {
                Ok(()) => {}
                // Asked again in another pass: it may be interrupted for ever.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::other("a producer must have its data at hand"));
                }
                Err(error) => return Err(error),
            }
        }
    }

    #[inline]
    fn transmit(&self, data: &[u8]) -> io::Result<usize> {
        let fd = self.open_fd()?;
        match self.kind {
            Kind::File(_) => self.write_file(fd, data),
            _ => self.sent(socket::send(fd, data)),
        }
    }

    fn write_file(&self, fd: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
        self.sent(retry(|| nix::unistd::write(fd, data)))
    }

    /// Whether bytes may go out at all.
    fn check_output(&self) -> io::Result<()> {
        self.open_fd()?;
        let connected = match self.state() {
            State::Listening => false,
            State::Unconnected => self.kind == Kind::Datagram,
            _ => true,
        };
        if !connected {
            return Err(Errno::ENOTCONN.into());
        }
        if let Kind::File(access) = self.kind
            && !access.possible().contains(Interest::WRITE)
        {
            return Err(Errno::EBADF.into());
        }
        if self.has(Marks::NO_OUTPUT) {
            return Err(Errno::EPIPE.into());
        }
        Ok(())
    }

    /// Whether something may be queued, the limit aside.
    fn check_push(&self) -> io::Result<()> {
        self.check_output()?;
        if matches!(self.kind, Kind::Datagram | Kind::SeqPacket) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "push would merge messages; use send or send_to",
            ));
        }
        Ok(())
    }

    /// The descriptor, if bytes may go out now and past the queue.
    #[inline]
    pub(super) fn direct_fd(&self) -> io::Result<BorrowedFd<'_>> {
        let usual = self.state() == State::Connected
            && !self.has(Marks::NO_OUTPUT)
            && !matches!(self.kind, Kind::File(_));
        if !usual {
            self.check_output()?;
        }
        let fd = self.io_fd()?;
        if self.has_output() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(fd) }
    }

    /// Every result of a read comes by here.
    #[inline]
    pub(super) fn received(&self, result: nix::Result<usize>, no_room: bool) -> io::Result<usize> {
        match result {
            Ok(count @ 1..) => {
                self.note_input();
                self.count_received(count);
                Ok(count)
            }
            Ok(_) => self.received_nothing(no_room),
            Err(errno) => self.not_received(errno),
        }
    }

    #[inline]
    pub(super) fn note_input(&self) {
        self.marks.set((self.marks.get() - Marks::PRIORITY_TOLD) | Marks::ACTIVE);
    }

    pub(super) fn received_nothing(&self, no_room: bool) -> io::Result<usize> {
        if !no_room && self.kind != Kind::Datagram {
            self.mark(Marks::INPUT_ENDED);
        }
        Ok(0)
    }

    pub(super) fn not_received(&self, errno: Errno) -> io::Result<usize> {
        if errno == Errno::EIO && self.is_terminal() {
            // The master of a pseudo-terminal whose last slave has closed.
            self.mark(Marks::INPUT_ENDED);
            return Ok(0);
        }
        if self.breaks(errno) {
            self.mark(Marks::INPUT_FAILED);
        }
        Err(self.note(errno))
    }

    /// Every result of a write comes by here.
    #[inline]
    pub(super) fn sent(&self, result: nix::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(count) => {
                self.mark(Marks::ACTIVE);
                self.count_sent(count);
                Ok(count)
            }
            Err(errno) => Err(self.not_sent(errno)),
        }
    }

    fn not_sent(&self, errno: Errno) -> io::Error {
        if self.breaks(errno) {
            self.mark(Marks::OUTPUT_ENDED);
        }
        self.note(errno)
    }

    pub(super) fn note(&self, errno: Errno) -> io::Error {
        if self.breaks(errno) && self.failure.get().is_none() {
            self.break_with(errno);
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
    pub(super) fn breaks(&self, errno: Errno) -> bool {
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

/// `EINTR` never surfaces.
pub(crate) fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
