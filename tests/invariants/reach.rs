//! I11: a callback may do anything to any channel.

use crate::common::{
    Log, Probe, ascending_pairs, assert_quiet, on_both_backends, pass, poll_until, reactor, run_out,
};
use asyncore::{Channel, Context, Dispatcher, Interest, Key, State};
use std::{
    cell::Cell,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    rc::Rc,
};

/// Counts what others tell it.
struct Counter {
    told: u32,
}

impl Dispatcher for Counter {
    fn writable(&self, _: &Channel) -> bool {
        false
    }
}

on_both_backends! {
    fn i11_a_callback_reaches_another_dispatcher_by_its_typed_key<B>() {
        let [(ours_a, mut peer_a), (ours_b, _peer_b)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = Channel::new(ours_b).unwrap();
        let counter = reactor.add_channel(channel, Counter { told: 0 }).unwrap();
        let probe = Probe::new("a", &log).on("read", move |cx| {
            let count = cx.recv(&mut [0; 64])? as u32;
            cx.get_mut(counter).unwrap().told += count;
            assert_eq!(cx.get(counter).unwrap().told, 3);
            Ok(())
        });
        reactor.add_channel(Channel::new(ours_a).unwrap(), probe).unwrap();
        peer_a.write_all(b"abc").unwrap();
        pass(&mut reactor);
        assert_eq!(reactor.get(counter).unwrap().told, 3);
    }

    /// It is running, so nobody else can have it; nothing panics.
    fn i11_a_callback_does_not_find_itself_but_its_channel<B>() {
        struct Narcissus(Log);
        impl Dispatcher for Narcissus {
            fn writable(&self, _: &Channel) -> bool {
                false
            }
            fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
                let mine: Key<Self> = cx.key().typed();
                assert!(cx.get(mine).is_none() && cx.get_mut(mine).is_none());
                assert!(cx.del_channel(mine).is_none());
                assert!(cx.touch(mine));
                let mut bytes = [0; 8];
                let count = cx.channel(mine).unwrap().recv(&mut bytes)?;
                self.0.push(bytes[..count].escape_ascii().to_string());
                Ok(())
            }
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let narcissus = Narcissus(log.clone());
        let key = reactor.add_channel(Channel::new(ours).unwrap(), narcissus).unwrap();
        for word in ["one", "two"] {
            theirs.write_all(word.as_bytes()).unwrap();
            pass(&mut reactor);
            assert_eq!(log.take(), [word]);
        }
        assert!(reactor.get(key).is_some());
    }

    fn i11_a_callback_sends_pauses_and_resumes_elsewhere<B>() {
        let [(ours_a, mut peer_a), (ours_b, mut peer_b)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("b", &log);
        let b = reactor.add_channel(Channel::new(ours_b).unwrap(), probe).unwrap();
        reactor.pause(b, Interest::all());
        let probe = Probe::new("a", &log).on("read", move |cx| {
            let mut command = [0];
            cx.recv(&mut command)?;
            let b = cx.channel(b).unwrap();
            match command[0] {
                b'r' => b.resume(Interest::READ),
                b'p' => b.pause(Interest::READ),
                _ => b.push(b"hello")?,
            }
            Ok(())
        });
        reactor.add_channel(Channel::new(ours_a).unwrap(), probe).unwrap();
        peer_b.write_all(b"x").unwrap();
        for (command, expected) in
            [("s", &["a.read"][..]), ("r", &["a.read", "b.read x"]), ("p", &["a.read"])]
        {
            peer_a.write_all(command.as_bytes()).unwrap();
            poll_until(&mut reactor, || log.contains("a.read"));
            reactor.poll(Some(std::time::Duration::ZERO)).unwrap();
            assert_eq!(log.take(), expected);
        }
        assert_eq!(reactor.channel(b).unwrap().queued(), 5);
        reactor.resume(b, Interest::WRITE);
        reactor.poll(None).unwrap();
        let mut bytes = [0; 5];
        peer_b.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        peer_b.write_all(b"y").unwrap();
        assert_quiet(&mut reactor);
    }

    fn i11_a_callback_makes_another_channel_close_with_a_handle_close<B>() {
        let [(ours_a, mut peer_a), (ours_b, mut peer_b)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("b", &log);
        let b = reactor.add_channel(Channel::new(ours_b).unwrap(), probe).unwrap();
        let probe = Probe::new("a", &log).on("read", move |cx| {
            cx.recv(&mut [0; 8])?;
            let b = cx.channel(b).unwrap();
            b.push(b"bye")?;
            b.close_when_sent();
            Ok(())
        });
        reactor.add_channel(Channel::new(ours_a).unwrap(), probe).unwrap();
        peer_a.write_all(b"x").unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.read"]);
        // Without any event.
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["b.close", "b.drop"]);
        let mut bytes = Vec::new();
        peer_b.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"bye");
    }

    fn i11_every_callback_may_add_and_close<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let peers = Rc::new(Cell::new(Vec::new()));
        for event in ["read", "write", "close", "error"] {
            let [(ours, mut theirs), (victim, mut victim_peer)] = ascending_pairs();
            let key = reactor.add_channel(Channel::new(victim).unwrap(), Probe::new("v", &log));
            let (key, kept, children) = (key.unwrap(), Rc::clone(&peers), log.clone());
            let mut probe = Probe::new("a", &log).writable(event == "write");
            if event == "error" {
                probe = probe.on("read", |_| Err(io::Error::other("oh")));
            }
            let probe = probe.on(event, move |cx| {
                assert!(cx.close_channel(key));
                let (fresh, mut fresh_peer) = UnixStream::pair()?;
                fresh_peer.write_all(b"x")?;
                let fresh = cx.add_channel(Channel::new(fresh)?, Probe::new("n", &children))?;
                assert_eq!(cx.channel(fresh).unwrap().state(), State::Connected);
                let mut peers = kept.take();
                peers.push(fresh_peer);
                kept.set(peers);
                cx.close();
                Ok(())
            });
            reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            theirs.write_all(b"x").unwrap();
            drop(theirs);
            poll_until(&mut reactor, || log.contains("a.drop"));
            poll_until(&mut reactor, || log.contains("n.read x"));
            let entries = log.take();
            let end = ["v.drop", "a.drop", "n.read x"];
            assert_eq!(entries[entries.len() - 3..], end, "{event}");
            assert_eq!(victim_peer.read(&mut [0]).unwrap(), 0);
        }
        drop(peers.take());
        run_out(&mut reactor);
    }

    fn i11_a_dispatcher_moves_to_another_channel<B>() {
        let [(ours_a, mut peer_a), (ours_b, mut peer_b)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let a = reactor.add_channel(Channel::new(ours_a).unwrap(), Probe::new("a", &log)).unwrap();
        let (channel, probe) = reactor.del_channel(a).unwrap();
        drop(channel);
        assert_eq!(peer_a.read(&mut [0]).unwrap(), 0);
        reactor.add_channel(Channel::new(ours_b).unwrap(), probe).unwrap();
        peer_b.write_all(b"x").unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.read x"]);
    }

    /// Dispatchers own others' keys, and drops may run in any order.
    fn i11_a_ring_of_channels_that_close_each_other_ends<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut peers = Vec::new();
        let next = [(); 5].map(|()| Rc::new(Cell::new(None::<Key<Probe>>)));
        let mut keys = Vec::new();
        for (index, (ours, mut theirs)) in ascending_pairs::<5>().into_iter().enumerate() {
            theirs.write_all(b"x").unwrap();
            peers.push(theirs);
            let next = Rc::clone(&next[index]);
            let probe = Probe::new("a", &log).on("read", move |cx| {
                cx.close_channel(next.get().unwrap());
                Ok(())
            });
            keys.push(reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap());
        }
        for (index, next) in next.iter().enumerate() {
            next.set(Some(keys[(index + 1) % 5]));
        }
        pass(&mut reactor);
        // The first closes the second, the third the fourth, and the fifth the first.
        let expected = ["a.read", "a.drop"].repeat(3);
        assert_eq!(log.take(), expected);
        assert_eq!(reactor.len(), 2);
    }
}
