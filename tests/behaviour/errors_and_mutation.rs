//! Rows B62 to B73: what callbacks return, and what they do to other channels. Numbers that are
//! used again (B68, B69, B72) have a suite of their own, `lost_numbers`.

use crate::common::{
    HangGuard, Log, Probe, ascending_pairs, assert_quiet, on_both_backends, pass, poll_until,
    reactor, run_out,
};
use asyncore::{Backend, Channel, Interest, Key, Reactor, State};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, send},
};
use std::{
    cell::Cell,
    io::{self, ErrorKind, Read, Write},
    net::TcpListener,
    os::{fd::AsRawFd, unix::net::UnixStream},
    rc::Rc,
    thread,
};

/// `a` and `b`, both ready to read, `a` first; and their peers.
struct Two<B> {
    reactor: Reactor<B>,
    log: Log,
    a: Key<Probe>,
    b: Key<Probe>,
    peers: [UnixStream; 2],
}

/// `adjust` gets `a` and the key of `b`.
fn two<B: Backend + Default>(adjust: impl FnOnce(Probe, Key<Probe>) -> Probe) -> Two<B> {
    let [(ours_a, peer_a), (ours_b, peer_b)] = ascending_pairs();
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    let b = reactor.add_channel(Channel::new(ours_b).unwrap(), Probe::new("b", &log)).unwrap();
    let a = adjust(Probe::new("a", &log), b);
    let a = reactor.add_channel(Channel::new(ours_a).unwrap(), a).unwrap();
    let mut peers = [peer_a, peer_b];
    for peer in &mut peers {
        peer.write_all(b"x").unwrap();
    }
    Two { reactor, log, a, b, peers }
}

fn fail(errno: Errno) -> io::Result<()> {
    Err(errno.into())
}

on_both_backends! {
    fn b62_a_stop_ends_run_after_the_pass_and_leaves_the_map_intact<B>() {
        let _guard = HangGuard::new();
        let mut two = two::<B>(|a, _| {
            a.on("read", |cx| {
                cx.recv(&mut [0; 8])?;
                cx.stop();
                Ok(())
            })
        });
        two.reactor.run().unwrap();
        assert_eq!(two.log.take(), ["a.read", "b.read x"]);
        assert_eq!(two.reactor.len(), 2);
        // A stop is used up by the run that it ended.
        two.peers[0].write_all(b"y").unwrap();
        two.reactor.run().unwrap();
        assert_eq!(two.log.take(), ["a.read"]);
        drop(two.peers);
        two.reactor.close_channel(two.a);
        run_out(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.drop", "b.eof", "b.close", "b.drop"]);
    }

    fn b62_a_stop_before_run_ends_it_at_once<B>() {
        let _guard = HangGuard::new();
        let mut two = two::<B>(|a, _| a);
        two.reactor.stop();
        two.reactor.run().unwrap();
        assert_eq!(two.log.take(), [""; 0]);
        two.reactor.remote().unwrap().stop().unwrap();
        two.reactor.run().unwrap();
        assert_eq!(two.log.take(), ["a.read x", "b.read x"]);
    }

    fn b63_an_error_is_handled_by_its_channel_and_the_others_are_served<B>() {
        let mut two = two::<B>(|a, _| a.on("read", |_| fail(Errno::EPERM)));
        assert_eq!(pass(&mut two.reactor), 2);
        let expected = ["a.read", "a.error EPERM", "a.close EPERM", "a.drop", "b.read x"];
        assert_eq!(two.log.take(), expected);
        assert_eq!(two.reactor.len(), 1);
        // The descriptor is closed. What it had not read makes that a reset.
        assert_ne!(two.peers[0].read(&mut [0]).unwrap_or(0), 1);
    }

    fn b63_an_error_without_an_errno_is_handled_alike<B>() {
        let mut two = two::<B>(|a, _| a.on("read", |_| Err(io::Error::other("no good"))));
        pass(&mut two.reactor);
        let expected = ["a.read", "a.error no good", "a.close no good", "a.drop", "b.read x"];
        assert_eq!(two.log.take(), expected);
    }

    fn b63_an_error_in_handle_write_ends_the_table<B>() {
        let mut two = two::<B>(|a, _| {
            a.readable(false).writable(true).on("write", |_| fail(Errno::EPERM))
        });
        // Out-of-band data is there, too, where Unix sockets have it.
        let _ = send(two.peers[0].as_raw_fd(), b"!", MsgFlags::MSG_OOB);
        pass(&mut two.reactor);
        let expected = ["a.write", "a.error EPERM", "a.close EPERM", "a.drop", "b.read x"];
        assert_eq!(two.log.take(), expected);
    }

    fn b63_an_error_in_handle_connect_is_the_last_of_the_channel<B>() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = Channel::create_socket(asyncore::Family::Inet, asyncore::Type::Stream);
        let channel = channel.unwrap();
        channel.connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap().0.write_all(b"hello").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("connect", |_| fail(Errno::EPERM));
        reactor.add_channel(channel, probe).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.connect", "a.error EPERM", "a.close EPERM", "a.drop"]);
    }

    fn b63_an_error_that_is_dealt_with_keeps_the_channel<B>() {
        let mut two = two::<B>(|a, _| {
            a.keep_on_error().on("read", |cx| {
                cx.recv(&mut [0; 1])?;
                fail(Errno::EPERM)
            })
        });
        two.peers[0].write_all(b"y").unwrap();
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read", "a.error EPERM", "b.read x"]);
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read", "a.error EPERM"]);
        assert_eq!(two.reactor.len(), 2);
    }

    fn b63_would_block_and_interrupted_are_no_errors<B>() {
        for kind in [ErrorKind::WouldBlock, ErrorKind::Interrupted] {
            let mut two = two::<B>(|a, _| {
                a.on("read", move |cx| {
                    cx.recv(&mut [0; 1])?;
                    Err(kind.into())
                })
            });
            pass(&mut two.reactor);
            assert_eq!(two.log.take(), ["a.read", "b.read x"]);
            assert_quiet(&mut two.reactor);
        }
        let mut two = two::<B>(|a, _| {
            a.on("read", |cx| loop {
                cx.recv(&mut [0; 8])?;
            })
        });
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read", "b.read x"]);
        assert_quiet(&mut two.reactor);
    }

    fn b63_handle_error_may_close_in_its_own_way<B>() {
        let mut two = two::<B>(|a, _| {
            a.keep_on_error().on("read", |_| fail(Errno::EPERM)).on("error", |cx| {
                cx.close();
                Ok(())
            })
        });
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read", "a.error EPERM", "a.drop", "b.read x"]);
    }

    fn b64_an_error_of_user_code_is_not_taken_for_the_connections<B>() {
        for errno in [
            Errno::ECONNRESET,
            Errno::ENOTCONN,
            Errno::ESHUTDOWN,
            Errno::ECONNABORTED,
            Errno::EPIPE,
            Errno::ETIMEDOUT,
            Errno::EBADF,
            Errno::EMFILE,
        ] {
            let mut two = two::<B>(move |a, _| {
                a.on("read", move |cx| {
                    cx.recv(&mut [0; 8])?;
                    fail(errno)
                })
            });
            pass(&mut two.reactor);
            let error = format!("a.error {errno:?}");
            let close = format!("a.close {errno:?}");
            assert_eq!(two.log.take(), ["a.read", &error, &close, "a.drop", "b.read x"]);
            // Its descriptor is closed, be the error what it may.
            assert_eq!(two.peers[0].read(&mut [0]).unwrap(), 0);
        }
    }

    fn b64_an_error_of_user_code_may_be_dealt_with<B>() {
        let mut two = two::<B>(|a, _| {
            a.keep_on_error().on("read", |cx| {
                cx.recv(&mut [0; 8])?;
                fail(Errno::EPIPE)
            })
        });
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read", "a.error EPIPE", "b.read x"]);
        assert_quiet(&mut two.reactor);
        two.peers[0].write_all(b"y").unwrap();
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read", "a.error EPIPE"]);
    }

    fn b65_an_error_in_handle_error_is_the_cause<B>() {
        let mut two = two::<B>(|a, _| {
            a.on("read", |_| fail(Errno::EPERM)).on("error", |_| fail(Errno::EIO))
        });
        pass(&mut two.reactor);
        let expected = ["a.read", "a.error EPERM", "a.close EIO", "a.drop", "b.read x"];
        assert_eq!(two.log.take(), expected);
        assert_eq!(two.reactor.len(), 1);
    }

    fn b65_an_error_in_handle_close_changes_nothing<B>() {
        let mut two = two::<B>(|a, _| {
            a.on("read", |cx| {
                cx.recv(&mut [0; 8])?;
                fail(Errno::EPERM)
            })
            .on("close", |_| fail(Errno::EIO))
        });
        assert_eq!(pass(&mut two.reactor), 2);
        let expected = ["a.read", "a.error EPERM", "a.close EPERM", "a.drop", "b.read x"];
        assert_eq!(two.log.take(), expected);
        assert_eq!(two.reactor.len(), 1);
        assert_eq!(two.peers[0].read(&mut [0]).unwrap(), 0);
    }

    fn b65_errors_in_both_of_a_failed_connect_leave_nothing_behind<B>() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let channel = Channel::create_socket(asyncore::Family::Inet, asyncore::Type::Stream);
        let channel = channel.unwrap();
        channel.connect(closed).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log)
            .on("error", |_| fail(Errno::EIO))
            .on("close", |_| fail(Errno::EPERM));
        reactor.add_channel(channel, probe).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.error ECONNREFUSED", "a.close EIO", "a.drop"]);
    }

    fn b66_a_channel_that_another_closes_is_not_called<B>() {
        let mut two = two::<B>(|a, b| {
            a.on("read", move |cx| {
                cx.recv(&mut [0; 8])?;
                assert!(cx.close_channel(b));
                assert!(!cx.close_channel(b));
                assert!(cx.channel(b).is_none());
                assert!(cx.get(b).is_none() && cx.get_mut(b).is_none() && !cx.touch(b));
                Ok(())
            })
        });
        assert_eq!(pass(&mut two.reactor), 1);
        // At once, with its descriptor, while the callback runs.
        assert_eq!(two.log.take(), ["a.read", "b.drop"]);
        assert_ne!(two.peers[1].read(&mut [0]).unwrap_or(0), 1);
        assert_eq!(two.reactor.len(), 1);
    }

    fn b66_a_channel_that_another_closes_through_itself_is_not_called<B>() {
        let mut two = two::<B>(|a, b| {
            a.on("read", move |cx| {
                cx.recv(&mut [0; 8])?;
                cx.channel(b).unwrap().close();
                Ok(())
            })
        });
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read", "b.drop"]);
        assert_eq!(two.reactor.len(), 1);
    }

    fn b66_a_channel_that_another_takes_out_is_not_called_and_stays_open<B>() {
        let taken = Rc::new(Cell::new(None));
        let kept = Rc::clone(&taken);
        let mut two = two::<B>(|a, b| {
            a.on("read", move |cx| {
                cx.recv(&mut [0; 8])?;
                kept.set(cx.del_channel(b));
                Ok(())
            })
        });
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read"]);
        let (channel, dispatcher) = taken.take().unwrap();
        assert_eq!(channel.state(), State::Connected);
        two.reactor.add_channel(channel, dispatcher).unwrap();
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["b.read x"]);
    }

    fn b66_a_channel_that_another_pauses_is_not_called_until_it_is_resumed<B>() {
        let mut two = two::<B>(|a, b| {
            a.on("read", move |cx| {
                cx.recv(&mut [0; 8])?;
                cx.channel(b).unwrap().pause(Interest::READ);
                Ok(())
            })
        });
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read"]);
        assert_quiet(&mut two.reactor);
        two.reactor.resume(two.b, Interest::READ);
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["b.read x"]);
    }

    fn b66_a_channel_that_does_not_want_it_any_more_is_not_called<B>() {
        let mut two = two::<B>(|a, b| {
            a.on("read", move |cx| {
                cx.recv(&mut [0; 8])?;
                cx.get_mut(b).unwrap().readable = false;
                Ok(())
            })
        });
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read"]);
        assert_quiet(&mut two.reactor);
    }

    fn b66_a_channel_that_closes_itself_gets_nothing_more<B>() {
        let mut two = two::<B>(|a, _| {
            a.writable(true).on("read", |cx| {
                let key = cx.key();
                assert!(cx.close_channel(key));
                cx.close();
                Ok(())
            })
        });
        pass(&mut two.reactor);
        assert_eq!(two.log.take(), ["a.read", "a.drop", "b.read x"]);
    }

    fn b66_a_channel_that_was_served_may_be_closed_by_the_next<B>() {
        let [(ours_a, mut peer_a), (ours_b, mut peer_b)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log);
        let a = reactor.add_channel(Channel::new(ours_a).unwrap(), probe).unwrap();
        let probe = Probe::new("b", &log).on("read", move |cx| {
            assert!(cx.close_channel(a));
            cx.recv(&mut [0; 8]).map(drop)
        });
        reactor.add_channel(Channel::new(ours_b).unwrap(), probe).unwrap();
        peer_a.write_all(b"x").unwrap();
        peer_b.write_all(b"x").unwrap();
        assert_eq!(pass(&mut reactor), 2);
        assert_eq!(log.take(), ["a.read x", "b.read", "a.drop"]);
    }

    fn b67_who_is_added_in_the_batch_is_served_in_the_next_pass<B>() {
        let log = Log::default();
        let children = log.clone();
        // Lower and higher numbers than those that are served.
        let mut added = Vec::from(ascending_pairs::<8>());
        for (_, peer) in &mut added {
            peer.write_all(b"x").unwrap();
        }
        let (added, _peers): (Vec<_>, Vec<_>) = added.into_iter().unzip();
        let mut added = Some(added);
        let mut two = two::<B>(|a, _| {
            a.on("read", move |cx| {
                cx.recv(&mut [0; 8])?;
                for channel in added.take().into_iter().flatten() {
                    cx.add_channel(Channel::new(channel)?, Probe::new("c", &children))?;
                }
                Ok(())
            })
        });
        assert_eq!(pass(&mut two.reactor), 2);
        assert_eq!(two.reactor.len(), 10);
        assert_eq!(two.log.take(), ["a.read", "b.read x"]);
        assert_eq!(log.take(), [""; 0]);
        assert_eq!(pass(&mut two.reactor), 8);
        assert_eq!(log.take(), ["c.read x"; 8]);
    }

    fn b73_a_remote_handle_ends_a_wait_without_end<B>() {
        let _guard = HangGuard::new();
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        let waker = thread::spawn(move || {
            for _ in 0..100 {
                remote.wake().unwrap();
            }
        });
        // Whenever it comes: before, during or after the wait.
        assert_eq!(reactor.poll(None).unwrap(), 0);
        waker.join().unwrap();
        reactor.poll(Some(std::time::Duration::ZERO)).unwrap();
        assert_quiet(&mut reactor);
    }

    fn b73_a_change_from_another_thread_is_noticed_when_that_thread_wakes<B>() {
        let _guard = HangGuard::new();
        use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
        struct Gate(Arc<AtomicBool>, Log);
        impl asyncore::Dispatcher for Gate {
            fn readable(&self, _: &Channel) -> bool {
                self.0.load(Ordering::SeqCst)
            }
            fn writable(&self, _: &Channel) -> bool {
                false
            }
            fn handle_read(&mut self, cx: &mut asyncore::Context<'_>) -> io::Result<()> {
                self.1.push("read");
                cx.recv(&mut [0; 8]).map(drop)
            }
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (log, open) = (Log::default(), Arc::new(AtomicBool::new(false)));
        let builder = Reactor::builder().backend(B::default()).ask_every_pass(true);
        let mut reactor = builder.build();
        let remote = reactor.remote().unwrap();
        let gate = Gate(Arc::clone(&open), log.clone());
        reactor.add_channel(Channel::new(ours).unwrap(), gate).unwrap();
        assert_quiet(&mut reactor);
        let other = thread::spawn(move || {
            open.store(true, Ordering::SeqCst);
            remote.wake().unwrap();
        });
        while !log.contains("read") {
            reactor.poll(None).unwrap();
        }
        other.join().unwrap();
    }

    fn b73_a_remote_stop_ends_run<B>() {
        let _guard = HangGuard::new();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        let remote = reactor.remote().unwrap();
        let other = thread::spawn({
            let remote = remote.clone();
            move || remote.stop().unwrap()
        });
        reactor.run().unwrap();
        other.join().unwrap();
        assert_eq!(reactor.len(), 1);
        assert_eq!(log.take(), [""; 0]);
        drop(reactor);
        assert_eq!(remote.wake().unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(remote.stop().unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    fn b73_a_remote_handle_is_not_a_channel<B>() {
        let _guard = HangGuard::new();
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        assert!(reactor.is_empty());
        reactor.run().unwrap();
        // However many wakes nobody hears, none blocks.
        for _ in 0..100_000 {
            remote.wake().unwrap();
        }
        poll_until(&mut reactor, || true);
        while reactor.poll(Some(std::time::Duration::ZERO)).unwrap() > 0 {}
        assert_quiet(&mut reactor);
        reactor.close_all().unwrap();
        remote.wake().unwrap();
        assert_eq!(reactor.poll(None).unwrap(), 0);
    }
}
