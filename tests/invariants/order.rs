//! I4: everybody who is ready is served once per pass, in ascending order of the descriptors.

use crate::common::{Log, Probe, ascending_pairs, on_both_backends, pass, reactor};
use asyncore::{Channel, Interest};
use nix::sys::socket::{MsgFlags, send};
use std::{io::Write, os::fd::AsRawFd};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

on_both_backends! {
    /// Whatever the order in which they were added, removed and added again.
    fn i04_service_is_in_ascending_order_of_the_descriptors<B>() {
        for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let mut pairs = ascending_pairs::<6>().map(Some);
            let mut peers = Vec::new();
            let mut keys = Vec::new();
            for index in order {
                let (ours, mut theirs) = pairs[index].take().unwrap();
                theirs.write_all(b"x").unwrap();
                let probe = Probe::new(NAMES[index], &log);
                keys.push(reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap());
                peers.push(theirs);
            }
            let (channel, probe) = reactor.del_channel(keys[1]).unwrap();
            reactor.add_channel(channel, probe).unwrap();
            assert_eq!(pass(&mut reactor), 6);
            assert_eq!(log.take(), NAMES.map(|name| format!("{name}.read x")));
        }
    }

    fn i04_the_events_of_one_channel_come_together<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut urgent = true;
        let mut peers = Vec::new();
        for ((ours, mut theirs), name) in ascending_pairs::<2>().into_iter().zip(NAMES) {
            theirs.write_all(b"x").unwrap();
            urgent &= send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).is_ok();
            let probe = Probe::new(name, &log).writable(true);
            reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            peers.push(theirs);
        }
        assert_eq!(pass(&mut reactor), 2);
        let expected: Vec<_> = ["a", "b"]
            .into_iter()
            .flat_map(|name| ["read x", "write", "expt"].map(|event| format!("{name}.{event}")))
            .filter(|entry| urgent || !entry.ends_with("expt"))
            .collect();
        assert_eq!(log.take(), expected);
    }

    fn i04_nobody_starves_beside_those_who_are_always_ready<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut peers = Vec::new();
        for ((ours, mut theirs), name) in ascending_pairs::<6>().into_iter().zip(NAMES) {
            // One byte of many at a time: it stays ready.
            theirs.write_all(&[b'x'; 100]).unwrap();
            let probe = Probe::new(name, &log).writable(true);
            let probe = probe.on("read", |cx| cx.recv(&mut [0]).map(drop));
            reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            peers.push(theirs);
        }
        let one_pass = NAMES.map(|name| [format!("{name}.read"), format!("{name}.write")]);
        for _ in 0..50 {
            assert_eq!(pass(&mut reactor), 6);
            assert_eq!(log.take(), one_pass.concat());
        }
    }

    fn i04_who_makes_himself_ready_is_served_once_per_pass<B>() {
        let [(ours, mut theirs), _] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        theirs.write_all(b"x").unwrap();
        let probe = Probe::new("a", &log).on("read", move |cx| {
            cx.recv(&mut [0; 8])?;
            theirs.write_all(b"x")
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        for _ in 0..10 {
            assert_eq!(pass(&mut reactor), 1);
            assert_eq!(log.take(), ["a.read"]);
        }
    }

    fn i04_the_mask_is_asked_again_between_the_events<B>() {
        let [(ours, mut theirs), _] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        theirs.write_all(b"x").unwrap();
        let probe = Probe::new("a", &log).writable(true).on("read", |cx| {
            cx.recv(&mut [0; 8])?;
            cx.pause(Interest::WRITE);
            Ok(())
        });
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.read"]);
        reactor.resume(key, Interest::WRITE);
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.write"]);
    }
}
