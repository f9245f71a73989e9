//! asynchat's `async_chat`: input that is cut at terminators.

mod input;
mod search;
mod terminator;

pub use input::DEFAULT_INPUT_LIMIT;
pub use terminator::Terminator;

use crate::{
    Channel, Context, Dispatcher, Interest, State, diagnostics::diagnose, dispatch::is_harmless,
};
use input::{End, Input};
use std::{
    error::Error,
    fmt, io,
    ops::{Deref, DerefMut},
};

/// The callbacks of a protocol whose messages end at a terminator: those of asynchat's
/// `async_chat`.
///
/// A handler is given to a reactor inside of a [`Chat`], with the terminator to begin with. What is
/// read comes to [`collect_incoming_data`](Self::collect_incoming_data), piece by piece as it
/// arrives; then, at the terminator, comes [`found_terminator`](Self::found_terminator). How the
/// input was split on its way makes no difference, except to the pieces.
///
/// Output is the channel's: [`push`](Channel::push),
/// [`push_with_producer`](Channel::push_with_producer), and
/// [`close_when_done`](ChatContext::close_when_done).
///
/// # Examples
///
/// A server that answers each line:
///
/// ```
/// use asyncore::{Address, AsyncChat, Channel, Chat, ChatContext, Context, Dispatcher, Reactor};
/// use std::{io, net::TcpListener};
///
/// struct Upper;
///
/// impl AsyncChat for Upper {
///     fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
///         let line = cx.take_data();
///         cx.push(&line.to_ascii_uppercase())?;
///         cx.push(b"\r\n")?;
///         if line == b"quit" {
///             cx.close_when_done();
///         }
///         Ok(())
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
///         cx.add_channel(channel, Chat::new(Upper, "\r\n")).map(drop)
///     }
/// }
///
/// let listener = Channel::new(TcpListener::bind("127.0.0.1:0")?)?;
/// let mut reactor = Reactor::new();
/// reactor.add_channel(listener, Server)?;
/// # Ok::<(), io::Error>(())
/// ```
///
/// Messages behind their length, of four bytes:
///
/// ```
/// use asyncore::{AsyncChat, Chat, ChatContext, Terminator};
/// use std::io;
///
/// #[derive(Default)]
/// struct Messages {
///     in_body: bool,
/// }
///
/// impl AsyncChat for Messages {
///     fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
///         let data = cx.take_data();
///         self.in_body = !self.in_body;
///         if !self.in_body {
///             println!("{}", data.escape_ascii());
///             cx.set_terminator(4);
///             return Ok(());
///         }
///         let header = data.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
///         match u32::from_be_bytes(header) as usize {
///             0 => Err(io::ErrorKind::InvalidData.into()), // a length of 0 is none
///             length => {
///                 cx.set_terminator(length);
///                 Ok(())
///             }
///         }
///     }
/// }
///
/// let chat = Chat::new(Messages::default(), 4);
/// assert_eq!(*chat.terminator(), Terminator::Length(4));
/// ```
///
/// # Errors
///
/// An `Err` from `collect_incoming_data` or `found_terminator` goes to
/// [`handle_error`](Self::handle_error) at once. If that keeps the channel, the input goes on
/// behind the piece that failed. The other callbacks are as those of a
/// [`Dispatcher`](Dispatcher#errors).
///
/// # Panics
///
/// As in a [`Dispatcher`](Dispatcher#panics).
pub trait AsyncChat: 'static {
    /// A piece of input; never an empty one, and nothing of the terminator.
    ///
    /// By default it is collected until [`take_data`](ChatContext::take_data), up to the
    /// [input limit](Chat::set_input_limit).
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn collect_incoming_data(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        data: &[u8],
    ) -> io::Result<()> {
        cx.collect(data)
    }

    /// The terminator has come, and everything before it was given to
    /// [`collect_incoming_data`](Self::collect_incoming_data).
    ///
    /// The terminator may be changed here; the rest of what was read is cut at the new one. If the
    /// channel is closed here, or is to be closed when all is sent, nothing more of the input is
    /// given out. A pause holds from the next read on.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()>;

    /// Whether to read; see [`Dispatcher::readable`]. What was read before is cut to its end all
    /// the same.
    fn readable(&self, channel: &Channel) -> bool {
        let _ = channel;
        true
    }

    /// The connection is established; see [`Dispatcher::handle_connect`].
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_connect(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// The output is congested no more; see [`Dispatcher::handle_drained`].
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_drained(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Out-of-band data is there; see [`Dispatcher::handle_expt`].
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_expt(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        cx.unhandled(Interest::PRIORITY)
    }

    /// The peer will send no more.
    ///
    /// What came after the last terminator was given to
    /// [`collect_incoming_data`](Self::collect_incoming_data), so
    /// [`take_data`](ChatContext::take_data) has it. Output can still be pushed, and is sent before
    /// [`handle_close`](Self::handle_close).
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_eof(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// The channel was quiet for too long; see [`Dispatcher::handle_timeout`].
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_timeout(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        let _ = cx;
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Somebody has called [`Remote::notify`](crate::Remote::notify).
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_notify(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// The connection is over; see [`Dispatcher::handle_close`].
    ///
    /// If it broke while the channel was read, everything that came before was given out, the
    /// beginning of a terminator included.
    ///
    /// # Errors
    ///
    /// An error is logged; the channel goes all the same.
    fn handle_close(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        cause: Option<io::Error>,
    ) -> io::Result<()> {
        let _ = (cx, cause);
        Ok(())
    }

    /// A callback failed, or a producer, or the input is [too long](InputTooLong); see
    /// [`Dispatcher::handle_error`].
    ///
    /// # Errors
    ///
    /// The error that is to end the channel.
    fn handle_error(&mut self, cx: &mut ChatContext<'_, '_>, error: io::Error) -> io::Result<()> {
        diagnose!(error, "{cx:?}: {error}");
        if cx.survives(&error) { Ok(()) } else { Err(error) }
    }
}

/// The [`Dispatcher`] that cuts input at terminators and calls an [`AsyncChat`] handler.
///
/// It dereferences to the handler, so that `cx.get_mut(key)` on a `Key<Chat<C>>` gives it. A
/// handler's own key is `cx.key().typed::<Chat<Self>>()`.
///
/// What is not yet ended by its terminator costs what has come of it; a channel without input on
/// its way holds no buffer.
pub struct Chat<C> {
    handler: C,
    input: Input,
    /// The error that `handle_error` gave up on in the middle of the input.
    given_up: Option<io::Error>,
}

impl<C: AsyncChat> Chat<C> {
    /// A chat whose input is cut at `terminator` to begin with.
    #[must_use]
    pub fn new(handler: C, terminator: impl Into<Terminator>) -> Self {
        Self { handler, input: Input::new(terminator.into()), given_up: None }
    }

    /// Sets what ends the input that comes next (asynchat's `set_terminator`).
    ///
    /// What has come of another terminator, and might have become one, is input of the new one.
    pub fn set_terminator(&mut self, terminator: impl Into<Terminator>) {
        self.input.set_terminator(terminator.into());
    }

    /// What ends the input (asynchat's `get_terminator`); of a [`Length`](Terminator::Length) that
    /// has partly come, what is missing.
    #[must_use]
    pub fn terminator(&self) -> &Terminator {
        self.input.terminator()
    }

    /// Sets how many bytes may come without a terminator, and be collected;
    /// [`DEFAULT_INPUT_LIMIT`] unless set.
    ///
    /// Beyond that is an [`InputTooLong`], which says what becomes of the input.
    pub fn set_input_limit(&mut self, bytes: usize) {
        self.input.set_limit(bytes);
    }

    /// Gives the handler back.
    #[must_use]
    pub fn into_handler(self) -> C {
        self.handler
    }
}

impl<C> Deref for Chat<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.handler
    }
}

impl<C> DerefMut for Chat<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.handler
    }
}

impl<C: fmt::Debug> fmt::Debug for Chat<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("handler", &self.handler)
            .field("terminator", self.input.terminator())
            .finish_non_exhaustive()
    }
}

/// What a callback of an [`AsyncChat`] gets: the [`Context`], and what the input is cut at.
///
/// It dereferences to the context, and so to the callback's own channel.
pub struct ChatContext<'a, 'b> {
    cx: &'a mut Context<'b>,
    input: &'a mut Input,
}

impl ChatContext<'_, '_> {
    /// [`Chat::set_terminator`]; the rest of what was read is cut at it as well.
    pub fn set_terminator(&mut self, terminator: impl Into<Terminator>) {
        self.input.set_terminator(terminator.into());
    }

    /// [`Chat::terminator`].
    #[must_use]
    pub fn terminator(&self) -> &Terminator {
        self.input.terminator()
    }

    /// [`Chat::set_input_limit`].
    pub fn set_input_limit(&mut self, bytes: usize) {
        self.input.set_limit(bytes);
    }

    /// Adds `data` to what is collected (asynchat's `_collect_incoming_data`); what
    /// [`collect_incoming_data`](AsyncChat::collect_incoming_data) does by default.
    ///
    /// # Errors
    ///
    /// * [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) with an [`InputTooLong`] inside: with what
    ///   is collected it is more than the [input limit](Chat::set_input_limit). It is collected up
    ///   to the limit, and what comes until [`take_data`](Self::take_data) is dropped, without
    ///   another error.
    /// * [`OutOfMemory`](io::ErrorKind::OutOfMemory).
    pub fn collect(&mut self, data: &[u8]) -> io::Result<()> {
        self.input.collect(data)
    }

    /// What is collected.
    #[must_use]
    pub fn collected(&self) -> &[u8] {
        self.input.collected()
    }

    /// Takes what is collected (asynchat's `_get_data`).
    #[must_use]
    pub fn take_data(&mut self) -> Vec<u8> {
        self.input.take_collected()
    }

    /// Closes the channel once everything that was pushed is sent (asynchat's `close_when_done`):
    /// [`Channel::close_when_sent`].
    pub fn close_when_done(&self) {
        self.close_when_sent();
    }

    /// Drops what was read, what is collected, and what waits to be sent, producers included
    /// (asynchat's `discard_buffers`). For emergencies only, as asynchat says.
    pub fn discard_buffers(&mut self) {
        self.input.discard();
        self.discard_queue();
    }
}

impl<'b> Deref for ChatContext<'_, 'b> {
    type Target = Context<'b>;

    fn deref(&self) -> &Context<'b> {
        self.cx
    }
}

impl DerefMut for ChatContext<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.cx
    }
}

impl fmt::Debug for ChatContext<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cx.fmt(f)
    }
}

/// More input than the limit came without a terminator, or was to be collected.
///
/// The inner error of an [`io::Error`] of the kind
/// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) that `handle_error` gets. Input of just the
/// limit is not too long; neither does it matter how it was split on its way.
///
/// By default it ends the channel. If `handle_error` keeps it, the input goes on behind the
/// terminator: the rest up to there is passed over, without a `found_terminator`, and what is
/// collected is dropped. A [`Length`](Terminator::Length) or [`None`](Terminator::None) may exceed
/// the limit; only collecting it may not, see [`ChatContext::collect`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputTooLong {
    /// The limit.
    pub limit: usize,
}

impl fmt::Display for InputTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} bytes of input before its end", self.limit)
    }
}

impl Error for InputTooLong {}

/// How much is read at once.
const AT_ONCE: usize = 16 << 10;

impl<C: AsyncChat> Dispatcher for Chat<C> {
    fn readable(&self, channel: &Channel) -> bool {
        self.handler.readable(channel)
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_connect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, |handler, cx| handler.handle_connect(cx))
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let held = self.input.held();
        let (mut stack, mut heap) = ([0; AT_ONCE], Vec::new());
        let mut buffer = stack.as_mut_slice();
        if held.len() > AT_ONCE / 2 {
            heap.resize(held.len() + AT_ONCE, 0);
            buffer = &mut heap;
        }
        let (front, back) = buffer.split_at_mut(held.len());
        front.copy_from_slice(held);
        let result = cx.recv(back);
        let over = cx.input_is_over();
        if over || result.is_ok() {
            let end = held.len() + *result.as_ref().unwrap_or(&0);
            self.cut(cx, &buffer[..end], over)?;
        }
        if over && result.is_ok() && !cx.is_closing() {
            self.call(cx, |handler, cx| handler.handle_eof(cx))?;
        }
        result.map(drop)
    }

    fn handle_drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, |handler, cx| handler.handle_drained(cx))
    }

    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, |handler, cx| handler.handle_expt(cx))
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, |handler, cx| handler.handle_timeout(cx))
    }

    fn handle_notify(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, |handler, cx| handler.handle_notify(cx))
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        self.call(cx, |handler, cx| handler.handle_close(cx, cause))
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        match self.given_up.take() {
            Some(cause) => Err(cause),
            None => self.call(cx, |handler, cx| handler.handle_error(cx, error)),
        }
    }
}

/// From what was read to callbacks.
impl<C: AsyncChat> Chat<C> {
    /// Gives out what was read, and holds what may be the beginning of a terminator, unless this
    /// is the `last` of it.
    fn cut(&mut self, cx: &mut Context<'_>, mut data: &[u8], last: bool) -> io::Result<()> {
        self.input.release();
        while self.goes_on(cx) {
            let Some(piece) = self.input.next(data, last) else {
                self.input.hold(data);
                break;
            };
            if !piece.data.is_empty() {
                self.tell(cx, |handler, cx| handler.collect_incoming_data(cx, piece.data))?;
            }
            match piece.end {
                _ if !self.goes_on(cx) => {}
                End::More => {}
                End::Terminator => self.tell(cx, |handler, cx| handler.found_terminator(cx))?,
                End::TooLong => {
                    let error = self.input.too_long();
                    self.tell(cx, |_, _| Err(error))?;
                    drop(self.input.take_collected());
                }
            }
            data = piece.rest;
        }
        Ok(())
    }

    fn goes_on(&self, channel: &Channel) -> bool {
        !channel.is_closing() && !self.input.is_discarded()
    }

    /// Calls the handler in the middle of the input. A failure goes to its `handle_error` at once,
    /// so that the rest of the input is not lost.
    fn tell(
        &mut self,
        cx: &mut Context<'_>,
        callback: impl FnOnce(&mut C, &mut ChatContext<'_, '_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let Err(error) = self.call(cx, callback) else { return Ok(()) };
        if is_harmless(cx, &error) {
            return Ok(());
        }
        if cx.state() == State::Closed {
            return Err(error);
        }
        self.call(cx, |handler, cx| handler.handle_error(cx, error)).map_err(|cause| {
            // Whatever it is, it ends the channel: it comes back in handle_error.
            self.given_up = Some(cause);
            io::ErrorKind::Other.into()
        })
    }

    fn call(
        &mut self,
        cx: &mut Context<'_>,
        callback: impl FnOnce(&mut C, &mut ChatContext<'_, '_>) -> io::Result<()>,
    ) -> io::Result<()> {
        callback(&mut self.handler, &mut ChatContext { cx, input: &mut self.input })
    }
}
