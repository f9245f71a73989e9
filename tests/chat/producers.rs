//! Producers: their turn, their end, and what they may do. On any channel, so a plain dispatcher
//! has most of them.

use crate::common::{
    Log, PATIENCE, Probe, assert_quiet, on_both_backends, pass, poll_until, reactor,
    read_available, run_out,
};
use asyncore::{
    Backend, Channel, Family, FileProducer, Interest, IteratorProducer, Key, Producer, QueueFull,
    Reactor, SimpleProducer, State, Type,
};
use nix::errno::Errno;
use std::{
    cell::{Cell, RefCell},
    fs::File,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

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

    #[track_caller]
    fn produce(&mut self, producer: impl Producer + 'static) {
        self.channel().push_with_producer(producer).unwrap();
    }

    #[track_caller]
    fn push(&mut self, data: &[u8]) {
        self.channel().push(data).unwrap();
    }

    /// What the peer reads until everything is sent; the channel must live.
    #[track_caller]
    fn sent(&mut self) -> String {
        let mut bytes = Vec::new();
        for _ in 0..10_000 {
            read_available(&self.peer, &mut bytes);
            if !self.channel().has_output() {
                return String::from_utf8(bytes).unwrap();
            }
            self.reactor.poll(Some(PATIENCE)).unwrap();
        }
        panic!("it is never sent: {:?}", self.reactor);
    }

    /// What the peer reads until the channel has closed.
    #[track_caller]
    fn sent_to_the_end(&mut self) -> String {
        let (peer, mut bytes) = (&self.peer, Vec::new());
        poll_until(&mut self.reactor, || read_available(peer, &mut bytes));
        String::from_utf8(bytes).unwrap()
    }
}

/// Produces these pieces.
fn pieces<const N: usize>(pieces: [&'static str; N]) -> impl Producer + 'static {
    IteratorProducer::new(pieces)
}

/// Produces what `made` says for each turn, until it says nothing.
fn turns(
    mut made: impl FnMut(u32, &Channel, &mut Vec<u8>) -> io::Result<()> + 'static,
) -> impl Producer + 'static {
    let mut turn = 0;
    move |channel: &Channel, out: &mut Vec<u8>| {
        assert!(out.is_empty());
        turn += 1;
        made(turn, channel, out)
    }
}

/// Tells when it is dropped.
struct Dropped(Log);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.push("producer dropped");
    }
}

/// Without end, and counts what it makes.
fn endless(made: &Rc<Cell<usize>>) -> impl Producer + 'static {
    let made = Rc::clone(made);
    move |_: &Channel, out: &mut Vec<u8>| {
        out.extend_from_slice(&[b'.'; 1000]);
        made.set(made.get() + 1000);
        Ok(())
    }
}

on_both_backends! {
    fn what_is_pushed_keeps_its_place<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.push(b"1");
        pair.produce(pieces(["2", "3"]));
        pair.push(b"4");
        pair.push(b"5");
        pair.produce(SimpleProducer::new("6"));
        pair.produce(FileProducer::new(b"7".as_slice()));
        pair.push(b"8");
        assert_eq!(pair.sent(), "12345678");
        // Nothing is left over: what comes next is sent at once.
        pair.push(b"9");
        assert_eq!(pair.sent(), "9");
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn a_producer_is_asked_when_its_turn_has_come<B>() {
        let asked = Rc::new(Cell::new(0));
        let mut pair = pair::<B>(|probe| probe);
        for _ in 0..2 {
            let asked = Rc::clone(&asked);
            pair.produce(turns(move |turn, _, out| {
                asked.set(asked.get() + 1);
                if turn == 1 {
                    out.extend_from_slice(&[b'x'; 100_000]);
                }
                Ok(())
            }));
        }
        assert_eq!(asked.get(), 0);
        assert!(pair.channel().has_output());
        assert_eq!(pair.channel().queued(), 0);
        assert_eq!(pass(&mut pair.reactor), 1);
        assert_eq!(asked.get(), 1);
        assert_eq!(pair.sent().len(), 200_000);
        assert_eq!(asked.get(), 4);
    }

    fn small_pieces_are_sent_together<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(IteratorProducer::new(["x"; 5000]));
        pair.push(b"y");
        pair.produce(IteratorProducer::new(["z"; 5000]));
        assert_eq!(pass(&mut pair.reactor), 1);
        assert!(!pair.channel().has_output());
        assert_eq!(pair.sent().len(), 10_001);
    }

    /// A peer that does not read: one piece waits, not the whole of it.
    fn an_endless_producer_is_bounded<B>() {
        let mut pair = pair::<B>(|probe| probe);
        let made = Rc::new(Cell::new(0));
        pair.produce(endless(&made));
        while pair.reactor.poll(Some(std::time::Duration::ZERO)).unwrap() > 0 {}
        assert_quiet(&mut pair.reactor);
        let (before, queued) = (made.get(), pair.channel().queued());
        assert!(queued < 80 << 10, "{queued}");
        let mut bytes = Vec::new();
        read_available(&pair.peer, &mut bytes);
        assert_eq!(bytes.len() + queued, before);
        // It goes on, at the peer's pace.
        pass(&mut pair.reactor);
        assert!(made.get() > before);
        // The channel is as good as before without it.
        pair.channel().discard_queue();
        assert!(!pair.channel().has_output());
        assert_quiet(&mut pair.reactor);
        bytes.clear();
        read_available(&pair.peer, &mut bytes);
        pair.push(b"!");
        assert_eq!(pair.sent(), "!");
    }

    fn pushes_from_inside_go_to_the_end<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(turns(|turn, channel, out| {
            if turn <= 3 {
                out.push(b'a');
                channel.push(b"x")?;
                channel.push_with_producer(pieces(["y"]))?;
                assert_eq!(channel.send(b"!").unwrap_err().kind(), ErrorKind::WouldBlock);
            }
            Ok(())
        }));
        pair.push(b"b");
        pair.produce(pieces(["c"]));
        assert_eq!(pair.sent(), "aaabcxyxyxy");
    }

    /// Also from its last turn, in which it makes nothing itself.
    fn a_producer_may_hand_over_to_another<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(turns(|_, channel, _| {
            channel.push(b"1")?;
            channel.push_with_producer(pieces(["2", "3"]))
        }));
        assert_eq!(pair.sent(), "123");
    }

    fn pushes_of_others_keep_their_place<B>() {
        let mut pair = pair::<B>(|probe| probe);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let key = pair.key;
        let other = Probe::new("other", &pair.log).on("read", move |cx| {
            cx.recv(&mut [0; 8])?;
            cx.channel(key).unwrap().push(b"from another")
        });
        pair.reactor.add_channel(Channel::new(ours).unwrap(), other).unwrap();
        pair.produce(IteratorProducer::new(vec![[b'.'; 1000]; 1000]));
        pass(&mut pair.reactor);
        theirs.write_all(b"x").unwrap();
        while !pair.log.contains("other.read") {
            pass(&mut pair.reactor);
        }
        let sent = pair.sent();
        assert_eq!(sent.len(), 1_000_012);
        assert!(sent.ends_with(".from another"));
    }

    fn closed_from_inside<B>() {
        let mut pair = pair::<B>(|probe| probe);
        let dropped = Dropped(pair.log.clone());
        pair.produce(turns(move |turn, channel, out| {
            let _ = &dropped;
            out.extend_from_slice(b"never sent");
            assert_eq!(turn, 1);
            channel.close();
            assert_eq!(channel.push(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
            Ok(())
        }));
        let dropped = Dropped(pair.log.clone());
        pair.produce(turns(move |_, _, _| {
            let _ = &dropped;
            unreachable!()
        }));
        pass(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["producer dropped", "producer dropped", "a.drop"]);
        assert_eq!(pair.sent_to_the_end(), "");
    }

    fn closed_from_inside_with_an_error<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(turns(|_, channel, _| {
            channel.close();
            Err(Errno::EIO.into())
        }));
        pass(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.drop"]);
    }

    fn discarded_from_inside<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(turns(|turn, channel, out| {
            assert_eq!(turn, 1);
            out.extend_from_slice(b"never sent");
            channel.push(b"neither")?;
            channel.discard_queue();
            assert!(!channel.has_output());
            channel.push_with_producer(pieces(["next"]))?;
            channel.push(b"last")
        }));
        pair.push(b"discarded");
        assert_eq!(pair.sent(), "nextlast");
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn to_be_closed_from_inside<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(turns(|turn, channel, out| {
            if turn == 1 {
                channel.close_when_sent();
                channel.push(b"x").unwrap_err();
            }
            if turn <= 3 {
                out.push(b'a');
            }
            Ok(())
        }));
        pair.push(b"b");
        assert_eq!(pair.sent_to_the_end(), "aaab");
        assert_eq!(pair.log.take(), ["a.close", "a.drop"]);
    }

    fn shut_down_from_inside<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(turns(|turn, channel, out| {
            if turn == 1 {
                out.push(b'a');
                channel.shutdown(Shutdown::Write)?;
            }
            Ok(())
        }));
        pair.push(b"b");
        assert_eq!(pair.sent_to_the_end(), "ab");
        assert_eq!(pair.reactor.len(), 1);
    }

    fn an_error_drops_the_producer_and_the_rest_goes_on_if_it_is_kept<B>() {
        let mut pair = pair::<B>(|probe| probe.keep_on_error());
        pair.push(b"1");
        let dropped = Dropped(pair.log.clone());
        pair.produce(turns(move |turn, _, out| {
            let _ = &dropped;
            out.extend_from_slice(b"2");
            if turn == 2 { Err(Errno::EIO.into()) } else { Ok(()) }
        }));
        pair.push(b"3");
        pair.produce(pieces(["4"]));
        assert_eq!(pair.sent(), "12234");
        assert_eq!(pair.log.take(), ["producer dropped", "a.error EIO"]);
    }

    fn an_error_ends_the_channel_by_default<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(FileProducer::new(File::open("/").unwrap()));
        pair.push(b"never sent");
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.error EISDIR", "a.close EISDIR", "a.drop"]);
        assert_eq!(pair.sent_to_the_end(), "");
    }

    fn an_interrupted_producer_is_asked_again<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(turns(|turn, _, out| match turn {
            1 | 2 | 5 => Err(ErrorKind::Interrupted.into()),
            3 => {
                out.push(b'a');
                Err(ErrorKind::Interrupted.into())
            }
            4 => {
                out.push(b'b');
                Ok(())
            }
            _ => Ok(()),
        }));
        pair.push(b"c");
        assert_eq!(pair.sent(), "abc");
        assert_eq!(pair.log.take(), [""; 0]);
    }

    /// The others are served in between.
    fn a_producer_that_is_always_interrupted_holds_up_nobody<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(turns(|_, _, _| Err(ErrorKind::Interrupted.into())));
        pair.peer.write_all(b"x").unwrap();
        poll_until(&mut pair.reactor, || pair.log.contains("a.read x"));
    }

    /// Nothing would say when to ask it again, so it would be asked without end.
    fn a_producer_cannot_wait<B>() {
        let mut pair = pair::<B>(|probe| probe.keep_on_error());
        let (reader, _writer) = UnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        pair.produce(FileProducer::new(reader));
        pair.push(b"rest");
        assert_eq!(pair.sent(), "rest");
        assert_eq!(pair.log.take(), ["a.error a producer must have its data at hand"]);
        assert_quiet(&mut pair.reactor);
    }

    fn a_panic_costs_the_channel_alone<B>() {
        let mut pair = pair::<B>(|probe| probe);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let other = Probe::new("b", &pair.log);
        pair.reactor.add_channel(Channel::new(ours).unwrap(), other).unwrap();
        pair.produce(turns(|_, _, _| panic!("as it is meant to")));
        let panic = catch_unwind(AssertUnwindSafe(|| pass(&mut pair.reactor))).unwrap_err();
        assert_eq!(*panic.downcast::<&str>().unwrap(), "as it is meant to");
        assert_eq!(pair.log.take(), ["a.drop"]);
        assert_eq!(pair.reactor.len(), 1);
        assert_eq!(pair.sent_to_the_end(), "");
        theirs.write_all(b"x").unwrap();
        pass(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["b.read x"]);
    }

    fn a_close_when_all_is_sent_waits_for_it<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(IteratorProducer::new(vec![[b'x'; 1000]; 1000]));
        pair.push(b"y");
        pair.channel().close_when_sent();
        let error = pair.channel().push_with_producer(pieces([])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let sent = pair.sent_to_the_end();
        assert!(sent.len() == 1_000_001 && sent.ends_with("xy"));
        assert_eq!(pair.log.take(), ["a.close", "a.drop"]);
    }

    fn a_shutdown_waits_for_it<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(IteratorProducer::new(vec![[b'x'; 1000]; 1000]));
        pair.channel().shutdown(Shutdown::Write).unwrap();
        assert_eq!(pair.channel().push(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(pair.sent_to_the_end().len(), 1_000_000);
        // Only the output has ended.
        pair.peer.write_all(b"still here").unwrap();
        pass(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.read still here"]);
    }

    fn a_shutdown_waits_for_a_producer_that_makes_nothing<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(pieces([]));
        pair.channel().shutdown(Shutdown::Write).unwrap();
        assert!(pair.channel().has_output());
        assert_eq!(pair.sent_to_the_end(), "");
        assert_eq!(pair.reactor.len(), 1);
    }

    fn discarding_ends_the_wait_of_a_shutdown_and_of_a_close<B>() {
        let mut first = pair::<B>(|probe| probe);
        first.produce(endless(&Rc::default()));
        first.channel().shutdown(Shutdown::Write).unwrap();
        first.channel().discard_queue();
        assert_eq!(first.sent_to_the_end(), "");
        assert_eq!(first.reactor.len(), 1);

        let mut second = pair::<B>(|probe| probe);
        second.produce(endless(&Rc::default()));
        second.channel().close_when_sent();
        second.channel().discard_queue();
        run_out(&mut second.reactor);
        assert_eq!(second.log.take(), ["a.close", "a.drop"]);
    }

    fn an_end_of_file_waits_for_it<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(IteratorProducer::new(vec![[b'x'; 1000]; 1000]));
        pair.push(b"y");
        pair.peer.shutdown(Shutdown::Write).unwrap();
        let sent = pair.sent_to_the_end();
        assert!(sent.len() == 1_000_001 && sent.ends_with("xy"));
        assert_eq!(pair.log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn half_closed_it_goes_on<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_half_close(true);
        pair.produce(IteratorProducer::new(vec![[b'x'; 1000]; 1000]));
        pair.peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(pair.sent().len(), 1_000_000);
        assert_eq!(pair.log.take(), ["a.eof"]);
        pair.produce(pieces(["more"]));
        pair.channel().shutdown(Shutdown::Write).unwrap();
        assert_eq!(pair.sent_to_the_end(), "more");
        assert_eq!(pair.log.take(), ["a.close", "a.drop"]);
    }

    fn it_ends_with_the_connection<B>() {
        let mut pair = pair::<B>(|probe| probe);
        let (made, dropped) = (Rc::default(), Dropped(pair.log.clone()));
        let mut endless = endless(&made);
        pair.produce(move |channel: &Channel, out: &mut Vec<u8>| {
            let _ = &dropped;
            endless.more(channel, out)
        });
        drop(std::mem::replace(&mut pair.peer, UnixStream::pair().unwrap().0));
        run_out(&mut pair.reactor);
        let log = pair.log.take();
        assert_eq!(log.iter().filter(|entry| *entry == "producer dropped").count(), 1, "{log:?}");
        assert!(made.get() < 80 << 10);
    }

    /// The peer reads no more, but it may still speak.
    fn it_ends_with_the_output<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.peer.shutdown(Shutdown::Read).unwrap();
        let (mut endless, dropped) = (endless(&Rc::default()), Dropped(pair.log.clone()));
        pair.produce(move |channel: &Channel, out: &mut Vec<u8>| {
            let _ = &dropped;
            endless.more(channel, out)
        });
        pair.push(b"never sent");
        pass(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["producer dropped"]);
        assert!(!pair.channel().has_output());
        assert_quiet(&mut pair.reactor);
        pair.peer.write_all(b"last words").unwrap();
        drop(std::mem::replace(&mut pair.peer, UnixStream::pair().unwrap().0));
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.read last words", "a.eof", "a.close EPIPE", "a.drop"]);
    }

    fn while_it_has_its_turn_nothing_overtakes_it<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(pieces(["a"]));
        assert_eq!(pair.channel().send(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut writer = pair.channel();
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(pair.sent(), "a");
        assert_eq!(pair.channel().send(b"x").unwrap(), 1);
    }

    fn handle_write_waits_for_it<B>() {
        let mut pair = pair::<B>(|probe| {
            let mut turns = 0;
            probe.readable(false).writable(true).on("write", move |cx| {
                turns += 1;
                if turns == 1 {
                    return cx.push_with_producer(pieces(["a", "b"]));
                }
                cx.close();
                Ok(())
            })
        });
        assert_eq!(pair.sent_to_the_end(), "ab");
        assert_eq!(pair.log.take(), ["a.write", "a.write", "a.drop"]);
    }

    fn paused_it_is_not_asked<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(pieces(["a"]));
        pair.channel().pause(Interest::WRITE);
        assert_quiet(&mut pair.reactor);
        assert!(pair.channel().has_output());
        pair.channel().resume(Interest::WRITE);
        assert_eq!(pair.sent(), "a");
    }

    fn a_connect_comes_first<B>() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        assert_eq!(channel.push_with_producer(pieces([])).unwrap_err().kind(), ErrorKind::NotConnected);
        channel.connect(listener.local_addr().unwrap()).unwrap();
        let log = Log::default();
        let seen = log.clone();
        channel.push(b"a").unwrap();
        channel.push_with_producer(turns(move |turn, channel, out| {
            assert_eq!(channel.state(), State::Connected);
            seen.push("more");
            if turn == 1 {
                out.push(b'b');
            }
            Ok(())
        })).unwrap();
        channel.push(b"c").unwrap();
        channel.close_when_sent();
        let mut reactor = reactor::<B>();
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.connect", "more", "more", "a.close", "a.drop"]);
        let mut received = String::new();
        listener.accept().unwrap().0.read_to_string(&mut received).unwrap();
        assert_eq!(received, "abc");
    }

    fn what_is_pushed_behind_counts_for_the_limit_and_a_producer_does_not<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_queue_limit(10);
        pair.produce(SimpleProducer::new(vec![b'x'; 1000]));
        pair.push(b"123456");
        pair.produce(SimpleProducer::new(vec![b'y'; 1000]));
        assert_eq!(pair.channel().queued(), 6);
        let error = pair.channel().push(b"12345").unwrap_err();
        let full = error.get_ref().unwrap().downcast_ref::<QueueFull>().unwrap();
        assert_eq!((full.queued, full.pushed, full.limit), (6, 5, 10));
        pair.push(b"1234");
        let expected = format!("{}123456{}1234", "x".repeat(1000), "y".repeat(1000));
        assert_eq!(pair.sent(), expected);
        // The limit outlives what was queued.
        pair.channel().discard_queue();
        assert_eq!(pair.channel().push(&[0; 11]).unwrap_err().kind(), ErrorKind::QuotaExceeded);
    }

    fn where_nothing_can_be_pushed_nothing_can_be_produced<B>() {
        let error = |channel: &Channel| channel.push_with_producer(pieces([])).unwrap_err().kind();
        let datagram = Channel::create_socket(Family::Inet, Type::Datagram).unwrap();
        assert_eq!(error(&datagram), ErrorKind::Unsupported);
        let listener = Channel::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        assert_eq!(error(&listener), ErrorKind::NotConnected);
        let (reader, writer) = io::pipe().unwrap();
        let reader = Channel::new(reader).unwrap();
        let unwritable = reader.push_with_producer(pieces([])).unwrap_err();
        assert_eq!(unwritable.raw_os_error(), Some(Errno::EBADF as i32));
        let closed = Channel::new(writer).unwrap();
        closed.close();
        assert_eq!(error(&closed), ErrorKind::NotConnected);
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().shutdown(Shutdown::Write).unwrap();
        assert_eq!(error(pair.channel()), ErrorKind::BrokenPipe);
    }

    fn a_file_of_some_size_arrives_as_it_is<B>() {
        let noise: Vec<u8> =
            (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&noise).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(FileProducer::new(file));
        pair.channel().close_when_sent();
        let (peer, mut bytes) = (&pair.peer, Vec::new());
        poll_until(&mut pair.reactor, || read_available(peer, &mut bytes));
        assert!(bytes == noise);
    }

    fn a_pipe_takes_a_producer_as_well<B>() {
        let (mut reader, writer) = io::pipe().unwrap();
        let channel = Channel::new(writer).unwrap();
        channel.push_with_producer(IteratorProducer::new(vec![[b'x'; 1000]; 100])).unwrap();
        channel.close_when_sent();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        let peer = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes.len()
        });
        run_out(&mut reactor);
        assert_eq!(peer.join().unwrap(), 100_000);
        assert_eq!(log.take(), ["a.close", "a.drop"]);
    }

    fn empty_items_are_no_end<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.produce(pieces(["", "a", "", "", "b", ""]));
        pair.produce(IteratorProducer::new(vec![String::new(), "c".into()]));
        pair.produce(IteratorProducer::new([[0_u8; 0]; 3]));
        pair.push(b"d");
        assert_eq!(pair.sent(), "abcd");
    }

    fn a_producer_is_dropped_when_it_is_exhausted<B>() {
        let mut pair = pair::<B>(|probe| probe);
        let dropped = Dropped(pair.log.clone());
        pair.produce(turns(move |turn, _, out| {
            let _ = &dropped;
            if turn == 1 {
                out.push(b'a');
            }
            Ok(())
        }));
        pair.produce(endless(&Rc::default()));
        assert_eq!(pair.log.take(), [""; 0]);
        pass(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["producer dropped"]);
    }

    fn the_channel_shows_it<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().pause(Interest::WRITE);
        pair.push(b"ab");
        pair.produce(pieces([]));
        pair.push(b"c");
        pair.produce(pieces([]));
        let shown = format!("{:?}", pair.channel());
        assert!(shown.ends_with(" 3 bytes queued, 2 producers>"), "{shown}");
    }
}

/// What a producer's drop does to the channel finds it in order.
#[test]
fn a_drop_may_use_the_channel() {
    struct Curious(Rc<Channel>, Rc<RefCell<Vec<bool>>>);
    impl Producer for Curious {
        fn more(&mut self, _: &Channel, _: &mut Vec<u8>) -> io::Result<()> {
            Ok(())
        }
    }
    impl Drop for Curious {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0.has_output());
        }
    }
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let channel = Rc::new(Channel::new(ours).unwrap());
    let seen = Rc::default();
    for _ in 0..2 {
        channel.push_with_producer(Curious(Rc::clone(&channel), Rc::clone(&seen))).unwrap();
    }
    channel.discard_queue();
    assert_eq!(*seen.borrow(), [false, false]);
    channel.push_with_producer(Curious(Rc::clone(&channel), Rc::clone(&seen))).unwrap();
    channel.close();
    assert_eq!(seen.borrow().len(), 3);
}

#[test]
fn a_simple_producer_makes_pieces() {
    fn all(mut producer: impl Producer) -> Vec<usize> {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        let mut sizes = Vec::new();
        loop {
            let mut out = Vec::new();
            producer.more(&channel, &mut out).unwrap();
            if out.is_empty() {
                return sizes;
            }
            sizes.push(out.len());
        }
    }
    assert_eq!(all(SimpleProducer::with_piece("hello world", 4)), [4, 4, 3]);
    assert_eq!(all(SimpleProducer::with_piece(*b"hello", 0)), [1; 5]);
    assert_eq!(all(SimpleProducer::with_piece("", 4)), [0; 0]);
    assert_eq!(all(SimpleProducer::new(vec![0; 40_000])), [16_384, 16_384, 7_232]);
    assert_eq!(all(FileProducer::new(io::repeat(0).take(20_000))), [16_384, 3_616]);
    assert_eq!(all(IteratorProducer::new(["a", "", "bc"])), [1, 2]);
}
