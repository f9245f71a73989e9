//! Python's `asyncore` for Rust: a thin reactor that calls `select(2)` or `poll(2)` directly.
#![forbid(unsafe_code)]

mod builder;
mod channel;
mod context;
mod diagnostics;
mod dispatch;
mod dispatcher;
mod interest;
mod key;
mod map;
mod reactor;
mod remote;
mod running;
mod slab;
mod sync;

#[cfg(feature = "poll")]
pub use asyncore_backends::Poll;
#[cfg(feature = "select")]
pub use asyncore_backends::Select;
pub use asyncore_backends::{Backend, Interest};
pub use builder::Builder;
pub use channel::{
    Address, Channel, DEFAULT_QUEUE_LIMIT, Family, FileWrapper, QueueFull, State, ToAddress, Type,
    file_dispatcher,
};
pub use context::Context;
pub use dispatcher::Dispatcher;
pub use key::Key;
pub use reactor::{LoopOptions, Reactor};
pub use remote::Remote;

/// The backend of [`Reactor::new`]: poll if the feature `poll` is on, else select.
#[cfg(default_backend = "poll")]
pub type DefaultBackend = Poll;
/// The backend of [`Reactor::new`]: poll if the feature `poll` is on, else select.
#[cfg(default_backend = "select")]
pub type DefaultBackend = Select;
