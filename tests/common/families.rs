//! Every test on every family of sockets: IPv4, IPv6 and Unix.

use asyncore::{Address, Channel, Family, State, ToAddress, Type};
use nix::poll::PollFlags;
use std::{
    io::{self, Write},
    net::TcpListener,
};
use tempfile::TempDir;

/// Defines tests that run for each family of sockets, on each backend that is compiled in:
/// `name::inet::poll`, `name::inet6::select`, `name::unix::poll`, ...
macro_rules! on_every_family {
    ($(
        $(#[$attribute:meta])*
        fn $name:ident<$backend:ident>($family:ident: Family) $body:block
    )*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;
            fn on<$backend: asyncore::Backend + Default + 'static>($family: asyncore::Family) $body

            $crate::common::on_both_backends! {
                fn inet<B>() {
                    on::<B>(asyncore::Family::Inet);
                }

                fn inet6<B>() {
                    if $crate::common::families::has_ipv6() {
                        on::<B>(asyncore::Family::Inet6);
                    }
                }

                fn unix<B>() {
                    on::<B>(asyncore::Family::Unix);
                }
            }
        }
    )*};
}
pub(crate) use on_every_family;

/// Whether the machine has IPv6. Where it has none, the library must say so, and the calling test
/// is named as skipped.
#[track_caller]
pub(crate) fn has_ipv6() -> bool {
    if TcpListener::bind("[::1]:0").is_ok() {
        return true;
    }
    let listener = Channel::create_socket(Family::Inet6, Type::Stream);
    let error = listener.and_then(|listener| listener.bind("[::1]:0")).unwrap_err();
    let test = std::thread::current().name().unwrap_or_default().to_string();
    // Not eprintln, which would be captured and lost.
    let _ = io::stderr().write_all(format!("{test}: skipped, no IPv6: {error}\n").as_bytes());
    false
}

/// An address, and the directory of a Unix one.
pub(crate) struct Place {
    pub(crate) address: Address,
    _directory: Option<TempDir>,
}

impl Place {
    /// One to bind to: a port of loopback that the kernel will choose, or a path that is new.
    pub(crate) fn new(family: Family) -> Self {
        let directory = (family == Family::Unix).then(|| tempfile::tempdir().unwrap());
        let address = match (&directory, family) {
            (Some(directory), _) => directory.path().join("socket").to_address(),
            (None, Family::Inet6) => "[::1]:0".to_address(),
            (None, _) => "127.0.0.1:0".to_address(),
        };
        Self { address: address.unwrap(), _directory: directory }
    }
}

pub(crate) fn stream(family: Family) -> Channel {
    Channel::create_socket(family, Type::Stream).unwrap()
}

/// A listener, and where it is.
pub(crate) fn listener(family: Family) -> (Channel, Place) {
    let mut place = Place::new(family);
    let channel = stream(family);
    channel.bind(&place.address).unwrap();
    channel.listen(5).unwrap();
    place.address = channel.local_addr().unwrap();
    (channel, place)
}

/// A client whose connect is under way, or done as far as the kernel is concerned.
pub(crate) fn connecting_to(address: &Address) -> Channel {
    let channel = stream(Family::of(address));
    channel.connect(address).unwrap();
    assert_eq!(channel.state(), State::Connecting);
    channel
}

/// The connection that waits at a listener.
#[track_caller]
pub(crate) fn accept_from(listener: &Channel) -> (Channel, Address) {
    super::wait_for(listener, PollFlags::POLLIN);
    listener.accept().unwrap().unwrap()
}
