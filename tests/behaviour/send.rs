//! Rows B59 to B61: sending at once, and what is queued.

use crate::common::{
    Log, Probe, assert_quiet, name_of, on_both_backends, pass, poll_until, reactor, read_available,
    reset, run_out, tcp_pair, time_spent, wait_for,
};
use asyncore::{Backend, Channel, Family, Interest, Key, QueueFull, Reactor, State, Type};
use nix::{
    errno::Errno,
    poll::PollFlags,
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::{Shutdown, TcpListener},
    os::unix::net::UnixStream,
    time::Duration,
};

/// More than a socket's buffers hold.
const LOTS: usize = 4 << 20;

/// Every byte is told from its neighbours, so that what is lost or swapped is noticed.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// A reactor with one channel, a [`Probe`], and the channel's non-blocking peer.
struct Pair<B> {
    reactor: Reactor<B>,
    key: Key<Probe>,
    log: Log,
    peer: UnixStream,
}

fn pair<B: Backend + Default>(adjust: impl FnOnce(Probe) -> Probe) -> Pair<B> {
    let (ours, peer) = UnixStream::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    let probe = adjust(Probe::new("a", &log));
    let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
    Pair { reactor, key, log, peer }
}

impl<B: Backend> Pair<B> {
    fn channel(&mut self) -> &Channel {
        self.reactor.channel(self.key).unwrap()
    }

    /// Sends until the kernel takes no more.
    fn fill(&mut self) -> usize {
        let mut total = 0;
        loop {
            match self.channel().send(&[b'.'; 8192]) {
                Ok(count) => total += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return total;
                }
            }
        }
    }

    /// Makes passes while the peer reads, until it has read the end or as much as this.
    #[track_caller]
    fn read_by_peer(&mut self, at_least: usize) -> Vec<u8> {
        let (peer, mut bytes) = (&self.peer, Vec::new());
        poll_until(&mut self.reactor, || {
            read_available(peer, &mut bytes) || bytes.len() >= at_least
        });
        bytes
    }
}

on_both_backends! {
    fn b59_a_full_connection_would_block_which_is_no_error<B>() {
        let mut pair = pair::<B>(|probe| {
            probe.on("read", |cx| {
                cx.recv(&mut [0; 8])?;
                cx.send(b"answer").map(drop)
            })
        });
        let sent = pair.fill();
        assert!(sent > 0);
        pair.peer.write_all(b"question").unwrap();
        assert_eq!(pass(&mut pair.reactor), 1);
        assert_eq!(pair.log.take(), ["a.read"]);
        assert_quiet(&mut pair.reactor);
        // Nothing of what was refused was sent.
        assert_eq!(pair.read_by_peer(sent).len(), sent);
        assert_quiet(&mut pair.reactor);
        assert!(!read_available(&pair.peer, &mut Vec::new()));
    }

    fn b59_a_broken_connection_is_told_after_the_callback<B>() {
        let log = Log::default();
        let seen = log.clone();
        let mut pair = pair::<B>(|probe| {
            probe.readable(false).writable(true).on("write", move |cx| {
                let error = cx.send(b"x").unwrap_err();
                assert_ne!(cx.state(), State::Closed);
                seen.push(name_of(&error));
                // What follows in the same callback fails likewise, and changes nothing.
                assert_eq!(cx.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
                assert_eq!(cx.push(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
                Err(error)
            })
        });
        drop(pair.peer);
        run_out(&mut pair.reactor);
        assert_eq!(log.take(), ["EPIPE"]);
        assert_eq!(pair.log.take(), ["a.write", "a.close EPIPE", "a.drop"]);
    }

    fn b59_a_callback_that_keeps_the_error_to_itself_closes_all_the_same<B>() {
        let mut pair = pair::<B>(|probe| {
            probe.readable(false).writable(true).on("write", |cx| {
                cx.push(b"x").unwrap_err();
                Ok(())
            })
        });
        drop(pair.peer);
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.write", "a.close EPIPE", "a.drop"]);
    }

    fn b59_what_the_peer_sent_before_is_read_first<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.peer.write_all(b"last words").unwrap();
        drop(pair.peer);
        let channel = pair.reactor.channel(pair.key).unwrap();
        assert_eq!(channel.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        run_out(&mut pair.reactor);
        let expected = ["a.read last words", "a.eof", "a.close EPIPE", "a.drop"];
        assert_eq!(pair.log.take(), expected);
    }

    fn b59_what_the_peer_sent_before_is_kept_while_reading_is_paused<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.peer.write_all(b"last words").unwrap();
        drop(pair.peer);
        pair.reactor.pause(pair.key, Interest::READ);
        let channel = pair.reactor.channel(pair.key).unwrap();
        assert_eq!(channel.push(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_quiet(&mut pair.reactor);
        assert_eq!(pair.log.take(), [""; 0]);
        pair.reactor.resume(pair.key, Interest::READ);
        run_out(&mut pair.reactor);
        let expected = ["a.read last words", "a.eof", "a.close EPIPE", "a.drop"];
        assert_eq!(pair.log.take(), expected);
    }

    fn b59_who_does_not_read_is_closed_at_once<B>() {
        let mut pair = pair::<B>(|probe| probe.readable(false));
        pair.peer.write_all(b"nobody reads this").unwrap();
        drop(pair.peer);
        let channel = pair.reactor.channel(pair.key).unwrap();
        assert_eq!(channel.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.close EPIPE", "a.drop"]);
    }

    fn b59_a_reset_is_the_cause_whoever_finds_it<B>() {
        let (ours, theirs) = tcp_pair();
        let channel = Channel::new(ours).unwrap();
        reset(theirs);
        wait_for(&channel, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        assert_eq!(name_of(&channel.send(b"x").unwrap_err()), "ECONNRESET");
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        run_out(&mut reactor);
        // After the send took the error, the read finds the end of the stream.
        assert_eq!(log.take(), ["a.eof", "a.close ECONNRESET", "a.drop"]);
    }

    /// The signal is blocked in this thread, so it would be pending in spite of Rust's ignoring it.
    #[cfg(target_os = "linux")]
    fn b59_a_socket_never_raises_sigpipe<B>() {
        let mut pipe_signal = SigSet::empty();
        pipe_signal.add(Signal::SIGPIPE);
        pipe_signal.thread_block().unwrap();
        let pending = SignalFd::with_flags(&pipe_signal, SfdFlags::SFD_NONBLOCK).unwrap();

        let mut pair = pair::<B>(|probe| probe.readable(false));
        pair.fill();
        let dropped = pair.channel().push(&[b'x'; 100]);
        dropped.unwrap();
        drop(pair.peer);
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.close EPIPE", "a.drop"]);
        assert!(pending.read_signal().unwrap().is_none(), "a flush");

        for send in [
            |channel: &Channel| channel.send(b"x").map(drop),
            |channel: &Channel| channel.push(b"x"),
            |channel: &Channel| channel.send_vectored(&[IoSlice::new(b"x")]).map(drop),
            |channel: &Channel| channel.send_oob(b"x").map(drop),
        ] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            drop(theirs);
            assert_eq!(name_of(&send(&Channel::new(ours).unwrap()).unwrap_err()), "EPIPE");
        }
        assert!(pending.read_signal().unwrap().is_none());

        // A pipe does raise it: this can fail.
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let channel = Channel::new(writer).unwrap();
        assert_eq!(name_of(&channel.send(b"x").unwrap_err()), "EPIPE");
        assert!(pending.read_signal().unwrap().is_some());
    }

    fn b60_a_push_is_sent_at_once<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().push(b"now").unwrap();
        assert_eq!(pair.channel().queued(), 0);
        let mut bytes = [0; 8];
        assert_eq!(pair.peer.read(&mut bytes).unwrap(), 3);
        assert_eq!(&bytes[..3], b"now");
        assert_quiet(&mut pair.reactor);
    }

    fn b60_the_rest_of_a_push_is_sent_when_there_is_room<B>() {
        let mut pair = pair::<B>(|probe| probe);
        let data = pattern(LOTS);
        pair.channel().push(&data[..LOTS / 2]).unwrap();
        assert!((1..LOTS / 2).contains(&pair.channel().queued()));
        pair.channel().push(b"").unwrap();
        pair.channel().push(&data[LOTS / 2..]).unwrap();
        assert_quiet(&mut pair.reactor);
        assert!(pair.read_by_peer(LOTS) == data);
        assert_eq!(pair.channel().queued(), 0);
        assert_quiet(&mut pair.reactor);
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn b60_a_queue_is_flushed_in_place_of_handle_write<B>() {
        let mut pair = pair::<B>(|probe| probe.writable(true));
        pair.channel().push(&pattern(LOTS)).unwrap();
        let mut received = Vec::new();
        while pair.channel().queued() > 0 {
            read_available(&pair.peer, &mut received);
            assert_eq!(pass(&mut pair.reactor), 1);
            assert_eq!(pair.log.take(), [""; 0]);
        }
        assert_eq!(pass(&mut pair.reactor), 1);
        assert_eq!(pair.log.take(), ["a.write"]);
    }

    fn b60_one_pass_sends_at_most_64_kib<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().push(&pattern(LOTS)).unwrap();
        let mut received = Vec::new();
        loop {
            read_available(&pair.peer, &mut received);
            let before = pair.channel().queued();
            pass(&mut pair.reactor);
            let sent = before - pair.channel().queued();
            assert!((1..=64 << 10).contains(&sent), "{sent}");
            if pair.channel().queued() == 0 {
                break;
            }
        }
    }

    fn b60_a_send_never_overtakes_what_was_pushed<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().push(&pattern(LOTS)).unwrap();
        // Now the kernel would take it.
        let mut received = Vec::new();
        read_available(&pair.peer, &mut received);
        assert!(pair.channel().queued() > 0);
        let overtaking = IoSlice::new(b"x");
        for result in [
            pair.channel().send(b"x"),
            pair.channel().send_vectored(&[overtaking]),
            pair.channel().write(b"x"),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        pair.channel().push(b"end").unwrap();
        let left = LOTS + 3 - received.len();
        received.extend(pair.read_by_peer(left));
        assert!(received[..LOTS] == pattern(LOTS));
        assert_eq!(&received[LOTS..], b"end");
    }

    fn b60_a_push_while_connecting_waits_for_the_connection<B>() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        assert_eq!(channel.push(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
        channel.connect(listener.local_addr().unwrap()).unwrap();
        channel.push(b"hel").unwrap();
        channel.push(b"lo").unwrap();
        assert_eq!(channel.queued(), 5);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let seen = log.clone();
        let probe = Probe::new("a", &log).on("connect", move |cx| {
            seen.push(format!("{} queued", cx.queued()));
            cx.push(b"!")
        });
        reactor.add_channel(channel, probe).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        poll_until(&mut reactor, || log.contains("a.connect"));
        let mut bytes = [0; 6];
        peer.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello!");
        assert_eq!(log.take(), ["a.connect", "5 queued"]);
        assert_quiet(&mut reactor);
    }

    fn b60_pausing_holds_up_the_queue<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().push(&pattern(LOTS)).unwrap();
        pair.channel().pause(Interest::WRITE);
        let queued = pair.channel().queued();
        let mut received = Vec::new();
        read_available(&pair.peer, &mut received);
        assert_quiet(&mut pair.reactor);
        assert_eq!(pair.channel().queued(), queued);
        pair.channel().resume(Interest::WRITE);
        received.extend(pair.read_by_peer(queued));
        assert!(received == pattern(LOTS));
    }

    fn b60_close_when_sent_flushes_and_then_closes<B>() {
        let mut pair = pair::<B>(|probe| probe.writable(true));
        pair.channel().push(&pattern(LOTS)).unwrap();
        pair.channel().close_when_sent();
        assert_eq!(pair.channel().push(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(pair.channel().send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        // What comes in meanwhile is not read.
        pair.peer.write_all(b"too late").unwrap();
        assert_quiet(&mut pair.reactor);
        assert_eq!(pair.log.take(), [""; 0]);
        let (peer, mut received) = (&pair.peer, Vec::new());
        poll_until(&mut pair.reactor, || {
            // The unread bytes make the end a reset.
            while let Ok(count @ 1..) = (&mut &*peer).take(8192).read_to_end(&mut received) {
                assert!(count > 0);
            }
            pair.log.contains("a.drop")
        });
        let _ = (&mut &*peer).read_to_end(&mut received);
        assert!(received == pattern(LOTS));
        assert_eq!(pair.log.take(), ["a.close", "a.drop"]);
        assert!(pair.reactor.is_empty());
    }

    fn b60_close_when_sent_with_nothing_to_send_closes_in_the_next_pass<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().push(b"sent").unwrap();
        pair.channel().close_when_sent();
        pair.channel().close_when_sent();
        assert_eq!(pair.log.take(), [""; 0]);
        assert_eq!(pass(&mut pair.reactor), 1);
        assert_eq!(pair.log.take(), ["a.close", "a.drop"]);
        let mut bytes = Vec::new();
        pair.peer.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"sent");
    }

    fn b60_close_when_sent_in_a_callback_closes_after_it<B>() {
        let mut pair = pair::<B>(|probe| {
            probe.writable(true).on("read", |cx| {
                cx.recv(&mut [0; 8])?;
                cx.push(b"bye")?;
                cx.close_when_sent();
                Ok(())
            })
        });
        pair.peer.write_all(b"quit").unwrap();
        assert_eq!(pass(&mut pair.reactor), 1);
        assert_eq!(pair.log.take(), ["a.read", "a.close", "a.drop"]);
        let mut bytes = Vec::new();
        pair.peer.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"bye");
    }

    fn b60_close_when_sent_ends_with_the_cause_when_the_peer_goes<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().push(&pattern(LOTS)).unwrap();
        pair.channel().close_when_sent();
        drop(pair.peer);
        run_out(&mut pair.reactor);
        let log = pair.log.take();
        assert!(["a.close EPIPE", "a.close ECONNRESET"].contains(&&*log[0]), "{log:?}");
        assert_eq!(log[1..], ["a.drop"]);
    }

    fn b60_close_drops_what_is_queued<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().push(&pattern(LOTS)).unwrap();
        let sent = LOTS - pair.channel().queued();
        pair.channel().close();
        assert_eq!(pair.channel().queued(), 0);
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.drop"]);
        let mut received = Vec::new();
        assert!(read_available(&pair.peer, &mut received));
        assert_eq!(received.len(), sent);
    }

    fn b60_shutdown_waits_for_what_was_pushed_and_reading_goes_on<B>() {
        let mut pair = pair::<B>(|probe| probe.writable(true));
        pair.channel().push(&pattern(LOTS)).unwrap();
        pair.channel().shutdown(Shutdown::Write).unwrap();
        assert_eq!(pair.channel().push(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(pair.channel().send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(pair.read_by_peer(usize::MAX) == pattern(LOTS));
        assert_quiet(&mut pair.reactor);
        pair.peer.write_all(b"answer").unwrap();
        assert_eq!(pass(&mut pair.reactor), 1);
        assert_eq!(pair.log.take(), ["a.read answer"]);
        drop(pair.peer);
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn b60_shutdown_with_an_empty_queue_is_immediate<B>() {
        let mut pair = pair::<B>(|probe| probe.writable(true));
        pair.channel().shutdown(Shutdown::Write).unwrap();
        assert_eq!(pair.peer.read(&mut [0]).unwrap(), 0);
        // handle_write could do nothing.
        assert_quiet(&mut pair.reactor);
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn b60_shutdown_of_both_sides_flushes_and_closes<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().push(&pattern(LOTS)).unwrap();
        pair.channel().shutdown(Shutdown::Both).unwrap();
        assert!(pair.read_by_peer(usize::MAX) == pattern(LOTS));
        poll_until(&mut pair.reactor, || pair.log.contains("a.drop"));
        assert_eq!(pair.log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn b60_a_push_beyond_the_limit_is_refused_whole<B>() {
        let mut pair = pair::<B>(|probe| probe);
        let sent = pair.fill();
        pair.channel().set_queue_limit(10);
        pair.channel().push(b"1234").unwrap();
        let error = pair.channel().push(b"1234567").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        let full: &QueueFull = error.get_ref().unwrap().downcast_ref().unwrap();
        assert_eq!((full.queued, full.pushed, full.limit), (4, 7, 10));
        pair.channel().push(b"567890").unwrap();
        assert_eq!(pair.channel().queued(), 10);
        assert!(pair.channel().push(b"x").is_err());

        // The connection is as good as before, and there is room again.
        let received = pair.read_by_peer(sent + 10);
        assert_eq!(&received[sent..], b"1234567890");
        pair.channel().push(b"more").unwrap();
        assert_eq!(pair.read_by_peer(4), b"more");
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn b60_a_lowered_limit_keeps_what_is_queued<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().push(&pattern(LOTS)).unwrap();
        pair.channel().set_queue_limit(1);
        assert_eq!(pair.channel().push(b"x").unwrap_err().kind(), ErrorKind::QuotaExceeded);
        assert!(pair.read_by_peer(LOTS) == pattern(LOTS));
    }

    fn b60_a_full_queue_is_an_error_of_the_callback_like_any_other<B>() {
        let mut pair = pair::<B>(|probe| {
            probe.on("read", |cx| {
                cx.recv(&mut [0; 8])?;
                cx.set_queue_limit(3);
                cx.push(b"1234")
            })
        });
        pair.peer.write_all(b"x").unwrap();
        run_out(&mut pair.reactor);
        let full = "4 bytes do not fit the output queue: 0 of at most 3 queued";
        let expected = ["a.read".into(), format!("a.error {full}"), format!("a.close {full}")];
        assert_eq!(pair.log.take()[..3], expected);
    }

    fn b60_messages_are_not_queued<B>() {
        let channel = Channel::create_socket(Family::Inet, Type::Datagram).unwrap();
        channel.bind("127.0.0.1:0").unwrap();
        let mut reactor = reactor::<B>();
        let key = reactor.add_channel(channel, Probe::new("a", &Log::default())).unwrap();
        let error = reactor.channel(key).unwrap().push(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    fn b60_several_buffers_are_sent_and_received_in_order<B>() {
        for files in [false, true] {
            let (reader, writer) = if files {
                let (reader, writer) = io::pipe().unwrap();
                (Channel::new(reader).unwrap(), Channel::new(writer).unwrap())
            } else {
                let (reader, writer) = UnixStream::pair().unwrap();
                (Channel::new(reader).unwrap(), Channel::new(writer).unwrap())
            };
            let mut reactor = reactor::<B>();
            let log = Log::default();
            let seen = log.clone();
            let probe = Probe::new("a", &log).on("read", move |cx| {
                let (mut first, mut second) = ([0; 3], [0; 8]);
                let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
                let count = cx.recv_vectored(&mut buffers)?;
                seen.push(format!("{count}: {} {}", first.escape_ascii(), second.escape_ascii()));
                Ok(())
            });
            reactor.add_channel(reader, probe).unwrap();
            let parts = [b"ab".as_slice(), b"", b"cde"].map(IoSlice::new);
            assert_eq!(writer.send_vectored(&parts).unwrap(), 5);
            assert_eq!((&writer).write_vectored(&parts[..1]).unwrap(), 2);
            pass(&mut reactor);
            assert_eq!(log.take(), ["a.read", r"7: abc deab\x00\x00\x00\x00"]);
            drop(writer);
            run_out(&mut reactor);
            let end = r"0: \x00\x00\x00 \x00\x00\x00\x00\x00\x00\x00\x00";
            assert_eq!(log.take(), ["a.read", end, "a.close", "a.drop"]);
        }
    }

    fn b60_several_buffers_meet_a_broken_connection_as_one_does<B>() {
        let mut pair = pair::<B>(|probe| {
            probe.readable(false).writable(true).on("write", |cx| {
                cx.send_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")]).map(drop)
            })
        });
        drop(pair.peer);
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.write", "a.close EPIPE", "a.drop"]);
    }

    fn b60_after_close_nothing_can_be_sent<B>() {
        let mut pair = pair::<B>(|probe| {
            probe.on("read", |cx| {
                cx.close();
                for result in [cx.send(b"x").map(drop), cx.push(b"x"), cx.push(b"")] {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::NotConnected);
                }
                Err(Errno::EPERM.into())
            })
        });
        pair.peer.write_all(b"x").unwrap();
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.read", "a.drop"]);
    }

    /// asyncore copies the whole queue with each piece: eight times the bytes cost 64 times as
    /// much. Only the thread's own processor time is looked at, and only for such a difference.
    #[cfg(target_os = "linux")]
    fn b61_the_cost_of_a_queue_is_linear<B>() {
        fn time<B: Backend + Default>(bytes: usize) -> Duration {
            let mut pair = pair::<B>(|probe| probe);
            let piece = [b'x'; 4096];
            let start = time_spent();
            for _ in 0..bytes / piece.len() {
                pair.channel().push(&piece).unwrap();
            }
            let (mut received, mut buffer) = (0, vec![0; 256 << 10]);
            while received < bytes {
                while let Ok(count) = pair.peer.read(&mut buffer) {
                    received += count;
                }
                pair.reactor.poll(Some(Duration::ZERO)).unwrap();
            }
            assert_eq!(pair.channel().queued(), 0);
            time_spent() - start
        }
        // What is shorter than the kernel's clock can tell counts as this much.
        let small = time::<B>(8 << 20).max(Duration::from_millis(20));
        let large = time::<B>(64 << 20);
        assert!(large < small * 8 * 4, "8 MiB: {small:?}, 64 MiB: {large:?}");
    }
}
