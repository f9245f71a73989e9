//! The table at the top of BEHAVIOUR.md: one ready channel, step by step. Step 1, a bad
//! descriptor, is in `tests/descriptors.rs`, which has its process to itself.

use crate::common::{Log, Probe, assert_quiet, on_both_backends, reactor, tcp_pair, wait_for};
use asyncore::{Channel, Context, Family, Interest, Reactor, State, Type};
use nix::{
    poll::PollFlags,
    sys::socket::{MsgFlags, send},
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
};

/// A channel for which all that a connection can be ready for is there at once: it has connected,
/// there is data, room to write, and urgent data.
fn ready_for_everything() -> (Channel, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
    channel.connect(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_nodelay(true).unwrap();
    peer.write_all(b"ab").unwrap();
    send(peer.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
    wait_for(&channel, PollFlags::POLLPRI);
    (channel, peer)
}

const EVENTS: [&str; 4] = ["connect", "read", "write", "expt"];

/// What is logged if `last` ends the batch and `end` follows.
fn up_to(last: &str, end: &[&str]) -> Vec<String> {
    let count = EVENTS.iter().position(|event| *event == last).unwrap() + 1;
    let events = EVENTS[..count].iter().map(|event| format!("a.{event}"));
    events.chain(end.iter().map(|entry| entry.to_string())).collect()
}

/// A probe whose `handle_read` leaves the data where it is.
fn idle(log: &Log) -> Probe {
    Probe::new("a", log).writable(true).on("read", |_| Ok(()))
}

/// A Unix listener with so many clients waiting.
fn listener(clients: usize) -> (Channel, Vec<UnixStream>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let clients = (0..clients).map(|_| UnixStream::connect(&path).unwrap()).collect();
    (Channel::new(listener).unwrap(), clients)
}

on_both_backends! {
    fn steps_2_to_5_come_in_this_order_in_one_pass<B>() {
        let (channel, _peer) = ready_for_everything();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_eq!(log.take(), ["a.connect", "a.read ab", "a.write", "a.expt"]);
    }

    fn steps_2_to_5_end_with_a_close_in_any_of_them<B>() {
        for event in EVENTS {
            let (channel, _peer) = ready_for_everything();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = idle(&log).on(event, |cx| {
                cx.close();
                Ok(())
            });
            reactor.add_channel(channel, probe).unwrap();
            reactor.run().unwrap();
            assert_eq!(log.take(), up_to(event, &["a.drop"]));
        }
    }

    fn steps_2_to_5_end_with_an_error_in_any_of_them<B>() {
        for event in EVENTS {
            let (channel, _peer) = ready_for_everything();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = idle(&log).on(event, |_| Err(io::Error::other("mine")));
            reactor.add_channel(channel, probe).unwrap();
            reactor.run().unwrap();
            assert_eq!(log.take(), up_to(event, &["a.error mine", "a.close mine", "a.drop"]));
        }
    }

    fn steps_2_to_5_go_on_after_an_error_that_handle_error_forgives<B>() {
        for event in EVENTS {
            let (channel, _peer) = ready_for_everything();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = idle(&log).keep_on_error().on(event, |_| Err(io::Error::other("mine")));
            reactor.add_channel(channel, probe).unwrap();
            reactor.poll(None).unwrap();
            let mut entries = log.take();
            let error = entries.iter().position(|entry| entry == "a.error mine").unwrap();
            assert_eq!(entries[error - 1], format!("a.{event}"));
            entries.remove(error);
            assert_eq!(entries, up_to("expt", &[]));
        }
    }

    fn steps_3_to_5_are_left_out_once_they_are_not_wanted<B>() {
        for event in EVENTS {
            let (channel, _peer) = ready_for_everything();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = idle(&log).on(event, |cx| {
                cx.pause(Interest::all());
                Ok(())
            });
            reactor.add_channel(channel, probe).unwrap();
            reactor.poll(None).unwrap();
            assert_quiet(&mut reactor);
            assert_eq!(log.take(), up_to(event, &[]));
        }
    }

    fn steps_3_to_5_are_left_out_one_by_one<B>() {
        for (paused, left_out) in [
            (Interest::READ, "a.read"),
            (Interest::WRITE, "a.write"),
            (Interest::PRIORITY, "a.expt"),
        ] {
            let (channel, _peer) = ready_for_everything();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = idle(&log).on("connect", move |cx| {
                cx.pause(paused);
                Ok(())
            });
            reactor.add_channel(channel, probe).unwrap();
            reactor.poll(None).unwrap();
            let mut expected = up_to("expt", &[]);
            expected.retain(|entry| entry != left_out);
            assert_eq!(log.take(), expected);
        }
    }

    fn step_2_a_connect_is_told_as_a_success_once<B>() {
        let (channel, _peer) = ready_for_everything();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = idle(&log).on("connect", |cx| {
            assert_eq!(cx.state(), State::Connected);
            Ok(())
        });
        reactor.add_channel(channel, probe).unwrap();
        for _ in 0..3 {
            reactor.poll(None).unwrap();
        }
        assert_eq!(log.count("a.connect"), 1);
    }

    fn step_2_a_failure_leaves_all_other_steps_out<B>() {
        let (channel, peer) = ready_for_everything();
        crate::common::reset(peer);
        wait_for(&channel, PollFlags::POLLERR);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, idle(&log).keep_on_error()).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.error ECONNRESET", "a.close ECONNRESET", "a.drop"]);
    }

    fn step_3_a_listener_accepts_a_bounded_batch<B>() {
        let (channel, _clients) = listener(20);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_eq!(log.take(), ["a.accepted"; 16]);
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_eq!(log.take(), ["a.accepted"; 4]);
        assert_quiet(&mut reactor);
    }

    fn step_3_the_bound_is_the_builders<B>() {
        for (limit, at_once) in [(0, 1), (1, 1), (3, 3), (100, 5)] {
            let (channel, _clients) = listener(5);
            let log = Log::default();
            let builder = Reactor::builder().backend(B::default()).accept_batch(limit);
            let mut reactor = builder.build();
            reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
            reactor.poll(None).unwrap();
            assert_eq!(log.take().len(), at_once);
        }
    }

    fn step_3_a_batch_ends_when_the_listener_does_or_wants_no_more<B>() {
        type End = fn(&mut Context<'_>) -> io::Result<()>;
        let ends: [(End, &[&str]); 3] = [
            (
                |cx| {
                    cx.close();
                    Ok(())
                },
                &["a.accepted", "a.drop"],
            ),
            (
                |cx| {
                    cx.pause(Interest::READ);
                    Ok(())
                },
                &["a.accepted"],
            ),
            (
                |_| Err(io::Error::other("mine")),
                &["a.accepted", "a.error mine", "a.close mine", "a.drop"],
            ),
        ];
        for (end, expected) in ends {
            let (channel, _clients) = listener(3);
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log).on_accepted(move |cx, _, _| end(cx));
            reactor.add_channel(channel, probe).unwrap();
            reactor.poll(None).unwrap();
            assert_quiet(&mut reactor);
            assert_eq!(log.take(), expected);
        }
    }

    fn step_3_readable_without_write_or_priority_is_handle_read_alone<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let channel = Channel::new(ours).unwrap();
        while channel.send(&[0; 1 << 16]).is_ok() {}
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.read x"]);
    }

    fn step_4_what_was_pushed_goes_before_handle_write<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = Channel::new(ours).unwrap();
        channel.push(&vec![b'x'; 1 << 20]).unwrap();
        assert!(channel.queued() > 0);
        let key = reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        let mut buffer = vec![0; 1 << 20];
        while reactor.channel(key).unwrap().queued() > 0 {
            assert_eq!(log.take(), [""; 0], "handle_write while something was queued");
            theirs.read_exact(&mut buffer[..1]).unwrap();
            let _ = theirs.read(&mut buffer).unwrap();
            reactor.poll(None).unwrap();
        }
        assert_eq!(log.take(), [""; 0], "a flush and a handle_write in one pass");
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write"]);
    }

    fn step_4_room_that_nobody_had_asked_for_is_used_in_the_next_pass<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        while channel.send(&[b'.'; 1 << 16]).is_ok() {}
        theirs.write_all(b"x").unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut peer = theirs.try_clone().unwrap();
        let probe = Probe::new("a", &log).on("read", move |cx| {
            cx.recv(&mut [0; 8])?;
            cx.push(b"answer")?;
            // There is room from here on, but the kernel had been asked before.
            while peer.read(&mut [0; 1 << 16]).is_ok() {}
            Ok(())
        });
        let key = reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(reactor.channel(key).unwrap().queued(), 6);
        reactor.poll(None).unwrap();
        assert_eq!(reactor.channel(key).unwrap().queued(), 0);
        let mut buffer = [0; 16];
        let count = theirs.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"answer");
        assert_eq!(log.take(), ["a.read"]);
    }

    fn step_5_priority_alone_is_handle_expt_alone<B>() {
        let (ours, theirs) = tcp_pair();
        send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        wait_for(&ours, PollFlags::POLLPRI);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("expt", |cx| {
            let mut byte = [0];
            assert_eq!(cx.recv_oob(&mut byte)?, 1);
            assert_eq!(&byte, b"!");
            Ok(())
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.expt"]);
    }

    fn step_6_a_hang_up_with_data_is_only_the_read<B>() {
        let (unix, mut peer_of_unix) = UnixStream::pair().unwrap();
        peer_of_unix.write_all(b"last words").unwrap();
        let (pipe, mut writer) = io::pipe().unwrap();
        writer.write_all(b"last words").unwrap();
        drop((peer_of_unix, writer));
        for channel in [Channel::new(unix), Channel::new(pipe)] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(channel.unwrap(), Probe::new("a", &log)).unwrap();
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), ["a.read last words"]);
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
        }
    }

    fn step_6_a_hang_up_without_data_closes_who_wants_to_read<B>() {
        let (pipe, writer) = io::pipe().unwrap();
        let (reader, broken) = io::pipe().unwrap();
        let (unix, peer_of_unix) = UnixStream::pair().unwrap();
        drop((writer, reader, peer_of_unix));
        let cases: [(_, &[&str]); 3] = [
            (Channel::new(pipe), &["a.eof", "a.close", "a.drop"]),
            (Channel::new(unix), &["a.eof", "a.close", "a.drop"]),
            (Channel::new(broken), &["a.close EPIPE", "a.drop"]),
        ];
        for (channel, expected) in cases {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(channel.unwrap(), Probe::new("a", &log)).unwrap();
            assert_eq!(reactor.poll(None).unwrap(), 1);
            assert_eq!(log.take(), expected);
        }
    }

    fn step_6_a_hang_up_is_muted_while_reading_is_paused<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        // Full in one direction and ended in the other: a hang-up and nothing else.
        channel.shutdown(Shutdown::Write).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        reactor.pause(key, Interest::READ);
        drop(theirs);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
        reactor.resume(key, Interest::READ);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn step_6_a_hang_up_does_not_spin_for_who_waits_for_urgent_data_or_room<B>() {
        // The write end of a full pipe, then of one without a reader: room, and the send tells.
        let (reader, pipe) = io::pipe().unwrap();
        let channel = Channel::new(pipe).unwrap();
        while channel.send(&[0; 4096]).is_ok() {}
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log)
            .readable(false)
            .writable(true)
            .on("write", |cx| cx.send(b"x").map(drop));
        reactor.add_channel(channel, probe).unwrap();
        assert_quiet(&mut reactor);
        drop(reader);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write", "a.close EPIPE", "a.drop"]);
    }
}
