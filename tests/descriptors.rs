//! What depends on the numbers of descriptors: high ones (row B10), and those that were closed
//! behind the reactor's back (step 1 of the dispatch table, and EBADF in row B45).
//!
//! A number that is free belongs to whoever opens something next, so these tests have a process to
//! themselves and run one after the other.

mod common;

use asyncore::{Channel, Family, Interest, Key, Reactor, State, Type};
use common::{Log, Probe, assert_quiet, on_both_backends, poll_until, reactor, wait_for};
use nix::{
    errno::Errno,
    poll::PollFlags,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        socket::{MsgFlags, send},
    },
};
use std::{
    cell::OnceCell,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every free number below `least`, taken.
fn take_numbers_below(least: RawFd) -> Vec<OwnedFd> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // macOS says "unlimited" and refuses it.
    let enough = (least as u64 + 100).max(soft).min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, enough, hard).unwrap();
    let first: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let mut taken = vec![first];
    loop {
        let next = taken[0].try_clone().unwrap();
        if next.as_raw_fd() >= least {
            return taken;
        }
        taken.push(next);
    }
}

/// The same open file under a number from `least` on.
fn renumbered(least: RawFd, fd: impl Into<OwnedFd>) -> OwnedFd {
    let _taken = take_numbers_below(least);
    fd.into().try_clone().unwrap()
}

/// Runs with two starts of high numbers, unless the backend does not take them here.
fn on_high_numbers(takes: Option<RawFd>, test: impl Fn(RawFd)) {
    if takes.is_none() {
        [1024, 5001].into_iter().for_each(test);
    }
}

/// A channel with something to read whose number gets closed, and the number.
fn victim<B: asyncore::Backend>(
    reactor: &mut Reactor<B>,
    probe: Probe,
) -> (Key<Probe>, RawFd, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    let number = ours.as_raw_fd();
    let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
    (key, number, theirs)
}

fn close_behind_the_back(number: RawFd) {
    nix::unistd::close(number).unwrap();
}

const INVALID: [&str; 3] = ["a.error EBADF", "a.close EBADF", "a.drop"];

on_both_backends! {
    fn b10_a_high_number_gets_every_callback<B>() {
        let _alone = alone();
        on_high_numbers(B::FD_LIMIT, |least| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
            channel.connect(listener.local_addr().unwrap()).unwrap();
            let channel = Channel::new(renumbered(least, channel.into_fd().unwrap())).unwrap();
            assert!(channel.as_fd().as_raw_fd() >= least);
            let (mut peer, _) = listener.accept().unwrap();
            // Whether the kernel had connected it by then is not what is tested here.
            let connecting = channel.state() == State::Connecting;
            peer.write_all(b"ab").unwrap();
            send(peer.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
            wait_for(&channel, PollFlags::POLLPRI);
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let key = reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
            reactor.poll(None).unwrap();
            let mut expected = vec!["a.connect", "a.read ab", "a.write", "a.expt"];
            if !connecting {
                expected.remove(0);
            }
            assert_eq!(log.take(), expected);
            reactor.get_mut(key).unwrap().writable = false;
            assert_quiet(&mut reactor);
            drop(peer);
            reactor.run().unwrap();
            assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
        });
    }

    fn b10_a_high_listener_accepts_connections_with_high_numbers<B>() {
        let _alone = alone();
        on_high_numbers(B::FD_LIMIT, |least| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let channel = Channel::new(renumbered(least, listener)).unwrap();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log).on_accepted({
                let log = log.clone();
                move |cx, channel, _| {
                    assert!(channel.as_fd().as_raw_fd() > least);
                    cx.add_channel(channel, Probe::new("b", &log)).map(drop)
                }
            });
            reactor.add_channel(channel, probe).unwrap();
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"hello").unwrap();
            let taken = take_numbers_below(least + 1);
            poll_until(&mut reactor, || log.contains("b.read hello"));
            assert_eq!(log.take(), ["a.accepted", "b.read hello"]);
            drop(taken);
        });
    }

    fn b10_low_and_high_numbers_are_served_side_by_side_and_in_order<B>() {
        let _alone = alone();
        on_high_numbers(B::FD_LIMIT, |least| {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let (high, mut peer_of_high) = UnixStream::pair().unwrap();
            let high = Channel::new(renumbered(least, high)).unwrap();
            let high = reactor.add_channel(high, Probe::new("high", &log)).unwrap();
            let (low, mut peer_of_low) = UnixStream::pair().unwrap();
            reactor.add_channel(Channel::new(low).unwrap(), Probe::new("low", &log)).unwrap();
            assert_quiet(&mut reactor);
            peer_of_high.write_all(b"h").unwrap();
            peer_of_low.write_all(b"l").unwrap();
            assert_eq!(reactor.poll(None).unwrap(), 2);
            assert_eq!(log.take(), ["low.read l", "high.read h"]);
            // The rest is served as before once the high ones have gone.
            assert!(reactor.close_channel(high));
            peer_of_low.write_all(b"m").unwrap();
            assert_eq!(reactor.poll(None).unwrap(), 1);
            assert_eq!(log.take(), ["high.drop", "low.read m"]);
        });
    }

    fn b10_what_the_backend_does_not_take_is_a_clear_error_at_add<B>() {
        let _alone = alone();
        if let Some(limit) = B::FD_LIMIT {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            let channel = Channel::new(renumbered(limit, ours)).unwrap();
            let number = channel.as_fd().as_raw_fd();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let error = reactor.add_channel(channel, Probe::new("a", &log)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&number.to_string()), "{error}");
            assert!(reactor.is_empty());
            assert_quiet(&mut reactor);
        }
    }

    fn step_1_a_bad_descriptor_is_an_error_then_a_close_and_nothing_else<B>() {
        let _alone = alone();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let (key, number, _peer) = victim(&mut reactor, Probe::new("a", &log).writable(true));
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.read x", "a.write"]);
        close_behind_the_back(number);
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_eq!(log.take(), INVALID);
        assert!(reactor.is_empty() && reactor.get(key).is_none());
        assert_quiet(&mut reactor);
    }

    fn step_1_holds_for_one_that_was_bad_from_the_start<B>() {
        let _alone = alone();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let (_, number, _peer) = victim(&mut reactor, Probe::new("a", &log));
        close_behind_the_back(number);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), INVALID);
    }

    fn step_1_holds_while_connecting_and_listening<B>() {
        let _alone = alone();
        let listening = Channel::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let connecting = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        connecting.connect(listening.local_addr().unwrap()).unwrap();
        for channel in [connecting, listening] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let number = channel.as_fd().as_raw_fd();
            reactor.add_channel(channel, Probe::new("a", &log).keep_on_error()).unwrap();
            close_behind_the_back(number);
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), INVALID);
        }
    }

    fn step_1_is_final_whatever_handle_error_says<B>() {
        let _alone = alone();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let (_, number, _peer) = victim(&mut reactor, Probe::new("a", &log).keep_on_error());
        close_behind_the_back(number);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), INVALID);
        assert!(reactor.is_empty());
    }

    fn step_1_costs_nobody_else_anything<B>() {
        let _alone = alone();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let (_, _, _first) = victim(&mut reactor, Probe::new("first", &log));
        let (_, number, _a) = victim(&mut reactor, Probe::new("a", &log));
        let (_, other, _b) = victim(&mut reactor, Probe::new("b", &log));
        let (_, _, mut last) = victim(&mut reactor, Probe::new("last", &log));
        close_behind_the_back(number);
        close_behind_the_back(other);
        assert_eq!(reactor.poll(None).unwrap(), 4);
        assert_eq!(
            log.take(),
            [
                "first.read x",
                "a.error EBADF",
                "a.close EBADF",
                "a.drop",
                "b.error EBADF",
                "b.close EBADF",
                "b.drop",
                "last.read x",
            ]
        );
        assert_quiet(&mut reactor);
        last.write_all(b"y").unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["last.read y"]);
    }

    fn step_1_does_not_close_the_number_of_a_stranger<B>() {
        let _alone = alone();
        for event in ["error", "close"] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let (stranger, mut friend_of_stranger) = UnixStream::pair().unwrap();
            let claimed = Rc::new(OnceCell::new());
            let probe = Probe::new("a", &log).on(event, {
                let claimed = claimed.clone();
                move |_| {
                    claimed.set(stranger.try_clone()?).unwrap();
                    Ok(())
                }
            });
            let (_, number, _peer) = victim(&mut reactor, probe);
            close_behind_the_back(number);
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), INVALID);
            let mut claimed = claimed.get().unwrap();
            assert_eq!(claimed.as_raw_fd(), number, "the stranger has another number");
            claimed.write_all(b"alive").unwrap();
            assert_eq!(friend_of_stranger.read(&mut [0; 8]).unwrap(), 5);
        }
    }

    fn step_1_comes_when_a_paused_channel_is_resumed<B>() {
        let _alone = alone();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let (key, number, _peer) = victim(&mut reactor, Probe::new("a", &log));
        let (_, _, mut peer_of_other) = victim(&mut reactor, Probe::new("b", &log));
        reactor.pause(key, Interest::all());
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["b.read x"]);
        close_behind_the_back(number);
        assert_quiet(&mut reactor);
        peer_of_other.write_all(b"y").unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["b.read y"]);
        reactor.resume(key, Interest::all());
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), INVALID);
    }

    fn step_1_is_not_lost_when_another_callback_of_the_batch_panics<B>() {
        let _alone = alone();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("bad", &log).on("read", |_| panic!("this panic is part of the test"));
        let (_, _, _peer_of_bad) = victim(&mut reactor, probe);
        let (_, number, _peer) = victim(&mut reactor, Probe::new("a", &log));
        close_behind_the_back(number);
        catch_unwind(AssertUnwindSafe(|| reactor.poll(None))).unwrap_err();
        assert_eq!(log.take(), ["bad.read", "bad.drop"]);
        poll_until(&mut reactor, || log.contains("a.drop"));
        assert_eq!(log.take(), INVALID);
        assert!(reactor.is_empty());
    }

    fn b45_a_callback_that_meets_ebadf_fails_with_it<B>() {
        let _alone = alone();
        for kept in [false, true] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let mut probe = Probe::new("a", &log).on("read", |cx| {
                close_behind_the_back(cx.as_fd().as_raw_fd());
                cx.recv(&mut [0; 8]).map(drop)
            });
            if kept {
                probe = probe.keep_on_error();
            }
            let _victim = victim(&mut reactor, probe);
            reactor.run().unwrap();
            assert_eq!(log.take(), ["a.read", "a.error EBADF", "a.close EBADF", "a.drop"]);
        }
    }

    fn b45_a_swallowed_ebadf_does_not_leave_the_channel_on_the_number_of_a_stranger<B>() {
        let _alone = alone();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let (stranger, mut friend_of_stranger) = UnixStream::pair().unwrap();
        let claimed = Rc::new(OnceCell::new());
        let probe = Probe::new("a", &log).on("read", {
            let claimed = claimed.clone();
            move |cx| {
                if claimed.get().is_none() {
                    let number = cx.as_fd().as_raw_fd();
                    close_behind_the_back(number);
                    cx.recv(&mut [0; 8]).unwrap_err();
                    let claim = stranger.try_clone()?;
                    assert_eq!(claim.as_raw_fd(), number, "the stranger has another number");
                    claimed.set(claim).unwrap();
                }
                Ok(())
            }
        });
        let _victim = victim(&mut reactor, probe);
        reactor.poll(None).unwrap();
        friend_of_stranger.write_all(b"not for the reactor").unwrap();
        reactor.poll(Some(Duration::ZERO)).unwrap();
        assert_eq!(log.take(), ["a.read", "a.error EBADF", "a.close EBADF", "a.drop"]);
    }

    fn b45_ebadf_from_outside_of_a_callback_is_told_in_the_next_pass<B>() {
        let _alone = alone();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let (stranger, mut friend_of_stranger) = UnixStream::pair().unwrap();
        let (key, number, _peer) = victim(&mut reactor, Probe::new("a", &log).keep_on_error());
        close_behind_the_back(number);
        let error = reactor.channel(key).unwrap().recv(&mut [0; 8]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EBADF as i32));
        let claimed = stranger.try_clone().unwrap();
        assert_eq!(claimed.as_raw_fd(), number, "the stranger has another number");
        friend_of_stranger.write_all(b"not for the reactor").unwrap();
        reactor.poll(Some(Duration::ZERO)).unwrap();
        assert_eq!(log.take(), INVALID);
        assert!(reactor.is_empty());
    }

    fn b45_a_send_that_meets_ebadf_fails_with_it<B>() {
        let _alone = alone();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false).writable(true).on("write", |cx| {
            close_behind_the_back(cx.as_fd().as_raw_fd());
            let error = cx.send(b"x").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::EBADF as i32));
            // From now on it is known, and the number is left alone. The error is the same.
            let again = cx.send(b"x").unwrap_err();
            assert_eq!(again.raw_os_error(), error.raw_os_error());
            Err(again)
        });
        let _victim = victim(&mut reactor, probe);
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.write", "a.error EBADF", "a.close EBADF", "a.drop"]);
    }
}
