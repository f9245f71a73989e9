//! I8: a panic in a callback unwinds through `poll`, and costs that channel alone.

use crate::common::{Log, Probe, ascending_pairs, assert_quiet, on_both_backends, pass, reactor};
use asyncore::{Address, Backend, Channel, Context, Dispatcher, Family, Interest, Reactor, Type};
use nix::{
    errno::Errno,
    poll::PollFlags,
    sys::socket::{MsgFlags, send},
};
use std::{
    cell::Cell,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener},
    os::{fd::AsRawFd, unix::net::UnixStream},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

/// A pass that panics, as the test meant it to.
#[track_caller]
fn poll_and_panic<B: Backend>(reactor: &mut Reactor<B>) {
    let pass = AssertUnwindSafe(|| reactor.poll(Some(Duration::from_secs(20))));
    let panic = catch_unwind(pass).expect_err("it does not panic");
    assert_eq!(*panic.downcast::<&str>().unwrap(), "as it is meant to");
}

fn burst() -> io::Result<()> {
    panic!("as it is meant to")
}

/// `a` panics for some reason while `b`, behind it, is ready to read; then `a` is gone, and `b` is
/// served.
fn costs_a_alone<B: Backend + Default>(
    expected: &[&str],
    a: impl FnOnce(Probe) -> Probe,
    provoke: impl FnOnce(&mut UnixStream),
) {
    let [(ours_a, mut peer_a), (ours_b, mut peer_b)] = ascending_pairs();
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    let probe = a(Probe::new("a", &log));
    let a = reactor.add_channel(Channel::new(ours_a).unwrap(), probe).unwrap();
    reactor.add_channel(Channel::new(ours_b).unwrap(), Probe::new("b", &log)).unwrap();
    provoke(&mut peer_a);
    peer_b.write_all(b"x").unwrap();

    poll_and_panic(&mut reactor);
    let mut expected: Vec<_> = expected.iter().map(|entry| format!("a.{entry}")).collect();
    expected.push("a.drop".into());
    assert_eq!(log.take(), expected);
    assert_eq!(reactor.len(), 1);
    assert!(reactor.get(a).is_none() && !reactor.close_channel(a));
    // Its descriptor is closed; what it had not read makes that a reset.
    while peer_a.read(&mut [0; 64]).unwrap_or(0) > 0 {}

    assert_eq!(pass(&mut reactor), 1);
    assert_eq!(log.take(), ["b.read x"]);
    assert_quiet(&mut reactor);
    drop(peer_b);
    reactor.run().unwrap();
    assert_eq!(log.take(), ["b.eof", "b.close", "b.drop"]);
}

fn write_x(peer: &mut UnixStream) {
    peer.write_all(b"x").unwrap();
}

/// Panics when it is asked what it wants, once that is armed.
struct Asked {
    armed: Rc<Cell<bool>>,
    about_reading: bool,
}

impl Asked {
    fn bursts(&self, about_reading: bool) -> bool {
        self.armed.get() && self.about_reading == about_reading
    }
}

impl Dispatcher for Asked {
    fn readable(&self, _: &Channel) -> bool {
        assert!(!self.bursts(true), "as it is meant to");
        true
    }

    fn writable(&self, _: &Channel) -> bool {
        assert!(!self.bursts(false), "as it is meant to");
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.recv(&mut [0; 8])?;
        self.armed.set(true);
        Ok(())
    }
}

on_both_backends! {
    fn i08_in_handle_read<B>() {
        costs_a_alone::<B>(&["read"], |a| a.on("read", |_| burst()), write_x);
    }

    fn i08_in_handle_write<B>() {
        let probe = |a: Probe| a.writable(true).on("write", |_| burst());
        costs_a_alone::<B>(&["read x", "write"], probe, write_x);
    }

    fn i08_in_handle_expt<B>() {
        let (ours, mut theirs) = crate::common::tcp_pair();
        send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        crate::common::wait_for(&ours, PollFlags::POLLPRI);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("expt", |_| burst());
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        poll_and_panic(&mut reactor);
        assert_eq!(log.take(), ["a.expt", "a.drop"]);
        assert!(reactor.is_empty());
        assert_eq!(theirs.read(&mut [0]).unwrap_or(0), 0);
    }

    fn i08_in_handle_close<B>() {
        let probe = |a: Probe| a.on("close", |_| burst());
        costs_a_alone::<B>(&["eof", "close"], probe, |peer| {
            peer.shutdown(Shutdown::Write).unwrap();
        });
    }

    fn i08_in_handle_error<B>() {
        let probe = |a: Probe| {
            a.on("read", |_| Err(Errno::EPERM.into())).on("error", |_| burst())
        };
        costs_a_alone::<B>(&["read", "error EPERM"], probe, write_x);
    }

    fn i08_in_a_handle_close_without_an_event<B>() {
        let probe = |a: Probe| a.on("close", |_| burst());
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut peers = Vec::new();
        for (ours, mut theirs) in ascending_pairs::<3>() {
            write_x(&mut theirs);
            peers.push(theirs);
            let a = probe(Probe::new("a", &log));
            let key = reactor.add_channel(Channel::new(ours).unwrap(), a).unwrap();
            reactor.channel(key).unwrap().close_when_sent();
        }
        // Each takes a pass of its own with it, and none is forgotten.
        for left in [2, 1, 0] {
            poll_and_panic(&mut reactor);
            assert_eq!(log.take(), ["a.close", "a.drop"]);
            assert_eq!(reactor.len(), left);
        }
    }

    /// After the batch, and the other who was notified is told in the next.
    fn i08_in_handle_notify<B>() {
        let [(ours_a, mut peer_a), (ours_b, mut peer_b)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let remote = reactor.remote().unwrap();
        let probe = Probe::new("a", &log).on("notify", |_| burst());
        let a = reactor.add_channel(Channel::new(ours_a).unwrap(), probe).unwrap();
        let probe = Probe::new("b", &log);
        let b = reactor.add_channel(Channel::new(ours_b).unwrap(), probe).unwrap();
        remote.notify(a).unwrap();
        remote.notify(b).unwrap();
        write_x(&mut peer_b);
        poll_and_panic(&mut reactor);
        assert_eq!(log.take(), ["b.read x", "a.notify", "a.drop"]);
        assert_eq!((reactor.len(), peer_a.read(&mut [0]).unwrap()), (1, 0));
        pass(&mut reactor);
        assert_eq!(log.take(), ["b.notify"]);
        assert_quiet(&mut reactor);
    }

    fn i08_in_handle_drained<B>() {
        let [(ours_a, mut peer_a), (ours_b, mut peer_b)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("drained", |_| burst());
        let a = reactor.add_channel(Channel::new(ours_a).unwrap(), probe).unwrap();
        reactor.add_channel(Channel::new(ours_b).unwrap(), Probe::new("b", &log)).unwrap();
        let channel = reactor.channel(a).unwrap();
        channel.set_water_marks(0, 1).unwrap();
        channel.pause(Interest::WRITE);
        channel.push(b"hello").unwrap();
        channel.resume(Interest::WRITE);
        write_x(&mut peer_b);
        poll_and_panic(&mut reactor);
        assert_eq!(log.take(), ["a.drained", "a.drop"]);
        let mut received = Vec::new();
        peer_a.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"hello");
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["b.read x"]);
        assert_quiet(&mut reactor);
    }

    fn i08_in_handle_connect<B>() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        channel.connect(listener.local_addr().unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("connect", |_| burst());
        reactor.add_channel(channel, probe).unwrap();
        poll_and_panic(&mut reactor);
        assert_eq!(log.take(), ["a.connect", "a.drop"]);
        assert!(reactor.is_empty());
        assert_eq!(listener.accept().unwrap().0.read(&mut [0]).unwrap(), 0);
    }

    fn i08_in_handle_accepted_the_connection_goes_with_the_listener<B>() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("listener");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on_accepted(|_, _, _| burst());
        reactor.add_channel(Channel::new(listener).unwrap(), probe).unwrap();
        poll_and_panic(&mut reactor);
        assert_eq!(log.take(), ["a.accepted", "a.drop"]);
        assert!(reactor.is_empty());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert!(UnixStream::connect(&path).is_err());
    }

    fn i08_in_handle_accept<B>() {
        struct Panics;
        impl Dispatcher for Panics {
            fn handle_accept(&mut self, _: &mut Context<'_>) -> io::Result<()> {
                burst()
            }
            fn handle_accepted(
                &mut self,
                _: &mut Context<'_>,
                _: Channel,
                _: Address,
            ) -> io::Result<()> {
                unreachable!("nothing was accepted")
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut reactor = reactor::<B>();
        reactor.add_channel(Channel::new(listener).unwrap(), Panics).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        poll_and_panic(&mut reactor);
        assert!(reactor.is_empty());
    }

    /// Asked for the first time before a wait, and once more after its own callback.
    fn i08_in_readable_and_writable<B>() {
        for about_reading in [true, false] {
            for armed in [true, false] {
                let [(ours_a, mut peer_a), (ours_b, mut peer_b)] = ascending_pairs();
                let (log, mut reactor) = (Log::default(), reactor::<B>());
                let asked = Asked { armed: Rc::new(Cell::new(armed)), about_reading };
                let a = reactor.add_channel(Channel::new(ours_a).unwrap(), asked).unwrap();
                let probe = Probe::new("b", &log);
                reactor.add_channel(Channel::new(ours_b).unwrap(), probe).unwrap();
                write_x(&mut peer_a);
                write_x(&mut peer_b);
                poll_and_panic(&mut reactor);
                assert_eq!(reactor.len(), 1);
                assert!(reactor.get(a).is_none());
                assert_eq!(peer_a.read(&mut [0]).unwrap_or(0), 0);
                pass(&mut reactor);
                assert_eq!(log.take(), ["b.read x"]);
                assert_quiet(&mut reactor);
            }
        }
    }

    /// What the callback did before it burst is done.
    fn i08_a_stop_a_newcomer_and_a_removal_survive_the_panic<B>() {
        let [(ours_a, mut peer_a), (ours_b, mut peer_b), (ours_c, mut peer_c)] =
            ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("b", &log);
        let b = reactor.add_channel(Channel::new(ours_b).unwrap(), probe).unwrap();
        let mut newcomer = Some((Channel::new(ours_c).unwrap(), Probe::new("c", &log)));
        let probe = Probe::new("a", &log).on("read", move |cx| {
            let (channel, probe) = newcomer.take().unwrap();
            cx.add_channel(channel, probe)?;
            assert!(cx.close_channel(b));
            cx.stop();
            burst()
        });
        reactor.add_channel(Channel::new(ours_a).unwrap(), probe).unwrap();
        [&mut peer_a, &mut peer_b, &mut peer_c].into_iter().for_each(write_x);
        poll_and_panic(&mut reactor);
        assert_eq!(log.take(), ["a.read", "b.drop", "a.drop"]);
        assert_eq!(reactor.len(), 1);
        reactor.run().unwrap();
        assert_eq!(log.take(), [""; 0], "it was stopped");
        pass(&mut reactor);
        assert_eq!(log.take(), ["c.read x"]);
    }

    fn i08_a_reactor_bears_any_number_of_panics<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut peers = Vec::new();
        for (ours, mut theirs) in ascending_pairs::<20>() {
            write_x(&mut theirs);
            peers.push(theirs);
            let probe = Probe::new("a", &log).on("read", |_| burst());
            reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        }
        for left in (0..20).rev() {
            poll_and_panic(&mut reactor);
            assert_eq!(reactor.len(), left);
        }
        assert_eq!(log.take(), ["a.read", "a.drop"].repeat(20));
        // The numbers are free for others.
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("b", &log)).unwrap();
        write_x(&mut theirs);
        pass(&mut reactor);
        assert_eq!(log.take(), ["b.read x"]);
    }

    fn i08_a_panic_while_others_are_paused_changes_nothing_for_them<B>() {
        let [(ours_a, mut peer_a), (ours_b, mut peer_b)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("b", &log);
        let b = reactor.add_channel(Channel::new(ours_b).unwrap(), probe).unwrap();
        let probe = Probe::new("a", &log).on("read", move |cx| {
            cx.channel(b).unwrap().pause(Interest::READ);
            cx.channel(b).unwrap().push(b"for the peer")?;
            burst()
        });
        reactor.add_channel(Channel::new(ours_a).unwrap(), probe).unwrap();
        write_x(&mut peer_a);
        write_x(&mut peer_b);
        poll_and_panic(&mut reactor);
        assert_eq!(peer_b.read(&mut [0; 64]).unwrap(), 12);
        assert_quiet(&mut reactor);
        reactor.resume(b, Interest::READ);
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.read", "a.drop", "b.read x"]);
    }
}
