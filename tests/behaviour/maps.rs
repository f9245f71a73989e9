//! Rows B78 and B79: a reactor's own channels. The first error of `close_all` is in the suite
//! `lost_numbers`.

use crate::common::{
    Log, Probe, ascending_pairs, on_both_backends, pass, poll_until, reactor, wait_for,
};
use asyncore::Channel;
use nix::poll::PollFlags;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
};

on_both_backends! {
    fn b78_close_all_closes_everything_without_a_callback<B>() {
        let mut pairs = ascending_pairs::<5>();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut keys = Vec::new();
        for (ours, theirs) in &mut pairs {
            theirs.write_all(b"x").unwrap();
            let channel = Channel::new(ours.try_clone().unwrap()).unwrap();
            keys.push(reactor.add_channel(channel, Probe::new("a", &log)).unwrap());
        }
        let mut peers = pairs.map(|(_, theirs)| theirs);
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.read x"; 5]);
        reactor.close_all().unwrap();
        assert_eq!(log.take(), ["a.drop"; 5]);
        assert!(reactor.is_empty());
        for peer in &mut peers {
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
        assert!(keys.iter().all(|key| !reactor.close_channel(*key)));
        reactor.close_all().unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), [""; 0]);
    }

    fn b78_the_reactor_can_be_used_after_close_all<B>() {
        let [(before, _before_peer), (after, mut after_peer)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(before).unwrap(), Probe::new("a", &log)).unwrap();
        reactor.close_all().unwrap();
        reactor.add_channel(Channel::new(after).unwrap(), Probe::new("b", &log)).unwrap();
        after_peer.write_all(b"x").unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.drop", "b.read x"]);
    }

    fn b78_dropping_the_reactor_closes_everything_without_a_callback<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        drop(reactor);
        assert_eq!(log.take(), ["a.drop"]);
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    }

    fn b79_children_belong_to_the_reactor_of_their_parent<B>() {
        let log = Log::default();
        let [(mut first, address), (mut second, _)] = [(); 2].map(|()| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let (children, mut reactor) = (log.clone(), reactor::<B>());
            let probe = Probe::new("a", &log).on_accepted(move |cx, channel, _| {
                cx.add_channel(channel, Probe::new("b", &children)).map(drop)
            });
            reactor.add_channel(Channel::new(listener).unwrap(), probe).unwrap();
            (reactor, address)
        });
        let mut client = TcpStream::connect(address).unwrap();
        poll_until(&mut first, || log.contains("a.accepted"));
        assert_eq!((first.len(), second.len()), (2, 1));
        client.write_all(b"x").unwrap();
        wait_for(&client, PollFlags::POLLOUT);
        crate::common::assert_quiet(&mut second);
        poll_until(&mut first, || log.contains("b.read x"));
        assert_eq!(log.take(), ["a.accepted", "b.read x"]);
        second.close_all().unwrap();
        assert_eq!((first.len(), second.len()), (2, 0));
    }
}
