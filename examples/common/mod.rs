//! What the example programs share: the `--backend` option, a server from its beginning to its end,
//! an orderly end on a signal, and TLS.
#![allow(dead_code, reason = "each example uses its part")]

pub(crate) mod stdio;
pub(crate) mod tls;

use asyncore::{
    Address, Backend, Channel, Context, DefaultBackend, Dispatcher, Family, Reactor, Type,
};
use clap::ValueEnum;
use nix::sys::socket::{setsockopt, sockopt};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
    low_level::pipe,
};
use std::{
    ffi::c_int,
    fs,
    io::{self, Write},
    os::unix::net::UnixStream,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// The value of `--backend`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum BackendName {
    #[cfg(feature = "poll")]
    Poll,
    #[cfg(feature = "select")]
    Select,
}

/// What `--backend` is unless given.
pub(crate) const DEFAULT_BACKEND: &str = <DefaultBackend as Backend>::NAME;

/// Calls `$run(reactor, $args...)` with a reactor on the backend that was named.
macro_rules! run_on {
    ($backend:expr, $run:ident($($args:expr),*)) => {
        match $backend {
            #[cfg(feature = "poll")]
            common::BackendName::Poll => {
                $run(asyncore::Reactor::with_backend(asyncore::Poll::new()), $($args),*)
            }
            #[cfg(feature = "select")]
            common::BackendName::Select => {
                $run(asyncore::Reactor::with_backend(asyncore::Select::new()), $($args),*)
            }
        }
    };
}
pub(crate) use run_on;

/// Listens at `address`; `server` is given the connections, until a signal comes.
pub(crate) fn serve<B: Backend, D: Dispatcher>(
    reactor: Reactor<B>,
    address: &Address,
    server: D,
) -> io::Result<()> {
    let listener = Channel::create_socket(Family::of(address), Type::Stream)?;
    listener.set_reuse_addr()?;
    listener.bind(address)?;
    listener.listen(1024)?;
    run_until_signal(reactor, listener, server)
}

/// How long clients have, when the server is told to stop, to take what is queued for them.
const GRACE: Duration = Duration::from_secs(5);

/// Says where `channel` is bound; `dispatcher` serves it until a signal comes.
pub(crate) fn run_until_signal<B: Backend, D: Dispatcher>(
    mut reactor: Reactor<B>,
    channel: Channel,
    dispatcher: D,
) -> io::Result<()> {
    stop_on_signals(&mut reactor)?;
    let address = channel.local_addr()?;
    // Nobody may be reading what is printed; the server goes on.
    let _ = writeln!(io::stdout(), "listening on {address}");
    reactor.add_channel(channel, dispatcher)?;
    reactor.run()?;
    reactor.drain(GRACE)?;
    if let Address::Unix(path) = address {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Has TCP send small pieces as they are pushed, without waiting for the peer's word on the last.
pub(crate) fn send_at_once(channel: &Channel) {
    // A Unix socket has no such option, and always does.
    let _ = setsockopt(channel, sockopt::TcpNoDelay, &true);
}

/// Makes SIGINT and SIGTERM stop the reactor, by a byte on a socket that it watches. The second of
/// them ends the program at once, whatever it is doing.
pub(crate) fn stop_on_signals<B: Backend>(reactor: &mut Reactor<B>) -> io::Result<()> {
    let second = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first does not find the flag that it sets.
        flag::register_conditional_default(signal, Arc::clone(&second))?;
        flag::register(signal, Arc::clone(&second))?;
    }
    on_signals(reactor, &[SIGINT, SIGTERM], |cx| cx.stop())
}

/// Calls `callback` when one of these signals has come.
///
/// A signal handler may do little. This one writes a byte, and the rest happens here, between other
/// callbacks.
pub(crate) fn on_signals<B: Backend>(
    reactor: &mut Reactor<B>,
    signals: &[c_int],
    callback: impl FnMut(&mut Context<'_>) + 'static,
) -> io::Result<()> {
    struct Signals<F>(F);
    impl<F: FnMut(&mut Context<'_>) + 'static> Dispatcher for Signals<F> {
        fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            // Several that came in quick succession are one.
            cx.recv(&mut [0; 64])?;
            (self.0)(cx);
            Ok(())
        }

        fn writable(&self, _: &Channel) -> bool {
            false
        }
    }

    let (reader, writer) = UnixStream::pair()?;
    for &signal in signals {
        pipe::register(signal, writer.try_clone()?)?;
    }
    reactor.add_channel(Channel::new(reader)?, Signals(callback))?;
    Ok(())
}
