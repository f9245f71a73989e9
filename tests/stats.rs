//! What a reactor says of itself: each number against traffic that is known, and every channel.

mod common;

use allocation_counter::measure;
use asyncore::{
    Address, Backend, Channel, Family, Interest, Key, Reactor, Scan, State, Stats, Type,
};
use common::{
    HangGuard, Log, PATIENCE, Probe, Silent, alone, at_number, close_behind_its_back,
    on_both_backends, pass, reactor, tcp_pair, wait_for,
};
use nix::{
    poll::PollFlags,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        socket::{MsgFlags, send},
    },
};
use std::{
    cell::RefCell,
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::{UnixListener, UnixStream},
    },
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, Instant},
};

/// One wait per pass, on everything.
fn plain<B: Backend + Default>() -> Reactor<B> {
    Reactor::builder().backend(B::default()).scan(Scan::Plain).build()
}

/// What `work` has changed; the fields that it has not are 0.
#[track_caller]
fn assert_counted<B: Backend>(
    reactor: &mut Reactor<B>,
    work: impl FnOnce(&mut Reactor<B>),
    expect: impl FnOnce(&mut Stats),
) {
    let mut expected = reactor.stats();
    work(reactor);
    expect(&mut expected);
    assert_eq!(reactor.stats(), expected);
}

/// Received and sent: of this channel, and of all.
fn bytes<B: Backend>(reactor: &Reactor<B>, key: Key<impl Sized>) -> [(u64, u64); 2] {
    let channel = reactor.channels().find(|channel| channel.key == key).unwrap();
    let stats = reactor.stats();
    [(channel.received, channel.sent), (stats.received, stats.sent)]
}

fn numbers<'a>(channels: impl Iterator<Item = asyncore::ChannelInfo<'a>>) -> Vec<RawFd> {
    channels.map(|channel| channel.fd).collect()
}

fn echo(log: &Log) -> Probe {
    Probe::new("echo", log).on("read", |cx| {
        let mut buffer = [0; 64];
        let count = cx.recv(&mut buffer)?;
        cx.push(&buffer[..count])
    })
}

on_both_backends! {
    fn a_conversation_from_its_accept_to_its_close<B>() {
        let mut reactor = plain::<B>();
        assert_eq!(reactor.stats(), Stats::default());
        let log = Log::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let children = log.clone();
        let probe = Probe::new("listener", &log).on_accepted(move |cx, channel, _| {
            cx.add_channel(channel, echo(&children)).map(drop)
        });
        reactor.add_channel(Channel::new(listener).unwrap(), probe).unwrap();
        let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert_counted(&mut reactor, |reactor| assert_eq!(pass(reactor), 1), |stats| {
            stats.passes += 1;
            stats.waits += 1;
            stats.descriptors += 1;
            stats.ready += 1;
            stats.handle_accept += 4; // the last one finds nobody
        });
        clients[1].write_all(b"hello").unwrap();
        assert_counted(&mut reactor, |reactor| assert_eq!(pass(reactor), 1), |stats| {
            stats.passes += 1;
            stats.waits += 1;
            stats.descriptors += 4;
            stats.ready += 1;
            stats.handle_read += 1;
            stats.received += 5;
            stats.sent += 5;
        });
        assert_counted(&mut reactor, |reactor| drop(reactor.poll(Some(Duration::ZERO))), |stats| {
            stats.passes += 1;
            stats.waits += 1;
            stats.descriptors += 4;
        });
        clients[1].read_exact(&mut [0; 5]).unwrap();
        drop(clients);
        let close = |reactor: &mut Reactor<B>| while reactor.len() > 1 { pass(reactor); };
        let before = reactor.stats();
        close(&mut reactor);
        let after = reactor.stats();
        assert_eq!(after.ready - before.ready, 3);
        assert_eq!(after.handle_read - before.handle_read, 3);
        assert_eq!(after.handle_close - before.handle_close, 3);
        assert_eq!((after.received, after.sent), (5, 5), "those that are gone count");
    }

    fn every_kind_of_callback<B>() {
        let mut reactor = plain::<B>();
        let log = Log::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        channel.connect(listener.local_addr().unwrap()).unwrap();
        let probe = Probe::new("a", &log).writable(true).keep_on_error();
        let probe = probe.on("read", |_| Err(io::Error::other("not to be read")));
        let probe = probe.on("timeout", |cx| { cx.set_timeout(None); Ok(()) });
        let key = reactor.add_channel(channel, probe).unwrap();
        wait_for(&listener, PollFlags::POLLIN);
        let (peer, _) = listener.accept().unwrap();
        let one_pass = |stats: &mut Stats| {
            stats.passes += 1;
            stats.waits += 1;
            stats.descriptors += 1;
            stats.ready += 1;
        };
        assert_counted(&mut reactor, |reactor| assert_eq!(pass(reactor), 1), |stats| {
            one_pass(stats);
            stats.handle_connect += 1;
            stats.handle_write += 1;
        });
        assert_counted(&mut reactor, |reactor| assert_eq!(pass(reactor), 1), |stats| {
            one_pass(stats);
            stats.handle_write += 1;
        });
        reactor.get_mut(key).unwrap().writable = false;
        send(peer.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        assert_counted(&mut reactor, |reactor| assert_eq!(pass(reactor), 1), |stats| {
            one_pass(stats);
            stats.handle_expt += 1;
        });
        (&peer).write_all(b"x").unwrap();
        assert_counted(&mut reactor, |reactor| assert_eq!(pass(reactor), 1), |stats| {
            one_pass(stats);
            stats.handle_read += 1;
            stats.handle_error += 1;
        });
        let channel = reactor.channel(key).unwrap();
        channel.pause(Interest::READ);
        channel.set_timeout(Some(Duration::from_nanos(1)));
        let before = reactor.stats();
        while !log.contains("a.timeout") {
            pass(&mut reactor);
        }
        let after = reactor.stats();
        assert_eq!(after.handle_timeout - before.handle_timeout, 1);
        assert_eq!((after.timers, after.handle_read), (0, before.handle_read));
        assert_eq!(after.handle_close, 0);
    }

    fn a_connect_that_fails_is_an_error_and_a_close<B>() {
        let mut reactor = plain::<B>();
        let log = Log::default();
        // Bound, so that nobody else can be given the port, and not listening.
        let nobody = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        nobody.bind("127.0.0.1:0").unwrap();
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        channel.connect(nobody.local_addr().unwrap()).unwrap();
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        common::run_out(&mut reactor);
        let stats = reactor.stats();
        assert_eq!((stats.handle_connect, stats.handle_error, stats.handle_close), (0, 1, 1));
        assert_eq!(stats.evictions, 0);
    }

    fn what_is_queued_is_sent_by_flushes<B>() {
        const BYTES: usize = 3 << 20;
        let mut reactor = plain::<B>();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let key = reactor.add_channel(Channel::new(ours).unwrap(), Silent).unwrap();
        let channel = reactor.channel(key).unwrap();
        channel.pause(Interest::READ);
        channel.set_water_marks(0, BYTES / 4).unwrap();
        channel.push(&vec![b'x'; BYTES]).unwrap();
        let queued = channel.queued();
        assert!(queued > 0);
        let channel = reactor.channels().next().unwrap();
        assert_eq!((channel.queued, channel.sent), (queued, (BYTES - queued) as u64));
        theirs.set_nonblocking(true).unwrap();
        let (mut received, mut served) = (Vec::new(), 0);
        while received.len() < BYTES {
            common::read_available(&theirs, &mut received);
            served += reactor.poll(Some(Duration::ZERO)).unwrap() as u64;
        }
        let stats = reactor.stats();
        assert_eq!((stats.sent, stats.received), (BYTES as u64, 0));
        assert_eq!(stats.flushes + stats.handle_write, served);
        assert!(stats.flushes >= (queued >> 16) as u64, "64 KiB at once: {stats:?}");
        assert!(stats.handle_write <= 1, "nobody handles it");
        assert_eq!(stats.handle_drained, 1);
    }

    fn bytes_count_on_every_way_in_and_out<B>() {
        let mut reactor = reactor::<B>();
        let (ours, mut theirs) = tcp_pair();
        let key = reactor.add_channel(Channel::new(ours).unwrap(), Silent).unwrap();
        let mut expected = (0, 0);
        let mut more = |reactor: &Reactor<B>, received, sent| {
            expected = (expected.0 + received, expected.1 + sent);
            assert_eq!(bytes(reactor, key), [expected; 2]);
        };
        let mut buffer = [0; 16];
        theirs.write_all(b"12345678901234").unwrap();
        let mut channel = reactor.channel(key).unwrap();
        wait_for(channel, PollFlags::POLLIN);
        assert_eq!(channel.recv(&mut buffer[..3]).unwrap(), 3);
        more(&reactor, 3, 0);
        channel = reactor.channel(key).unwrap();
        let [mut one, mut two] = [[0; 2]; 2];
        let mut parts = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(channel.recv_vectored(&mut parts).unwrap(), 4);
        more(&reactor, 4, 0);
        channel = reactor.channel(key).unwrap();
        assert_eq!(channel.read(&mut buffer[..2]).unwrap(), 2);
        assert_eq!(channel.recv_from(&mut buffer[..5]).unwrap().0, 5);
        more(&reactor, 7, 0);
        channel = reactor.channel(key).unwrap();
        assert_eq!(channel.recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        more(&reactor, 0, 0);
        send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        channel = reactor.channel(key).unwrap();
        wait_for(channel, PollFlags::POLLPRI);
        assert_eq!(channel.recv_oob(&mut buffer).unwrap(), 1);
        more(&reactor, 1, 0);

        channel = reactor.channel(key).unwrap();
        assert_eq!(channel.send(b"12").unwrap(), 2);
        more(&reactor, 0, 2);
        channel = reactor.channel(key).unwrap();
        let parts = [IoSlice::new(b"123"), IoSlice::new(b"45")];
        assert_eq!(channel.send_vectored(&parts).unwrap(), 5);
        more(&reactor, 0, 5);
        channel = reactor.channel(key).unwrap();
        assert_eq!(channel.write(b"1234").unwrap(), 4);
        assert_eq!(channel.send_oob(b"!").unwrap(), 1);
        channel.push(b"123456").unwrap();
        more(&reactor, 0, 11);
        reactor.channel(key).unwrap().shutdown(std::net::Shutdown::Write).unwrap();
        more(&reactor, 0, 0);
        drop(theirs);
        channel = reactor.channel(key).unwrap();
        wait_for(channel, PollFlags::POLLIN);
        assert_eq!(channel.recv(&mut buffer).unwrap_or(0), 0);
        more(&reactor, 0, 0);
    }

    fn bytes_of_datagrams_and_files_count<B>() {
        let mut reactor = reactor::<B>();
        let [one, two] = [(), ()].map(|()| {
            let channel = Channel::create_socket(Family::Inet, Type::Datagram).unwrap();
            channel.bind("127.0.0.1:0").unwrap();
            channel
        });
        let address = two.local_addr().unwrap();
        let [one, two] = [one, two].map(|channel| reactor.add_channel(channel, Silent).unwrap());
        assert_eq!(reactor.channel(one).unwrap().send_to(b"1234567", &address).unwrap(), 7);
        assert_eq!(bytes(&reactor, one), [(0, 7), (0, 7)]);
        let channel = reactor.channel(two).unwrap();
        wait_for(channel, PollFlags::POLLIN);
        assert_eq!(channel.recv_from(&mut [0; 5]).unwrap().0, 5); // the rest is lost
        assert_eq!(bytes(&reactor, two), [(5, 0), (5, 7)]);

        let (reader, writer) = io::pipe().unwrap();
        let [reader, writer] = [Channel::new(reader), Channel::new(writer)];
        let reader = reactor.add_channel(reader.unwrap(), Silent).unwrap();
        let writer = reactor.add_channel(writer.unwrap(), Silent).unwrap();
        assert_eq!(reactor.channel(writer).unwrap().send(b"123").unwrap(), 3);
        let channel = reactor.channel(writer).unwrap();
        assert_eq!(channel.send_vectored(&[IoSlice::new(b"4")]).unwrap(), 1);
        assert_eq!(reactor.channel(reader).unwrap().recv(&mut [0; 16]).unwrap(), 4);
        assert_eq!(bytes(&reactor, writer)[0], (0, 4));
        assert_eq!(bytes(&reactor, reader), [(4, 0), (9, 11)]);
    }

    fn what_is_only_looked_at_does_not_count<B>() {
        let mut reactor = reactor::<B>();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let key = reactor.add_channel(Channel::new(ours).unwrap(), Silent).unwrap();
        theirs.write_all(b"nobody reads this").unwrap();
        pass(&mut reactor);
        assert_eq!(reactor.stats().handle_read, 1);
        assert_eq!(bytes(&reactor, key), [(0, 0); 2]);
    }

    fn each_byte_counts_once_wherever_the_channel_goes<B>() {
        let [mut here, mut there] = [reactor::<B>(), reactor::<B>()];
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"12345").unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.push(b"welcome").unwrap(); // before it joins
        let key = here.add_channel(channel, Silent).unwrap();
        assert_eq!(here.channel(key).unwrap().recv(&mut [0; 2]).unwrap(), 2);
        assert_eq!(bytes(&here, key), [(2, 7); 2]);
        for _ in 0..3 {
            let key = here.channels().next().unwrap().key.typed::<Silent>();
            let (channel, silent) = here.del_channel(key).unwrap();
            assert_eq!((here.stats().received, here.stats().sent), (2, 7));
            let key = here.add_channel(channel, silent).unwrap();
            assert_eq!(bytes(&here, key), [(0, 0), (2, 7)]);
        }
        let key = here.channels().next().unwrap().key.typed::<Silent>();
        let (channel, silent) = here.del_channel(key).unwrap();
        let key = there.add_channel(channel, silent).unwrap();
        assert_eq!(there.channel(key).unwrap().recv(&mut [0; 16]).unwrap(), 3);
        assert_eq!(bytes(&there, key), [(3, 0); 2]);
        assert!(there.close_channel(key));
        assert_eq!(there.stats().received, 3);
        assert_eq!(here.stats().received, 2);
    }

    fn bytes_are_kept_however_a_channel_leaves<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let mut received = 0;
        type Leave<B> = fn(&mut Reactor<B>);
        let ways: [(&str, Leave<B>); 3] = [
            ("close_all", |reactor| reactor.close_all().unwrap()),
            ("a panic", |reactor| {
                let key = reactor.channels().next().unwrap().key;
                reactor.channel(key).unwrap().push(b"xy").unwrap();
                let result = catch_unwind(AssertUnwindSafe(|| pass(reactor)));
                assert!(result.is_err());
            }),
            ("Channel::close", |reactor| {
                let key = reactor.channels().next().unwrap().key;
                reactor.channel(key).unwrap().close();
                while !reactor.is_empty() {
                    reactor.poll(Some(Duration::ZERO)).unwrap();
                }
            }),
        ];
        for (way, leave) in ways {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(b"12345").unwrap();
            let probe = Probe::new("a", &log).on("read", |_| panic!("of the test"));
            let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            assert_eq!(reactor.channel(key).unwrap().recv(&mut [0; 4]).unwrap(), 4);
            leave(&mut reactor);
            received += 4;
            assert!(reactor.is_empty());
            assert_eq!(reactor.stats().received, received, "{way}");
        }
        assert_eq!(reactor.stats().sent, 2);
    }

    fn timers_posts_and_notifications<B>() {
        let mut reactor = plain::<B>();
        let log = Log::default();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let key = reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        let mut rounds = 0;
        reactor.call_every(Duration::from_nanos(1), move |scope| {
            rounds += 1;
            assert_eq!(scope.stats().timers, rounds, "itself included");
            if rounds == 3 {
                scope.stop();
            }
        });
        let never = reactor.call_later(Duration::from_secs(3600), |_| {});
        assert!(reactor.cancel(never));
        let _guard = HangGuard::new();
        reactor.run().unwrap();
        let stats = reactor.stats();
        assert_eq!((stats.timers, stats.posts, stats.handle_notify), (3, 0, 0));
        assert_eq!((stats.ready, stats.handle_read), (0, 0));

        let mut reactor = plain::<B>();
        let (ours, _theirs_too) = UnixStream::pair().unwrap();
        let other = Probe::new("b", &log);
        let notified = reactor.add_channel(Channel::new(ours).unwrap(), other).unwrap();
        let remote = reactor.remote().unwrap();
        remote.post(|scope| assert_eq!(scope.stats().posts, 1)).unwrap();
        remote.post(|scope| assert_eq!(scope.stats().posts, 2)).unwrap();
        remote.notify(notified).unwrap();
        remote.notify(key).unwrap(); // another reactor's: nobody is called
        assert_counted(&mut reactor, |reactor| assert_eq!(reactor.poll(None).unwrap(), 0), |stats| {
            stats.passes += 1;
            stats.waits += 1;
            stats.descriptors += 2; // with the reactor's own
            stats.ready += 1;
            stats.posts += 2;
            stats.handle_notify += 1;
        });
        let keys: Vec<_> = reactor.channels().map(|channel| channel.key).collect();
        assert!(keys.len() == 1 && keys[0] == notified, "its own is not among them: {keys:?}");
    }

    fn a_listener_without_room_rests_and_that_is_counted<B>() {
        if !alone() {
            return;
        }
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 64, most).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("listener");
        let listener = Channel::new(UnixListener::bind(&path).unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), plain::<B>());
        reactor.add_channel(listener, Probe::new("l", &log)).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let mut filler: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        for rests in 1..=2 {
            while reactor.stats().accept_pauses < rests {
                pass(&mut reactor);
            }
            let stats = reactor.stats();
            assert_eq!((stats.accept_pauses, stats.handle_accept), (rests, rests));
            assert_eq!((stats.handle_error, stats.timers), (1, 0), "told once");
        }
        filler.pop();
        while !log.contains("l.accepted") {
            pass(&mut reactor);
        }
        assert!(reactor.stats().handle_accept >= 3);
    }

    fn a_channel_that_lost_its_number_is_evicted<B>() {
        if !alone() {
            return;
        }
        let mut reactor = plain::<B>();
        let log = Log::default();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let number = ours.as_raw_fd();
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        close_behind_its_back(number);
        pass(&mut reactor);
        assert!(reactor.is_empty());
        let stats = reactor.stats();
        assert_eq!((stats.evictions, stats.handle_error, stats.handle_close), (1, 1, 1));
        assert_eq!(stats.ready, 1);

        // Another that has the number already; the first is still to be told, and is there.
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let number = ours.as_raw_fd();
        let lost = reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("b", &log)).unwrap();
        theirs.write_all(b"12").unwrap();
        assert_eq!(reactor.channel(lost).unwrap().recv(&mut [0; 8]).unwrap(), 2);
        close_behind_its_back(number);
        let (other, _other_peer) = UnixStream::pair().unwrap();
        let other = if other.as_raw_fd() == number { other.into() } else { at_number(&other, number) };
        let next = Channel::new(other).unwrap();
        let next = reactor.add_channel(next, Probe::new("c", &log)).unwrap();
        let keys: Vec<_> = reactor.channels().map(|channel| channel.key).collect();
        assert!(keys.len() == reactor.len() && keys[0] == lost && keys[1] == next, "{keys:?}");
        assert_eq!((reactor.stats().evictions, reactor.stats().received), (1, 2));
        pass(&mut reactor);
        assert_eq!((reactor.stats().evictions, reactor.stats().received), (2, 2));
        assert_eq!(numbers(reactor.channels()), [number]);
    }

    fn a_hot_set_asks_about_fewer<B>() {
        const CHANNELS: usize = 100;
        const PASSES: usize = 100;
        let scan = Scan::Forced { slice: 1 };
        let mut reactor = Reactor::builder().backend(B::default()).scan(scan).build();
        let log = Log::default();
        let mut peers: Vec<_> = (0..CHANNELS)
            .map(|_| {
                let (ours, theirs) = UnixStream::pair().unwrap();
                reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
                theirs
            })
            .collect();
        let asked = |reactor: &mut Reactor<B>, peers: &mut [UnixStream]| {
            let before = reactor.stats();
            for _ in 0..PASSES {
                peers[0].write_all(b"x").unwrap();
                assert_eq!(pass(reactor), 1);
            }
            let after = reactor.stats();
            assert_eq!(after.passes - before.passes, PASSES as u64);
            assert_eq!(after.handle_read - before.handle_read, PASSES as u64);
            assert_eq!(after.ready - before.ready, PASSES as u64);
            assert!(after.waits - before.waits > PASSES as u64, "a slice is a wait, too");
            after.descriptors - before.descriptors
        };
        asked(&mut reactor, &mut peers);
        // A slice of select is a word of its bitmap.
        let most = PASSES as u64 * (1 + 64) * 2;
        let asked = asked(&mut reactor, &mut peers);
        assert!((2 * PASSES as u64..most).contains(&asked), "{asked}");
    }

    fn every_channel_is_told_with_what_there_is_to_know<B>() {
        let mut reactor = reactor::<B>();
        assert_eq!(reactor.channels().count(), 0);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let listener = Channel::new(listener).unwrap();
        let (accepted, _) = listener.accept().unwrap().unwrap();
        let begun = Instant::now();
        let first = reactor.add_channel(accepted, Silent).unwrap();
        reactor.add_channel(listener, Silent).unwrap();
        let unconnected = Channel::create_socket(Family::Unix, Type::Stream).unwrap();
        let unconnected = reactor.add_channel(unconnected, Silent).unwrap();
        let connecting = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        let address = Address::Inet(client.peer_addr().unwrap());
        connecting.connect(&address).unwrap();
        let connecting = reactor.add_channel(connecting, Silent).unwrap();
        reactor.channel(unconnected).unwrap().close();

        let all = numbers(reactor.channels());
        assert!(all.is_sorted() && all.len() == 4 && reactor.len() == 4, "{all:?}");
        let find = |key: Key| reactor.channels().find(|channel| channel.key == key).unwrap();
        let channel = find(first.untyped());
        let peer = Address::Inet(client.local_addr().unwrap());
        assert_eq!((channel.state, channel.peer), (State::Connected, Some(&peer)));
        let channel = find(connecting.untyped());
        assert_eq!((channel.state, channel.peer), (State::Connecting, Some(&address)));
        let channel = find(unconnected.untyped());
        assert_eq!((channel.state, channel.peer), (State::Closed, None));
        let listening = reactor.channels().filter(|channel| channel.state == State::Listening);
        assert_eq!(listening.count(), 1);

        let age = |reactor: &Reactor<B>| reactor.channels().map(|channel| channel.age).max();
        let before = age(&reactor).unwrap();
        assert!(before <= begun.elapsed());
        reactor.poll(Some(Duration::from_millis(2))).unwrap();
        while age(&reactor).unwrap() < before + Duration::from_millis(2) {
            assert!(begun.elapsed() < PATIENCE, "nothing grows older");
        }
        // Who leaves and comes again begins anew.
        let (channel, silent) = reactor.del_channel(first).unwrap();
        let begun = Instant::now();
        let first = reactor.add_channel(channel, silent).unwrap();
        let again = reactor.channels().find(|channel| channel.key == first).unwrap();
        assert!(again.age <= begun.elapsed());
    }

    fn a_callback_finds_itself_among_the_others<B>() {
        let pairs = common::ascending_pairs::<3>();
        let (log, mut reactor) = (Log::default(), plain::<B>());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let expected: Vec<_> = pairs.iter().map(|(ours, _)| ours.as_raw_fd()).collect();
        let mut peers = Vec::new();
        for (ours, theirs) in pairs {
            let saw = Rc::clone(&seen);
            let probe = Probe::new("a", &log).on("read", move |cx| {
                let before = cx.stats();
                cx.recv(&mut [0; 8])?;
                cx.send(b"12")?;
                let own = cx.key();
                let after = cx.stats();
                assert_eq!((after.received - before.received, after.sent - before.sent), (3, 2));
                let found: Vec<_> = cx.channels().filter(|other| other.key == own).collect();
                assert_eq!((found.len(), found[0].received, found[0].sent), (1, 3, 2));
                saw.borrow_mut().push((after.handle_read, numbers(cx.channels())));
                Ok(())
            });
            reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            peers.push(theirs);
        }
        peers.iter_mut().for_each(|peer| peer.write_all(b"123").unwrap());
        assert_eq!(pass(&mut reactor), 3);
        let each = (1..=3).map(|reads| (reads, expected.clone()));
        assert_eq!(seen.take(), each.collect::<Vec<_>>());
        assert_eq!((reactor.stats().received, reactor.stats().sent), (9, 6));

        let saw = Rc::clone(&seen);
        reactor.call_later(Duration::ZERO, move |scope| {
            let stats = scope.stats();
            assert_eq!((stats.received, stats.sent, stats.timers), (9, 6, 1));
            saw.borrow_mut().push((stats.handle_read, numbers(scope.channels())));
        });
        while seen.borrow().is_empty() {
            reactor.poll(Some(PATIENCE)).unwrap();
        }
        assert_eq!(seen.take(), [(3, expected)]);
    }

    fn a_callback_that_adds_and_closes_others_finds_those_that_are_left<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let [(a, mut a_peer), (b, _b_peer)] = common::ascending_pairs();
        let (newcomer, _newcomer_peer) = UnixStream::pair().unwrap();
        let [own, gone, new] = [&a, &b, &newcomer].map(|socket| socket.as_raw_fd());
        let b = reactor.add_channel(Channel::new(b).unwrap(), Probe::new("b", &log)).unwrap();
        let mut newcomer = Some(Channel::new(newcomer).unwrap());
        let inner = log.clone();
        let probe = Probe::new("a", &log).on("read", move |cx| {
            assert_eq!(numbers(cx.channels()), [own, gone]);
            cx.close_channel(b);
            cx.add_channel(newcomer.take().unwrap(), Probe::new("c", &inner))?;
            let mut expected = [own, new];
            expected.sort_unstable();
            assert_eq!(numbers(cx.channels()), expected);
            cx.close();
            assert_eq!(numbers(cx.channels()), expected, "until the callback returns");
            Ok(())
        });
        reactor.add_channel(Channel::new(a).unwrap(), probe).unwrap();
        a_peer.write_all(b"x").unwrap();
        pass(&mut reactor);
        assert!(log.contains("a.drop"));
        assert_eq!(numbers(reactor.channels()), [new]);
    }

    fn nothing_is_allocated<B>() {
        let mut reactor = reactor::<B>();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("listener");
        let listener = UnixListener::bind(&path).unwrap();
        let mut peers = Vec::new();
        for _ in 0..50 {
            let ours = UnixStream::connect(&path).unwrap();
            peers.push(listener.accept().unwrap());
            reactor.add_channel(Channel::new(ours).unwrap(), Silent).unwrap();
        }
        let look = |stats: Stats, channels: &mut dyn Iterator<Item = asyncore::ChannelInfo<'_>>| {
            let peers = channels.filter(|channel| channel.peer.is_some() && channel.queued == 0);
            (stats.passes, peers.count())
        };
        let info = measure(|| {
            assert_eq!(look(reactor.stats(), &mut reactor.channels()).1, 50);
        });
        assert_eq!(info.count_total, 0, "{info:?}");
        let log = Log::default();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let probe = Probe::new("a", &log).on("read", move |cx| {
            let info = measure(|| {
                assert_eq!(look(cx.stats(), &mut cx.channels()).1, 51);
            });
            assert_eq!(info.count_total, 0, "{info:?}");
            cx.recv(&mut [0; 8]).map(drop)
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        theirs.write_all(b"x").unwrap();
        pass(&mut reactor);
        assert!(log.contains("a.read"));
    }
}
