//! Python's `asyncore` for Rust: a thin, single-threaded reactor that calls `select(2)` or
//! `poll(2)` directly.
//!
//! A [`Reactor`] keeps its channels in a slab indexed by descriptor and turns readiness into the
//! callbacks of a [`Dispatcher`]: connect, accept, read, write, close, and out-of-band data.
//!
//! ```no_run
//! use asyncore::{Address, Channel, Context, Dispatcher, Family, Reactor, Type};
//! use std::io;
//!
//! struct Echo;
//!
//! impl Dispatcher for Echo {
//!     fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
//!         let mut buffer = [0; 8192];
//!         let count = cx.recv(&mut buffer)?;
//!         cx.push(&buffer[..count]) // now what fits, the rest when there is room
//!     }
//! }
//!
//! struct EchoServer;
//!
//! impl Dispatcher for EchoServer {
//!     fn handle_accepted(
//!         &mut self,
//!         cx: &mut Context<'_>,
//!         channel: Channel,
//!         peer: Address,
//!     ) -> io::Result<()> {
//!         println!("Incoming connection from {peer}");
//!         cx.add_channel(channel, Echo)?;
//!         Ok(())
//!     }
//! }
//!
//! let listener = Channel::create_socket(Family::Inet, Type::Stream)?;
//! listener.set_reuse_addr()?;
//! listener.bind("127.0.0.1:8080")?;
//! listener.listen(128)?;
//! let mut reactor = Reactor::new();
//! reactor.add_channel(listener, EchoServer)?;
//! reactor.run()?; // asyncore.loop()
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # A tour
//!
//! - [`Channel`] is an owned descriptor with its state, the socket half of `asyncore.dispatcher`:
//!   [`create_socket`](Channel::create_socket), [`connect`](Channel::connect),
//!   [`recv`](Channel::recv), [`send`](Channel::send), and [`push`](Channel::push), which is
//!   `dispatcher_with_send`. [`Channel::new`] takes any `OwnedFd`; [`file_dispatcher`] dups what
//!   is only borrowed.
//! - [`Dispatcher`] is the other half, the callbacks. All have defaults. Its page has the order in
//!   which they come.
//! - [`Chat`] is asynchat's `async_chat`, a dispatcher that cuts the input at a [`Terminator`] and
//!   calls an [`AsyncChat`]. A [`Producer`] is output that is made as it can be sent, on any
//!   channel: [`push_with_producer`](Channel::push_with_producer).
//! - [`Context`] is what a callback gets: its own channel, and every other one by its key.
//! - [`Key`] names a channel. It is typed, so it gives the dispatcher back, and a stale key finds
//!   nothing.
//! - [`Reactor`] is the loop and asyncore's map. [`Remote`] speaks to it from other threads.
//! - [`Reactor::connect_to`] connects to a name, or to the first of several addresses that answers;
//!   a [`Destination`] says to which, and how long it may take.
//! - Timers: [`Reactor::call_later`] and its kin, on [`Context`] as well; and how long a channel
//!   may be quiet, [`Channel::set_timeout`]. What a timer calls gets a [`Scope`], which is a
//!   `Context` without a channel.
//! - [`Reactor::stats`] tells what it has done so far, [`Reactor::channels`] whom it serves; both
//!   are on [`Context`] and [`Scope`] as well.
//!
//! # Features
//!
//! | feature | default | what it gives |
//! |---|---|---|
//! | `poll` | on | [`Poll`]; it is the [`DefaultBackend`] wherever it is on |
//! | `select` | on | [`Select`]; the [`DefaultBackend`] where `poll` is off |
//! | `log` | off | diagnostics through the `log` crate; the library never prints |
//!
//! The features are additive. With both backends on, a reactor is made on either by
//! [`Reactor::with_backend`]. Both deliver the same callbacks in the same order.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "poll", feature = "select")),
    allow(rustdoc::broken_intra_doc_links, reason = "the page speaks of both backends")
)]

mod builder;
mod channel;
mod chat;
mod context;
mod diagnostics;
mod dispatch;
mod dispatcher;
mod drain;
mod interest;
mod key;
mod map;
mod names;
mod reactor;
mod remote;
mod running;
mod scope;
mod slab;
mod stats;
mod sync;
mod timer;
mod timing;

#[cfg(feature = "poll")]
pub use asyncore_backends::Poll;
#[cfg(feature = "select")]
pub use asyncore_backends::Select;
pub use asyncore_backends::{Backend, Calls, Event, Interest, Readiness, Scan};
pub use builder::Builder;
pub use channel::{
    Address, Channel, DEFAULT_QUEUE_LIMIT, Family, FileProducer, FileWrapper, IteratorProducer,
    Producer, QueueFull, SimpleProducer, State, ToAddress, Type, file_dispatcher,
};
pub use chat::{AsyncChat, Chat, ChatContext, DEFAULT_INPUT_LIMIT, InputTooLong, Terminator};
pub use context::Context;
pub use dispatcher::Dispatcher;
pub use key::Key;
pub use names::Destination;
pub use reactor::{LoopOptions, Reactor};
pub use remote::{PostError, Remote};
pub use scope::Scope;
pub use stats::{ChannelInfo, Stats};
pub use timer::Timer;

/// The backend of [`Reactor::new`]: poll if the feature `poll` is on, else select.
#[cfg(default_backend = "poll")]
pub type DefaultBackend = Poll;
/// The backend of [`Reactor::new`]: poll if the feature `poll` is on, else select.
#[cfg(default_backend = "select")]
pub type DefaultBackend = Select;

/// The programs of README.md, compiled by the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
