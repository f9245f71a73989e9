//! Numbers that are used again, and numbers that were closed behind the reactor's back: invariants
//! I2, I3 and I9, rows B68, B69, B72 and the error of B78.
//!
//! The numbers are the process's, so each test has one of its own.

mod common;

use asyncore::{Backend, Channel, Family, FileWrapper, Interest, Key, Reactor, State, Type};
use common::{
    Log, Probe, alone, assert_quiet, at_number, close_behind_its_back, on_both_backends, pass,
    poll_until, reactor, read_available, run_out,
};
use std::{
    cell::RefCell,
    fs::File,
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// Says that reading was called, and reads.
fn reader(name: &'static str, log: &Log) -> Probe {
    Probe::new(name, log).on("read", |cx| cx.recv(&mut [0; 64]).map(drop))
}

/// Three channels, `a`, `b` and `c`, in this order, and what it takes to lose `b`.
struct Three<B> {
    reactor: Reactor<B>,
    log: Log,
    keys: [Key<Probe>; 3],
    /// The number of `b`.
    number: RawFd,
    peers: [UnixStream; 3],
}

/// `adjust` gets `a`, the key of `b` and its number.
fn three<B: Backend + Default>(
    adjust: impl FnOnce(Probe, Key<Probe>, RawFd) -> Probe,
    b: impl FnOnce(Probe) -> Probe,
) -> Three<B> {
    let [(ours_a, a_peer), (ours_b, b_peer), (ours_c, c_peer)] = common::ascending_pairs();
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    let number = ours_b.as_raw_fd();
    let b = b(reader("b", &log));
    let b = reactor.add_channel(Channel::new(ours_b).unwrap(), b).unwrap();
    let a = adjust(reader("a", &log), b, number);
    let a = reactor.add_channel(Channel::new(ours_a).unwrap(), a).unwrap();
    let c = reactor.add_channel(Channel::new(ours_c).unwrap(), reader("c", &log)).unwrap();
    Three { reactor, log, keys: [a, b, c], number, peers: [a_peer, b_peer, c_peer] }
}

impl<B: Backend> Three<B> {
    fn make_ready(&mut self, which: &[usize]) {
        for index in which {
            self.peers[*index].write_all(b"x").unwrap();
        }
    }
}

const LOST: [&str; 3] = ["b.error EBADF", "b.close EBADF", "b.drop"];

fn entries(parts: &[&[&str]]) -> Vec<String> {
    parts.concat().into_iter().map(String::from).collect()
}

on_both_backends! {
    fn i09_a_channel_that_found_its_number_closed_gives_it_to_nobody<B>() {
        if !alone() {
            return;
        }
        for add_again in [true, false] {
            let ((ours, _peer), (other, _other_peer)) = (pair(), pair());
            let number = ours.as_raw_fd();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log);
            let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            close_behind_its_back(number);
            let error = reactor.channel(key).unwrap().recv(&mut [0]).unwrap_err();
            assert_eq!(common::name_of(&error), "EBADF");
            let (channel, probe) = reactor.del_channel(key).unwrap();
            let stranger = at_number(&other, number);
            let error = if add_again {
                reactor.add_channel(channel, probe).unwrap_err()
            } else {
                channel.into_fd().unwrap_err()
            };
            assert_eq!(common::name_of(&error), "EBADF");
            assert!(reactor.is_empty());
            nix::fcntl::fcntl(&stranger, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        }
    }

    fn i02_the_key_of_a_channel_that_is_gone_finds_nothing<B>() {
        if !alone() {
            return;
        }
        let ((first, _first_peer), (second, mut second_peer)) = (pair(), pair());
        let number = first.as_raw_fd();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let stale =
            reactor.add_channel(Channel::new(first).unwrap(), Probe::new("a", &log)).unwrap();
        assert!(reactor.close_channel(stale));
        let second = Channel::new(at_number(&second, number)).unwrap();
        let fresh = reactor.add_channel(second, Probe::new("b", &log)).unwrap();
        assert_eq!(log.take(), ["a.drop"]);
        assert_ne!(stale, fresh);
        assert_ne!(format!("{stale:?}"), format!("{fresh:?}"));

        assert!(reactor.get(stale).is_none());
        assert!(reactor.get_mut(stale).is_none());
        assert!(reactor.channel(stale).is_none());
        assert!(reactor.del_channel(stale).is_none());
        assert!(!reactor.touch(stale));
        assert!(!reactor.pause(stale, Interest::all()));
        assert!(!reactor.resume(stale, Interest::all()));
        assert!(!reactor.close_channel(stale));
        assert!(!reactor.close_channel(stale.untyped()));

        assert!(reactor.get(fresh).is_some());
        second_peer.write_all(b"x").unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["b.read x"]);
        assert_eq!(reactor.len(), 1);
    }

    fn b69_a_stale_close_spares_the_stranger_with_the_same_number<B>() {
        if !alone() {
            return;
        }
        let (stranger, mut stranger_peer) = pair();
        let added = Rc::new(RefCell::new(None));
        let (kept, log) = (Rc::clone(&added), Log::default());
        let children = log.clone();
        let mut three = three::<B>(
            |a, b, number| {
                a.on("read", move |cx| {
                    cx.recv(&mut [0; 64])?;
                    assert!(cx.close_channel(b));
                    let channel = Channel::new(at_number(&stranger, number))?;
                    let key = cx.add_channel(channel, Probe::new("d", &children))?;
                    // Everything about `b` is in vain now, in the callback as well.
                    assert!(!cx.close_channel(b) && !cx.touch(b));
                    assert!(cx.get(b).is_none() && cx.get_mut(b).is_none());
                    assert!(cx.channel(b).is_none() && cx.del_channel(b).is_none());
                    kept.replace(Some(key));
                    Ok(())
                })
            },
            |b| b,
        );
        three.make_ready(&[0]);
        pass(&mut three.reactor);
        assert!(!three.reactor.close_channel(three.keys[1]));
        stranger_peer.write_all(b"x").unwrap();
        poll_until(&mut three.reactor, || log.contains("d.read x"));
        assert!(three.reactor.close_channel(added.take().unwrap()));
    }

    /// asyncore gives the old event to the new channel.
    fn b68_an_event_of_the_old_channel_is_not_the_new_ones<B>() {
        if !alone() {
            return;
        }
        for ready in [false, true] {
            let (fresh, mut fresh_peer) = pair();
            if ready {
                fresh_peer.write_all(b"x").unwrap();
            }
            let log = Log::default();
            let children = log.clone();
            let mut three = three::<B>(
                |a, b, number| {
                    a.on("read", move |cx| {
                        cx.recv(&mut [0; 64])?;
                        cx.close_channel(b);
                        let channel = Channel::new(at_number(&fresh, number))?;
                        cx.add_channel(channel, reader("d", &children)).map(drop)
                    })
                },
                |b| b,
            );
            three.make_ready(&[0, 1, 2]);
            assert_eq!(pass(&mut three.reactor), 2);
            assert_eq!(three.log.take(), ["a.read", "b.drop", "c.read"]);
            assert_eq!(log.take(), [""; 0]);
            if ready {
                assert_eq!(pass(&mut three.reactor), 1);
                assert_eq!(log.take(), ["d.read"]);
            }
            assert_quiet(&mut three.reactor);
        }
    }

    fn i03_not_even_what_both_of_them_want_is_delivered<B>() {
        if !alone() {
            return;
        }
        let (fresh, _fresh_peer) = pair();
        let log = Log::default();
        let children = log.clone();
        let mut three = three::<B>(
            |a, b, number| {
                a.on("read", move |cx| {
                    cx.recv(&mut [0; 64])?;
                    cx.close_channel(b);
                    let channel = Channel::new(at_number(&fresh, number))?;
                    let probe = Probe::new("d", &children).writable(true);
                    cx.add_channel(channel, probe.on("write", |cx| {
                        cx.pause(Interest::WRITE);
                        Ok(())
                    }))
                    .map(drop)
                })
            },
            |b| b.writable(true),
        );
        three.make_ready(&[0, 1]);
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), ["a.read", "b.drop"]);
        assert_eq!(log.take(), [""; 0]);
        pass(&mut three.reactor);
        assert_eq!(log.take(), ["d.write"]);
        assert_quiet(&mut three.reactor);
    }

    fn i03_nor_is_it_when_the_number_changes_hands_twice<B>() {
        if !alone() {
            return;
        }
        let (fresh, _fresh_peer) = pair();
        let log = Log::default();
        let children = log.clone();
        let mut three = three::<B>(
            |a, b, number| {
                a.on("read", move |cx| {
                    cx.recv(&mut [0; 64])?;
                    cx.close_channel(b);
                    let channel = Channel::new(at_number(&fresh, number))?;
                    let between = cx.add_channel(channel, reader("d", &children))?;
                    cx.close_channel(between);
                    let channel = Channel::new(at_number(&fresh, number))?;
                    cx.add_channel(channel, reader("e", &children)).map(drop)
                })
            },
            |b| b,
        );
        three.make_ready(&[0, 1]);
        pass(&mut three.reactor);
        assert_quiet(&mut three.reactor);
        assert_eq!(log.take(), ["d.drop"]);
        assert_eq!(three.reactor.len(), 3);
    }

    /// A channel that is taken out and comes back is a new one.
    fn i03_who_left_and_came_back_is_served_in_the_next_pass<B>() {
        if !alone() {
            return;
        }
        let mut three = three::<B>(
            |a, b, _| {
                a.on("read", move |cx| {
                    cx.recv(&mut [0; 64])?;
                    let (channel, dispatcher) = cx.del_channel(b).unwrap();
                    cx.add_channel(channel, dispatcher).map(drop)
                })
            },
            |b| b,
        );
        three.make_ready(&[0, 1]);
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), ["a.read"]);
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), ["b.read"]);
    }

    /// What ends without an event is told at the start of the batch, which is in it already.
    fn i03_who_joins_in_a_handle_close_is_served_in_the_next_pass<B>() {
        if !alone() {
            return;
        }
        let (fresh, mut fresh_peer) = pair();
        fresh_peer.write_all(b"x").unwrap();
        let log = Log::default();
        let children = log.clone();
        let mut three = three::<B>(
            |a, b, number| {
                a.on("close", move |cx| {
                    cx.close_channel(b);
                    let channel = Channel::new(at_number(&fresh, number))?;
                    cx.add_channel(channel, reader("d", &children)).map(drop)
                })
            },
            |b| b,
        );
        three.make_ready(&[1, 2]);
        let a = three.keys[0];
        three.reactor.channel(a).unwrap().close_when_sent();
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), ["a.close", "b.drop", "a.drop", "c.read"]);
        assert_eq!(log.take(), [""; 0]);
        pass(&mut three.reactor);
        assert_eq!(log.take(), ["d.read"]);
    }

    fn b72_a_bad_descriptor_costs_its_channel_alone<B>() {
        if !alone() {
            return;
        }
        let mut three = three::<B>(|a, _, _| a, |b| b);
        three.make_ready(&[0, 2]);
        close_behind_its_back(three.number);
        assert_eq!(pass(&mut three.reactor), 3);
        assert_eq!(three.log.take(), entries(&[&["a.read"], &LOST, &["c.read"]]));
        assert_eq!(three.reactor.len(), 2);
        assert!(!three.reactor.close_channel(three.keys[1]));
        assert_quiet(&mut three.reactor);
        three.make_ready(&[0, 2]);
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), ["a.read", "c.read"]);
    }

    fn b72_a_bad_descriptor_is_found_without_anything_else_to_do<B>() {
        if !alone() {
            return;
        }
        let (ours, _theirs) = pair();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        close_behind_its_back({
            let number = ours.as_raw_fd();
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("b", &log)).unwrap();
            number
        });
        run_out(&mut reactor);
        assert_eq!(log.take(), LOST);
    }

    fn b72_all_bad_descriptors_are_found_at_once<B>() {
        if !alone() {
            return;
        }
        let pairs = common::ascending_pairs::<5>();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut numbers = Vec::new();
        let mut peers = Vec::new();
        for (ours, theirs) in pairs {
            numbers.push(ours.as_raw_fd());
            peers.push(theirs);
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("b", &log)).unwrap();
        }
        numbers.into_iter().for_each(close_behind_its_back);
        assert_eq!(pass(&mut reactor), 5);
        assert_eq!(log.take(), LOST.repeat(5));
    }

    /// Between the detection and the end of the channel, a stranger gets its number.
    fn b72_the_number_is_not_closed_again<B>() {
        if !alone() {
            return;
        }
        let (stranger, mut stranger_peer) = pair();
        let held = Rc::new(RefCell::new(None));
        let holder = Rc::clone(&held);
        let (ours, _theirs) = pair();
        let number = ours.as_raw_fd();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("b", &log).on("error", move |_| {
            holder.replace(Some(at_number(&stranger, number)));
            Ok(())
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        close_behind_its_back(number);
        run_out(&mut reactor);
        assert_eq!(log.take(), LOST);
        let mut stranger = UnixStream::from(held.take().unwrap());
        stranger_peer.write_all(b"alive").unwrap();
        let mut bytes = [0; 5];
        stranger.read_exact(&mut bytes).unwrap();
    }

    fn b72_a_bad_descriptor_is_fatal_whatever_handle_error_says<B>() {
        if !alone() {
            return;
        }
        let mut three = three::<B>(|a, _, _| a, |b| b.keep_on_error());
        close_behind_its_back(three.number);
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), LOST);
    }

    fn b72_io_on_a_bad_descriptor_is_refused_in_the_last_callbacks<B>() {
        if !alone() {
            return;
        }
        let mut three = three::<B>(
            |a, _, _| a,
            |b| {
                let check = |cx: &mut asyncore::Context<'_>| {
                    // Whatever of these the callback passes on, it names the loss.
                    let refused = [cx.recv(&mut [0; 8]).unwrap_err(), cx.push(b"x").unwrap_err()];
                    assert_eq!(refused.map(|error| common::name_of(&error)), ["EBADF"; 2]);
                    Ok(())
                };
                b.on("error", check).on("close", check)
            },
        );
        close_behind_its_back(three.number);
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), LOST);
    }

    fn i09_a_bad_listener_and_a_bad_connect_are_told_alike<B>() {
        if !alone() {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connecting = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        connecting.connect(listener.local_addr().unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        for channel in [connecting, Channel::new(listener).unwrap()] {
            let number = channel.as_fd().as_raw_fd();
            reactor.add_channel(channel, Probe::new("b", &log)).unwrap();
            close_behind_its_back(number);
            run_out(&mut reactor);
            assert_eq!(log.take(), LOST);
        }
    }

    fn i09_a_bad_descriptor_with_a_queue_is_told_alike<B>() {
        if !alone() {
            return;
        }
        let mut three = three::<B>(|a, _, _| a, |b| b.readable(false));
        let b = three.keys[1];
        three.reactor.channel(b).unwrap().push(&vec![0; 4 << 20]).unwrap();
        close_behind_its_back(three.number);
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), LOST);
    }

    /// It is not watched, so it is not found until it is.
    fn i09_a_bad_descriptor_that_wants_nothing_is_found_when_it_wants_something<B>() {
        if !alone() {
            return;
        }
        let mut three = three::<B>(|a, _, _| a, |b| b.readable(false));
        close_behind_its_back(three.number);
        assert_quiet(&mut three.reactor);
        let b = three.keys[1];
        three.reactor.get_mut(b).unwrap().readable = true;
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), LOST);
    }

    /// Of two bad descriptors, one that is not watched is not told because the other one is.
    fn i09_a_bad_descriptor_that_wants_nothing_is_not_found_with_others<B>() {
        if !alone() {
            return;
        }
        let mut three = three::<B>(|a, _, _| a, |b| b.readable(false));
        let (a, number) = (three.keys[0], three.number);
        let a = three.reactor.channel(a).unwrap().as_fd().as_raw_fd();
        close_behind_its_back(number);
        close_behind_its_back(a);
        pass(&mut three.reactor);
        assert_eq!(three.log.take(), ["a.error EBADF", "a.close EBADF", "a.drop"]);
    }

    fn i09_a_number_that_is_added_again_before_the_loss_is_found<B>() {
        if !alone() {
            return;
        }
        let (fresh, mut fresh_peer) = pair();
        fresh_peer.write_all(b"x").unwrap();
        let mut three = three::<B>(|a, _, _| a, |b| b);
        close_behind_its_back(three.number);
        let channel = Channel::new(at_number(&fresh, three.number)).unwrap();
        drop(fresh);
        let key = three.reactor.add_channel(channel, reader("d", &three.log)).unwrap();
        assert_eq!(three.log.take(), [""; 0]);
        assert_eq!(three.reactor.len(), 4);
        assert!(three.reactor.get(three.keys[1]).is_none());
        // The wait does not last: there is news.
        assert_eq!(pass(&mut three.reactor), 2);
        assert_eq!(three.log.take(), entries(&[&LOST, &["d.read"]]));
        assert_eq!(three.reactor.len(), 3);
        assert_quiet(&mut three.reactor);
        assert!(three.reactor.get(key).is_some());
        three.reactor.close_channel(key);
        assert_eq!(fresh_peer.read(&mut [0]).unwrap(), 0);
    }

    fn i09_a_number_that_is_added_again_in_the_batch_is_told_in_the_next<B>() {
        if !alone() {
            return;
        }
        for ready in [&[0][..], &[0, 1, 2]] {
            let (fresh, mut fresh_peer) = pair();
            let log = Log::default();
            let children = log.clone();
            let mut three = three::<B>(
                |a, _, number| {
                    a.on("read", move |cx| {
                        cx.recv(&mut [0; 64])?;
                        close_behind_its_back(number);
                        let channel = Channel::new(at_number(&fresh, number))?;
                        cx.add_channel(channel, reader("d", &children)).map(drop)
                    })
                },
                |b| b,
            );
            three.make_ready(ready);
            pass(&mut three.reactor);
            let others: &[&str] = if ready.len() > 1 { &["c.read"] } else { &[] };
            assert_eq!(three.log.take(), entries(&[&["a.read"], others]));
            assert_eq!(three.reactor.len(), 4);
            assert_eq!(pass(&mut three.reactor), 1);
            assert_eq!(three.log.take(), LOST);
            assert_eq!(log.take(), [""; 0]);
            fresh_peer.write_all(b"x").unwrap();
            pass(&mut three.reactor);
            assert_eq!(log.take(), ["d.read"]);
        }
    }

    fn i09_who_lost_one_number_first_is_told_first<B>() {
        if !alone() {
            return;
        }
        let mut three = three::<B>(|a, _, _| a, |b| b);
        let mut peers = Vec::new();
        // The last to be added keeps it. Of those before, `b` was the first.
        for name in ["d", "e", "f"] {
            let (fresh, peer) = pair();
            peers.push(peer);
            close_behind_its_back(three.number);
            let channel = Channel::new(at_number(&fresh, three.number)).unwrap();
            three.reactor.add_channel(channel, reader(name, &three.log)).unwrap();
        }
        assert_eq!(pass(&mut three.reactor), 3);
        let lost = |name| LOST.map(|entry| entry.replacen('b', name, 1));
        assert_eq!(three.log.take(), [lost("b"), lost("d"), lost("e")].concat());
    }

    fn i09_who_is_closed_behind_its_back_in_the_batch_finds_out_by_itself<B>() {
        if !alone() {
            return;
        }
        for keep in [false, true] {
            let mut three = three::<B>(
                |a, _, number| {
                    a.on("read", move |cx| {
                        cx.recv(&mut [0; 64])?;
                        close_behind_its_back(number);
                        Ok(())
                    })
                },
                |b| if keep { b.keep_on_error() } else { b },
            );
            three.make_ready(&[0, 1, 2]);
            assert_eq!(pass(&mut three.reactor), 3);
            let expected = entries(&[&["a.read", "b.read"], &LOST, &["c.read"]]);
            assert_eq!(three.log.take(), expected);
            assert_quiet(&mut three.reactor);
        }
    }

    fn i09_who_loses_its_own_number_while_it_runs_is_told_and_spares_the_newcomer<B>() {
        if !alone() {
            return;
        }
        let (fresh, mut fresh_peer) = pair();
        let log = Log::default();
        let children = log.clone();
        let mut three = three::<B>(
            |a, _, _| a,
            |b| {
                b.on("read", move |cx| {
                    cx.recv(&mut [0; 64])?;
                    let number = cx.as_fd().as_raw_fd();
                    close_behind_its_back(number);
                    let channel = Channel::new(at_number(&fresh, number))?;
                    cx.add_channel(channel, reader("d", &children))?;
                    // Neither may be what comes for `d`, or goes out in its name.
                    cx.recv(&mut [0; 64]).unwrap_err();
                    cx.push(b"not for d's peer")
                })
            },
        );
        fresh_peer.write_all(b"x").unwrap();
        three.make_ready(&[1]);
        assert_eq!(pass(&mut three.reactor), 1);
        assert_eq!(three.log.take(), entries(&[&["b.read"], &LOST]));
        fresh_peer.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        assert!(!read_available(&fresh_peer, &mut received));
        assert_eq!(received, b"");
        pass(&mut three.reactor);
        assert_eq!(log.take(), ["d.read"]);
        assert_eq!(three.reactor.len(), 3);
    }

    /// Its number is the newcomer's by the time the callback returns.
    fn i09_who_loses_its_own_number_and_closes_spares_the_newcomer<B>() {
        if !alone() {
            return;
        }
        for panics in [false, true] {
            let (fresh, mut fresh_peer) = pair();
            let log = Log::default();
            let children = log.clone();
            let mut three = three::<B>(
                |a, _, _| a,
                |b| {
                    b.on("read", move |cx| {
                        cx.recv(&mut [0; 64])?;
                        let number = cx.as_fd().as_raw_fd();
                        close_behind_its_back(number);
                        let channel = Channel::new(at_number(&fresh, number))?;
                        cx.add_channel(channel, reader("d", &children))?;
                        cx.close();
                        assert!(!panics, "as it is meant to");
                        Ok(())
                    })
                },
            );
            three.make_ready(&[1]);
            let result = catch_unwind(AssertUnwindSafe(|| three.reactor.poll(None)));
            assert_eq!(result.is_err(), panics);
            assert_eq!(three.log.take(), ["b.read", "b.drop"]);
            assert_eq!(three.reactor.len(), 3);
            fresh_peer.write_all(b"x").unwrap();
            pass(&mut three.reactor);
            assert_eq!(log.take(), ["d.read"], "closed by another's end: {panics}");
        }
    }

    /// A panic keeps the rest of a batch from being served; a loss must not be forgotten with it.
    fn i09_a_loss_that_a_panic_kept_from_being_told_is_told_in_the_next_pass<B>() {
        if !alone() {
            return;
        }
        let mut three =
            three::<B>(|a, _, _| a.on("read", |_| panic!("as it is meant to")), |b| b);
        three.make_ready(&[0]);
        close_behind_its_back(three.number);
        catch_unwind(AssertUnwindSafe(|| three.reactor.poll(None))).unwrap_err();
        assert_eq!(three.log.take(), ["a.read", "a.drop"]);
        three.make_ready(&[2]);
        poll_until(&mut three.reactor, || three.log.contains("c.read"));
        assert_eq!(three.log.take(), entries(&[&LOST, &["c.read"]]));
        assert_eq!(three.reactor.len(), 1);
    }

    fn b78_close_all_closes_the_others_and_returns_the_first_error<B>() {
        if !alone() {
            return;
        }
        let three = three::<B>(|a, _, _| a, |b| b);
        let Three { mut reactor, log, number, peers, .. } = three;
        close_behind_its_back(number);
        let error = reactor.close_all().unwrap_err();
        assert_eq!(common::name_of(&error), "EBADF");
        assert_eq!(log.take(), ["a.drop", "b.drop", "c.drop"]);
        assert!(reactor.is_empty());
        for peer in peers {
            peer.set_nonblocking(true).unwrap();
            assert!(read_available(peer, &mut Vec::new()));
        }
        assert!(reactor.close_all().is_ok());
    }

    fn b78_close_all_includes_who_lost_its_number<B>() {
        if !alone() {
            return;
        }
        let (fresh, _fresh_peer) = pair();
        let mut three = three::<B>(|a, _, _| a, |b| b);
        close_behind_its_back(three.number);
        let channel = Channel::new(at_number(&fresh, three.number)).unwrap();
        three.reactor.add_channel(channel, reader("d", &three.log)).unwrap();
        three.reactor.close_all().unwrap();
        assert_eq!(three.log.take(), ["a.drop", "d.drop", "c.drop", "b.drop"]);
        assert!(three.reactor.is_empty());
    }

    fn i09_who_is_taken_out_with_a_lost_number_says_so_at_the_next_read<B>() {
        if !alone() {
            return;
        }
        let mut three = three::<B>(|a, _, _| a, |b| b);
        close_behind_its_back(three.number);
        let (channel, _dispatcher) = three.reactor.del_channel(three.keys[1]).unwrap();
        assert_eq!(channel.state(), State::Connected);
        assert_eq!(common::name_of(&channel.recv(&mut [0; 8]).unwrap_err()), "EBADF");
        assert_quiet(&mut three.reactor);
    }

    /// CPython's test of this name: the second close is no error, and spares whoever has the number
    /// by then.
    fn close_twice<B>() {
        if !alone() {
            return;
        }
        let wrapped = || Channel::new(FileWrapper::new(File::open("/dev/zero").unwrap()).unwrap());
        let stranger_at = |number| {
            let stranger = File::from(at_number(File::open("/dev/zero").unwrap(), number));
            move || assert_eq!((&stranger).read(&mut [1]).unwrap(), 1)
        };
        let (channel, mut reactor) = (wrapped().unwrap(), reactor::<B>());
        let number = channel.as_fd().as_raw_fd();
        reactor.add_channel(channel, Probe::new("a", &Log::default())).unwrap();
        close_behind_its_back(number);
        assert_eq!(common::name_of(&reactor.close_all().unwrap_err()), "EBADF");
        let stranger_lives = stranger_at(number);
        reactor.close_all().unwrap();
        drop(reactor);
        stranger_lives();

        // Who has heard of it does not close the number at all.
        let channel = wrapped().unwrap();
        let number = channel.as_fd().as_raw_fd();
        close_behind_its_back(number);
        assert_eq!(common::name_of(&channel.recv(&mut [0]).unwrap_err()), "EBADF");
        let stranger_lives = stranger_at(number);
        channel.close();
        channel.close();
        drop(channel);
        stranger_lives();
    }
}
