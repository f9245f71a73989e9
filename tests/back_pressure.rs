//! The water marks of the output queue, and what a client costs that never reads.

mod common;

use allocation_counter::measure;
use asyncore::{
    AsyncChat, Backend, Channel, Chat, ChatContext, Context, Dispatcher, Interest, Key, QueueFull,
    Reactor,
};
use common::{
    Log, Probe, assert_quiet, on_both_backends, pass, poll_until, reactor, read_available, run_out,
};
use nix::sys::socket::{setsockopt, sockopt};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// What the reactor sends at once.
const AT_ONCE: usize = 64 << 10;

/// A reactor with one channel, a [`Probe`], and the channel's non-blocking peer.
struct Pair<B> {
    reactor: Reactor<B>,
    key: Key<Probe>,
    log: Log,
    peer: UnixStream,
}

fn pair<B: Backend>(adjust: impl FnOnce(Probe) -> Probe) -> Pair<B> {
    let (ours, peer) = UnixStream::pair().unwrap();
    setsockopt(&ours, sockopt::SndBuf, &(1 << 20)).unwrap();
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

    /// Pushes so much, and has nothing of it sent before the next pass.
    fn queue(&mut self, bytes: usize) {
        self.channel().pause(Interest::WRITE);
        self.channel().push(&vec![b'x'; bytes]).unwrap();
        self.channel().resume(Interest::WRITE);
    }

    /// How much is queued, and whether that is too much.
    fn state(&mut self) -> (usize, bool) {
        (self.channel().queued(), self.channel().is_congested())
    }
}

/// Sends until the kernel takes no more.
fn fill(channel: &Channel) {
    loop {
        match channel.send(&[b'.'; 8192]) {
            Ok(_) => {}
            Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

/// Reads nothing while it has much to send.
struct Echo;

impl Dispatcher for Echo {
    fn readable(&self, channel: &Channel) -> bool {
        !channel.is_congested()
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = cx.recv(&mut buffer)?;
        cx.push(&buffer[..count])
    }
}

/// Pushes what it reads to another channel, and waits while that has much to send.
struct Feeder {
    to: Option<Key<Drain>>,
    waits: bool,
}

struct Drain {
    from: Key<Feeder>,
    log: Log,
}

impl Dispatcher for Feeder {
    fn readable(&self, _: &Channel) -> bool {
        !self.waits
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = cx.recv(&mut buffer)?;
        let to = self.to.and_then(|key| cx.channel(key)).unwrap();
        to.push(&buffer[..count])?;
        self.waits = to.is_congested();
        if count == 0 {
            to.close_when_sent();
        }
        Ok(())
    }
}

impl Dispatcher for Drain {
    fn handle_drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.log.push(format!("drained at {}", cx.queued()));
        cx.get_mut(self.from).unwrap().waits = false;
        Ok(())
    }
}

on_both_backends! {
    fn a_congestion_begins_above_the_high_mark_and_ends_at_the_low_one<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_water_marks(1000, AT_ONCE + 999).unwrap();
        pair.queue(AT_ONCE + 999);
        assert_eq!(pair.state(), (AT_ONCE + 999, false));
        pair.queue(1);
        assert_eq!(pair.state(), (AT_ONCE + 1000, true));
        pass(&mut pair.reactor);
        assert_eq!(pair.state(), (1000, false));
        assert_eq!(pair.log.take(), ["a.drained"]);
        pass(&mut pair.reactor);
        assert_eq!(pair.state(), (0, false));
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn a_congestion_lasts_while_there_is_one_byte_more_than_the_low_mark<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_water_marks(999, 1000).unwrap();
        pair.queue(AT_ONCE + 1000);
        pass(&mut pair.reactor);
        assert_eq!(pair.state(), (1000, true));
        assert_eq!(pair.log.take(), [""; 0]);
        pass(&mut pair.reactor);
        assert_eq!(pair.state(), (0, false));
        assert_eq!(pair.log.take(), ["a.drained"]);
    }

    fn equal_marks_and_marks_of_zero_are_marks<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_water_marks(0, 0).unwrap();
        assert_eq!(pair.state(), (0, false));
        pair.queue(1);
        assert_eq!(pair.state(), (1, true));
        pass(&mut pair.reactor);
        assert_eq!(pair.state(), (0, false));
        assert_eq!(pair.log.take(), ["a.drained"]);
    }

    fn what_the_kernel_takes_at_once_congests_nothing<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_water_marks(0, 10).unwrap();
        pair.channel().push(&[b'x'; 1000]).unwrap();
        assert_eq!(pair.state(), (0, false));
        assert_quiet(&mut pair.reactor);
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn unless_marks_are_set_nothing_is_congested<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.queue(8 << 20);
        assert_eq!(pair.state(), (8 << 20, false));
        let mut received = Vec::new();
        while pair.channel().has_output() {
            pass(&mut pair.reactor);
            read_available(&pair.peer, &mut received);
        }
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn marks_that_are_crossed_are_refused_and_change_nothing<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_water_marks(5, 10).unwrap();
        let error = pair.channel().set_water_marks(101, 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = "the low water mark, 101, is above the high one, 100";
        assert_eq!(error.to_string(), text);
        pair.queue(11);
        assert_eq!(pair.state(), (11, true));
    }

    fn each_congestion_is_told_once_however_many_pushes_there_are<B>() {
        let mut pair = pair::<B>(|probe| probe.on("read", |cx| {
            cx.recv(&mut [0; 8])?;
            cx.pause(Interest::WRITE);
            for _ in 0..3 {
                cx.push(&[b'x'; 20])?;
                assert!(cx.is_congested());
            }
            cx.resume(Interest::WRITE);
            Ok(())
        }));
        pair.channel().set_water_marks(5, 10).unwrap();
        for _ in 0..3 {
            pair.peer.write_all(b"?").unwrap();
            poll_until(&mut pair.reactor, || pair.log.contains("a.drained"));
            assert_quiet(&mut pair.reactor);
            assert_eq!(pair.log.take(), ["a.read", "a.drained"]);
        }
        let mut received = Vec::new();
        read_available(&pair.peer, &mut received);
        assert_eq!(received.len(), 180);
    }

    /// It comes before what else the same pass has for the channel, and what it pushes is sent.
    fn more_can_be_pushed_when_drained<B>() {
        let mut left = 3;
        let mut pair = pair::<B>(|probe| probe.writable(true).on("drained", move |cx| {
            assert_eq!((cx.queued(), cx.is_congested()), (0, false));
            if left > 0 {
                left -= 1;
                cx.pause(Interest::WRITE);
                cx.push(b"more")?;
                cx.resume(Interest::WRITE);
                assert!(cx.is_congested());
            }
            Ok(())
        }).on("write", |cx| {
            cx.pause(Interest::WRITE);
            Ok(())
        }));
        pair.channel().set_water_marks(0, 3).unwrap();
        pair.queue(4);
        poll_until(&mut pair.reactor, || pair.log.contains("a.write"));
        let told = ["a.drained"; 4].into_iter().chain(["a.write"]);
        assert!(pair.log.take().into_iter().eq(told));
    }

    fn an_error_when_drained_is_one_of_the_channel<B>() {
        let mut pair = pair::<B>(|probe| probe.on("drained", |_| Err(ErrorKind::Other.into())));
        pair.channel().set_water_marks(0, 3).unwrap();
        pair.queue(4);
        run_out(&mut pair.reactor);
        let expected = ["a.drained", "a.error other error", "a.close other error", "a.drop"];
        assert_eq!(pair.log.take(), expected);
    }

    fn a_queue_that_is_discarded_is_not_congested_and_nobody_is_told<B>() {
        let mut pair = pair::<B>(|probe| probe);
        fill(pair.channel());
        pair.channel().set_water_marks(5, 10).unwrap();
        pair.channel().push(&[b'x'; 11]).unwrap();
        assert_eq!(pair.state(), (11, true));
        pair.channel().discard_queue();
        assert_eq!(pair.state(), (0, false));
        // Nor is the next flush taken for the end of that.
        pair.channel().push(&[b'x'; 10]).unwrap();
        let mut received = Vec::new();
        while pair.channel().has_output() {
            read_available(&pair.peer, &mut received);
            pass(&mut pair.reactor);
        }
        assert_quiet(&mut pair.reactor);
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn new_marks_hold_at_once_and_nobody_is_told<B>() {
        let mut pair = pair::<B>(|probe| probe);
        fill(pair.channel());
        pair.channel().push(&[b'x'; 100]).unwrap();
        for (low, high, congested) in [
            (50, 99, true),
            (50, 1000, true), // until the low one
            (100, 1000, false),
            (50, 100, false), // not above the high one
            (0, 0, true),
            (usize::MAX, usize::MAX, false),
        ] {
            pair.channel().set_water_marks(low, high).unwrap();
            assert_eq!(pair.state(), (100, congested), "{low} {high}");
        }
        let mut received = Vec::new();
        while pair.channel().has_output() {
            read_available(&pair.peer, &mut received);
            pass(&mut pair.reactor);
        }
        assert_eq!(pair.log.take(), [""; 0]);
    }

    fn a_channel_that_closes_when_all_is_sent_is_told_of_that_alone<B>() {
        for low in [0, 1000] {
            let mut pair = pair::<B>(|probe| probe);
            pair.channel().set_water_marks(low, 1000).unwrap();
            pair.queue(AT_ONCE + 1000);
            pair.channel().close_when_sent();
            run_out(&mut pair.reactor);
            assert_eq!(pair.log.take(), ["a.close", "a.drop"]);
            let mut received = Vec::new();
            assert!(read_available(&pair.peer, &mut received));
            assert_eq!(received.len(), AT_ONCE + 1000);
        }
    }

    fn a_channel_whose_output_ends_and_that_lives_on_is_told<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_half_close(true);
        pair.channel().set_water_marks(0, 1000).unwrap();
        pair.queue(1001);
        pair.channel().shutdown(Shutdown::Write).unwrap();
        pass(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.drained"]);
        let mut received = Vec::new();
        assert!(read_available(&pair.peer, &mut received));
        pair.peer.write_all(b"answer").unwrap();
        pass(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.read answer"]);
    }

    fn who_breaks_is_not_drained<B>() {
        let mut pair = pair::<B>(|probe| probe.readable(false));
        pair.channel().set_water_marks(0, 1000).unwrap();
        pair.queue(1001);
        drop(pair.peer);
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.close EPIPE", "a.drop"]);
    }

    fn who_is_closed_before_its_flush_is_not_drained<B>() {
        let mut pair = pair::<B>(|probe| probe.on("read", |cx| {
            cx.close();
            assert!(!cx.is_congested());
            Ok(())
        }));
        pair.channel().set_water_marks(0, 1000).unwrap();
        pair.queue(1001);
        pair.peer.write_all(b"?").unwrap();
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.read", "a.drop"]);
    }

    fn a_producer_that_closes_the_channel_in_the_flush_is_the_end_of_it<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_water_marks(0, 1000).unwrap();
        pair.queue(1001);
        pair.channel().push_with_producer(|channel: &Channel, _: &mut Vec<u8>| {
            channel.close();
            Ok(())
        }).unwrap();
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.drop"]);
    }

    /// What a producer has made is queued, and what it has not made is not.
    fn a_producer_congests_by_what_it_has_made_and_could_not_send<B>() {
        let mut pair = pair::<B>(|probe| probe);
        pair.channel().set_water_marks(1000, AT_ONCE).unwrap();
        let mut pieces = 3;
        let producer = move |_: &Channel, out: &mut Vec<u8>| {
            if pieces > 0 {
                out.resize(4 * AT_ONCE, b'p');
                pieces -= 1;
            }
            Ok(())
        };
        pair.channel().push_with_producer(producer).unwrap();
        assert_eq!(pair.state(), (0, false));
        pass(&mut pair.reactor);
        assert_eq!(pair.state(), (3 * AT_ONCE, true));
        let mut received = Vec::new();
        while pair.channel().has_output() {
            read_available(&pair.peer, &mut received);
            pass(&mut pair.reactor);
        }
        // Each piece was sent to its end before the next one was made.
        read_available(&pair.peer, &mut received);
        assert_eq!(received.len(), 12 * AT_ONCE);
        assert_eq!(pair.log.count("a.drained"), 3);
    }

    fn an_echo_reads_no_more_until_its_client_reads<B>() {
        const HIGH: usize = 100_000;
        let (ours, mut peer) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        let mut reactor = reactor::<B>();
        let channel = Channel::new(ours).unwrap();
        channel.set_water_marks(10_000, HIGH).unwrap();
        let key = reactor.add_channel(channel, Echo).unwrap();
        // A client that only writes: the reactor comes to rest, with what it has and no more.
        let mut sent = 0_usize;
        loop {
            let piece = [(sent / 1000 % 251) as u8; 1000];
            match peer.write(&piece[..1000 - sent % 1000]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if reactor.poll(Some(Duration::ZERO)).unwrap() == 0 {
                        break;
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_quiet(&mut reactor);
        let channel = reactor.channel(key).unwrap();
        assert!(channel.is_congested());
        assert!((HIGH + 1..=HIGH + 4096).contains(&channel.queued()), "{channel:?}");
        // It reads; everything comes back, also what waited in the kernel.
        let mut received = Vec::new();
        poll_until(&mut reactor, || {
            read_available(&peer, &mut received);
            received.len() == sent
        });
        assert!((0..sent).zip(&received).all(|(n, &byte)| byte == (n / 1000 % 251) as u8));
        assert!(!reactor.channel(key).unwrap().is_congested());
    }

    fn one_that_feeds_another_waits_until_that_is_drained<B>() {
        const LOTS: usize = 4 << 20;
        const HIGH: usize = 50_000;
        let (source, mut writer) = UnixStream::pair().unwrap();
        let (sink, reader) = UnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let from = reactor
            .add_channel(Channel::new(source).unwrap(), Feeder { to: None, waits: false })
            .unwrap();
        let sink = Channel::new(sink).unwrap();
        sink.set_water_marks(HIGH / 4, HIGH).unwrap();
        let to = reactor.add_channel(sink, Drain { from, log: log.clone() }).unwrap();
        reactor.get_mut(from).unwrap().to = Some(to);
        let sent: Vec<u8> = (0..LOTS).map(|n| (n % 251) as u8).collect();
        let all = sent.clone();
        let writing = std::thread::spawn(move || writer.write_all(&all));
        let (mut received, mut congestions) = (Vec::new(), 0);
        let end = Instant::now() + common::PATIENCE;
        while !reactor.is_empty() {
            assert!(Instant::now() < end, "{reactor:?}");
            let served = reactor.poll(Some(Duration::from_millis(1))).unwrap();
            let Some(channel) = reactor.channel(to) else { continue };
            assert!(channel.queued() <= HIGH + 4096, "{channel:?}");
            // Nobody reads before everything is at rest.
            if served == 0 {
                congestions += usize::from(channel.is_congested());
                read_available(&reader, &mut received);
            }
        }
        assert!(read_available(&reader, &mut received));
        writing.join().unwrap().unwrap();
        assert!(received == sent);
        assert!(congestions > 10, "{congestions}");
        let told = log.take();
        assert!(told.len() > 10, "{told:?}");
        for entry in told {
            let left: usize = entry.strip_prefix("drained at ").unwrap().parse().unwrap();
            assert!(left <= HIGH / 4, "{left}");
        }
    }

    fn a_chat_is_told_as_well<B>() {
        struct Told(Log);
        impl AsyncChat for Told {
            fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
                Ok(())
            }

            fn handle_drained(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
                self.0.push(format!("drained at {} {:?}", cx.queued(), cx.terminator()));
                Ok(())
            }
        }
        let (ours, _peer) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = Channel::new(ours).unwrap();
        channel.set_water_marks(0, 3).unwrap();
        channel.pause(Interest::WRITE);
        channel.push(b"1234").unwrap();
        channel.resume(Interest::WRITE);
        reactor.add_channel(channel, Chat::new(Told(log.clone()), 7)).unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["drained at 0 Length(7)"]);
    }

    /// The marks refuse nothing, and the limit is what it was.
    fn who_never_reads_costs_its_limit_and_nothing_more<B>() {
        const LIMIT: usize = 1_000_000;
        let mut pair = pair::<B>(|probe| probe);
        fill(pair.channel());
        pair.channel().set_water_marks(1000, 2000).unwrap();
        pair.channel().set_queue_limit(LIMIT);
        let mut pushed = 0;
        let info = measure(|| {
            let error = loop {
                // The room doubles, and would be more than the limit in the end.
                match pair.channel().push(&[b'x'; 4999]) {
                    Ok(()) => pushed += 4999,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
            let full: &QueueFull = error.get_ref().unwrap().downcast_ref().unwrap();
            assert_eq!((full.queued, full.pushed, full.limit), (pushed, 4999, LIMIT));
            for _ in 0..100 {
                assert!(pair.channel().push(&[b'x'; 4999]).is_err());
            }
        });
        assert_eq!(pair.state(), (pushed, true));
        assert!(pushed + 4999 > LIMIT, "{pushed}");
        assert!(info.bytes_current as usize <= LIMIT, "{info:?}");
        assert_quiet(&mut pair.reactor);
        pair.channel().close();
        run_out(&mut pair.reactor);
        assert_eq!(pair.log.take(), ["a.drop"]);
        let mut buffer = Vec::new();
        pair.peer.read_to_end(&mut buffer).unwrap();
    }
}
