//! `Dispatcher`: the callbacks, asyncore's `handle_*`.

use crate::{Address, Channel, Context, Interest, diagnostics::diagnose};
use std::{any::Any, fmt, io};

/// What to do when a channel is ready: the callbacks of `asyncore.dispatcher`.
///
/// Every method has a default, which is asyncore's where asyncore's is sound. A callback gets the
/// [`Context`]: its own channel, and through it every other one.
///
/// # The order of callbacks
///
/// Ready channels are served in ascending order of their descriptors, each once per pass; channels
/// whose end needs no event come before them. For each, in this order, as long as it lives and
/// still wants the event:
///
/// 1. a connect that ended: [`handle_connect`](Self::handle_connect), or
///    [`handle_error`](Self::handle_error) and [`handle_close`](Self::handle_close);
/// 2. readable: [`handle_accept`](Self::handle_accept) on a listener, else
///    [`handle_read`](Self::handle_read);
/// 3. writable: what was pushed is sent, and if that ends a congestion,
///    [`handle_drained`](Self::handle_drained) follows; if nothing was left to be sent,
///    [`handle_write`](Self::handle_write);
/// 4. out-of-band data: [`handle_expt`](Self::handle_expt).
///
/// A hang-up is readable, so what the peer sent before it is read first.
///
/// # Errors
///
/// An `Err` from a callback goes to the channel's own `handle_error`; the other channels are
/// served. [`WouldBlock`](io::ErrorKind::WouldBlock) is not an error: a callback may return it. Nor
/// is the error of a broken connection, which `handle_close` will tell.
///
/// # Panics
///
/// A panic in a callback unwinds through [`poll`](crate::Reactor::poll). The channel is gone and
/// its descriptor closed; the reactor and every other channel are whole.
///
/// So it is if a dispatcher's drop panics, which comes when the channel is out of the reactor and
/// closed; if another's callback had closed it, the panic costs that one, too. A drop that panics
/// while another panic unwinds ends the process, as everywhere in Rust.
pub trait Dispatcher: Any {
    /// Whether to watch for data, or for connections to accept (asyncore's `readable`).
    ///
    /// Asked after each callback of this dispatcher and after it was touched from outside (see
    /// [`Reactor::touch`](crate::Reactor::touch)), and the answer is kept until then. An answer
    /// that depends on anything but the dispatcher and the channel needs such a touch, or
    /// [`Builder::ask_every_pass`](crate::Builder::ask_every_pass).
    fn readable(&self, channel: &Channel) -> bool {
        let _ = channel;
        true
    }

    /// Whether to watch for room to write (asyncore's `writable`); asked as
    /// [`readable`](Self::readable) is.
    ///
    /// While the channel connects and while pushed bytes wait, it is watched anyway; on a listener
    /// it never is.
    fn writable(&self, channel: &Channel) -> bool {
        let _ = channel;
        true
    }

    /// The connection is established.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_connect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// A connection can be accepted. By default it is, and given to
    /// [`handle_accepted`](Self::handle_accepted).
    ///
    /// Called again while each call accepts something, up to
    /// [`Builder::accept_batch`](crate::Builder::accept_batch) times in a pass.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_accept(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match cx.accept()? {
            Some((channel, peer)) => self.handle_accepted(cx, channel, peer),
            None => Ok(()),
        }
    }

    /// A connection was accepted. By default it is closed, as in asyncore.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        peer: Address,
    ) -> io::Result<()> {
        diagnose!(warn, "{cx:?}: unhandled accepted event, {peer} is closed");
        let _ = (cx, channel, peer);
        Ok(())
    }

    /// Something can be read: data, or the end of it.
    ///
    /// By default nothing reads, and reading is no longer watched for; but if the peer has closed
    /// and left nothing unread, the channel closes, too.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.unhandled(Interest::READ)
    }

    /// There is room to write. By default nothing is written, and writing is no longer watched for.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.unhandled(Interest::WRITE)
    }

    /// The output is [congested](Channel::is_congested) no more: so much of it was sent that no
    /// more is queued than the low [water mark](Channel::set_water_marks).
    ///
    /// This is for who fills the queue from another channel, and waits: touch that one here, resume
    /// it, read it. Called once for each congestion that sending has ended, and neither when the
    /// queue was [discarded](Channel::discard_queue), nor by a channel that
    /// [closes when all is sent](Channel::close_when_sent), which takes nothing more. If the
    /// connection ends instead, [`handle_close`](Self::handle_close) comes.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Out-of-band data is there; [`recv_oob`](Channel::recv_oob) takes it.
    ///
    /// If nothing is read, it is not told of again until something is. By default it is no longer
    /// watched for.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.unhandled(Interest::PRIORITY)
    }

    /// The channel was quiet for as long as its [timeout](Channel::set_timeout) allows. By default
    /// that is an error, [`TimedOut`](io::ErrorKind::TimedOut), and so the end of it.
    ///
    /// Whoever returns `Ok` keeps the channel, and is called again when it has been quiet for as
    /// long once more. Called after the channels that are ready were served; it does not matter
    /// whether the channel is paused.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_timeout(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let _ = cx;
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Somebody has called [`Remote::notify`](crate::Remote::notify). By default nothing happens.
    ///
    /// # Errors
    ///
    /// See [the trait](Self#errors).
    fn handle_notify(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// The connection is over. Called once, as the last callback; the reactor then closes the
    /// channel and drops the dispatcher.
    ///
    /// `cause` is the error that ended it: of the connection, or the one that `handle_error` gave
    /// up on. `None` is an orderly end: the peer has closed, or
    /// [`close_when_sent`](Channel::close_when_sent) is done.
    ///
    /// # Errors
    ///
    /// An error is logged; the channel goes all the same.
    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        let _ = (cx, cause);
        Ok(())
    }

    /// A callback failed, a connect did, or the descriptor is not open.
    ///
    /// `Ok` keeps the channel, unless it is past keeping (a failed connect, a bad descriptor).
    /// `Err` gives up: `handle_close` follows, with that error as the cause. By default the error
    /// is logged, and the channel is kept only if it [`survives`](Channel::survives): a listener
    /// without room for another connection, a datagram socket whose peer is unreachable.
    ///
    /// # Errors
    ///
    /// The error that is to end the channel.
    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        diagnose!(error, "{cx:?}: {error}");
        if cx.survives(&error) { Ok(()) } else { Err(error) }
    }
}

impl fmt::Debug for dyn Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dyn Dispatcher")
    }
}
