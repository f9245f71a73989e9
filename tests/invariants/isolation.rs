//! I7: one channel's failure is its own, and `handle_close` is the last callback.

use crate::common::{
    Log, Probe, ascending_pairs, assert_quiet, on_both_backends, pass, reactor, reset, run_out,
    tcp_pair, wait_for,
};
use asyncore::{Channel, Interest, State};
use nix::{
    errno::Errno,
    poll::PollFlags,
    sys::socket::{MsgFlags, send},
};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::{fd::AsRawFd, unix::net::UnixStream},
};

on_both_backends! {
    fn i07_of_many_failures_each_costs_one_channel<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut peers = Vec::new();
        for (index, (ours, mut theirs)) in ascending_pairs::<9>().into_iter().enumerate() {
            theirs.write_all(b"x").unwrap();
            peers.push(theirs);
            let mut probe = Probe::new(if index % 3 == 2 { "good" } else { "bad" }, &log);
            match index % 3 {
                0 => probe = probe.on("read", |_| Err(io::Error::other("oh"))),
                1 => probe.writable = true,
                _ => {}
            }
            if index % 3 == 1 {
                probe = probe.on("write", |_| Err(Errno::EIO.into()));
            }
            reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        }
        assert_eq!(pass(&mut reactor), 9);
        let three = [
            "bad.read", "bad.error oh", "bad.close oh", "bad.drop",
            "bad.read x", "bad.write", "bad.error EIO", "bad.close EIO", "bad.drop",
            "good.read x",
        ];
        assert_eq!(log.take(), three.repeat(3));
        assert_eq!(reactor.len(), 3);
        assert_quiet(&mut reactor);
    }

    /// Readable, writable, urgent data and an end, all in one event.
    fn i07_nothing_runs_after_handle_close<B>() {
        for failing in ["read", "write", "expt"] {
            let (ours, mut theirs) = tcp_pair();
            theirs.write_all(b"x").unwrap();
            send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
            wait_for(&ours, PollFlags::POLLPRI);
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log).writable(true);
            let probe = probe.on(failing, |_| Err(Errno::EPERM.into()));
            reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            run_out(&mut reactor);
            let log = log.take();
            let end = [&format!("a.{failing}"), "a.error EPERM", "a.close EPERM", "a.drop"];
            assert_eq!(log[log.len() - 4..], end);
            assert_eq!(log.iter().filter(|entry| entry.starts_with("a.close")).count(), 1);
        }
    }

    fn i07_the_last_callback_can_still_look_at_its_channel_but_not_keep_it<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"unread").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let seen = log.clone();
        let probe = Probe::new("a", &log).on("read", |_| Err(Errno::EPERM.into())).on(
            "close",
            move |cx| {
                let mut bytes = [0; 8];
                let count = cx.recv(&mut bytes)?;
                seen.push(bytes[..count].escape_ascii().to_string());
                assert_eq!(cx.state(), State::Connected);
                cx.push(b"goodbye")?;
                cx.resume(Interest::all());
                let key = cx.key();
                cx.touch(key);
                Ok(())
            },
        );
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        let expected = ["a.read", "a.error EPERM", "a.close EPERM", "unread", "a.drop"];
        assert_eq!(log.take(), expected);
        assert!(reactor.is_empty());
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"goodbye");
    }

    fn i07_many_reasons_to_close_are_one_handle_close<B>() {
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(b"x").unwrap();
        reset(theirs);
        let channel = Channel::new(ours).unwrap();
        wait_for(&channel, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log)
            .writable(true)
            .on("read", |cx| {
                cx.close_when_sent();
                while cx.recv(&mut [0; 8])? > 0 {}
                Ok(())
            })
            .on("write", |cx| cx.send(b"x").map(drop));
        reactor.add_channel(channel, probe).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.read", "a.close ECONNRESET", "a.drop"]);
    }

    fn i07_close_in_handle_close_is_harmless<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("close", |cx| {
            cx.close();
            let key = cx.key();
            assert!(cx.close_channel(key));
            cx.close_when_sent();
            Ok(())
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        drop(theirs);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn i07_would_block_is_no_error_in_any_callback<B>() {
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(b"x").unwrap();
        send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        wait_for(&ours, PollFlags::POLLPRI);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut probe = Probe::new("a", &log).writable(true);
        for event in ["read", "write", "expt"] {
            probe = probe.on(event, |_| Err(io::ErrorKind::WouldBlock.into()));
        }
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.read", "a.write", "a.expt"]);
        assert_eq!(reactor.len(), 1);
    }
}
