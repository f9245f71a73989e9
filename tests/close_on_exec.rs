//! Whatever descriptor the library makes or is given is closed in the programs that this process
//! starts: a child that is started meanwhile keeps no connection open.
#![cfg(target_os = "linux")]

mod common;

use asyncore::{
    Address, Backend, Channel, Context, Dispatcher, Family, FileWrapper, Type, file_dispatcher,
};
use common::{alone, on_both_backends, open_descriptors, poll_until, reactor};
use nix::{
    fcntl::OFlag,
    sys::socket::{AddressFamily, SockFlag, SockType, socket, socketpair},
    unistd::pipe2,
};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs, io,
    net::TcpStream,
    os::fd::{AsRawFd, RawFd},
    process::{Command, Stdio},
    rc::Rc,
};

/// Keeps what is accepted.
#[derive(Default)]
struct Keeper(Rc<RefCell<Vec<Channel>>>);

impl Dispatcher for Keeper {
    fn handle_accepted(
        &mut self,
        _: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        self.0.borrow_mut().push(channel);
        Ok(())
    }
}

/// One of everything that the library makes.
fn all_kinds<B: Backend + Default>() -> impl Sized {
    let mut reactor = reactor::<B>();
    let _remote = reactor.remote().unwrap();
    let mut channels = Vec::new();
    for family in [Family::Inet, Family::Inet6, Family::Unix] {
        for kind in [Type::Stream, Type::Datagram] {
            // A machine may be without IPv6.
            channels.extend(Channel::create_socket(family, kind));
        }
    }
    // Given, and not close-on-exec.
    let flags = SockFlag::empty();
    let given = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    channels.push(Channel::new(given).unwrap());
    let (one, other) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags).unwrap();
    channels.extend([one, other].map(|end| Channel::new(end).unwrap()));
    let (reader, writer) = pipe2(OFlag::empty()).unwrap();
    channels.extend([reader, writer].map(|end| Channel::new(end).unwrap()));
    // Borrowed, and dup'ed.
    let (reader, writer) = io::pipe().unwrap();
    channels.extend([file_dispatcher(&reader).unwrap(), file_dispatcher(&writer).unwrap()]);
    let wrapper = FileWrapper::new(&reader).unwrap();
    // Accepted: by the reactor, and by hand.
    let accepted = Rc::new(RefCell::new(channels));
    let mut clients = Vec::new();
    for by_hand in [true, false] {
        let listener = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        listener.bind("127.0.0.1:0").unwrap();
        listener.listen(1).unwrap();
        let address = listener.local_addr().unwrap().as_inet().unwrap();
        let before = accepted.borrow().len();
        clients.push(TcpStream::connect(address).unwrap());
        if by_hand {
            accepted.borrow_mut().push(listener.accept().unwrap().unwrap().0);
            accepted.borrow_mut().push(listener);
        } else {
            reactor.add_channel(listener, Keeper(Rc::clone(&accepted))).unwrap();
            poll_until(&mut reactor, || accepted.borrow().len() > before);
        }
    }
    let channels = accepted.take();
    (reactor, channels, clients, wrapper)
}

/// What an open descriptor is: `socket:[4711]`, `pipe:[4712]`, ...
fn what_is(number: RawFd) -> Option<String> {
    Some(fs::read_link(format!("/proc/self/fd/{number}")).ok()?.to_str()?.to_owned())
}

/// What a program has open that this process starts.
fn open_in_a_child() -> String {
    let mut ls = Command::new("ls");
    let output = ls.args(["-l", "/proc/self/fd/"]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

on_both_backends! {
    fn no_descriptor_is_open_in_a_child<B>() {
        if !alone() {
            return;
        }
        let before: BTreeSet<_> = open_descriptors().into_iter().collect();
        let all = all_kinds::<B>();
        let made = open_descriptors().into_iter().filter(|number| !before.contains(number));
        let made: BTreeSet<_> = made.filter_map(what_is).collect();
        assert!(made.len() > 15, "{made:?}");
        // So that the child can be seen to have something.
        let flags = SockFlag::empty();
        let inherited = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();

        let child = open_in_a_child();
        assert!(child.contains(&what_is(inherited.as_raw_fd()).unwrap()), "{child}");
        let leaked: Vec<_> = made.iter().filter(|what| child.contains(*what)).collect();
        assert!(leaked.is_empty(), "{leaked:?} in {child}");
        drop(all);
    }

    /// Had one been closed twice, the second time it would be somebody else's: the standard
    /// library ends a process of a debug build for that.
    fn every_descriptor_is_closed_and_once<B>() {
        if !alone() {
            return;
        }
        let before = open_descriptors();
        for _ in 0..3 {
            drop(all_kinds::<B>());
        }
        assert_eq!(open_descriptors(), before);
    }
}
