//! `DispatcherWithSendTests`: what is pushed arrives, whole and in order.

use crate::common::{
    HangGuard, Log, Probe,
    families::{accept_from, connecting_to, listener, on_every_family},
    poll_until, reactor, read_available,
};
use std::{io::Read, time::Duration};

on_every_family! {
    /// Before the connection is there; and more than its buffers hold, to a peer that reads a
    /// little at a time.
    fn send<B>(family: Family) {
        let (listener, place) = listener(family);
        let channel = connecting_to(&place.address);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false);
        let key = reactor.add_channel(channel, probe).unwrap();
        let data = b"Suppose there isn't a 16-ton weight?";
        let channel = reactor.channel(key).unwrap();
        channel.push(data).unwrap();
        channel.push(data).unwrap();
        channel.push(b"\n").unwrap();
        assert_eq!(channel.queued(), 2 * data.len() + 1);

        let (peer, _) = accept_from(&listener);
        let mut received = Vec::new();
        poll_until(&mut reactor, || {
            read_available(&peer, &mut received);
            received.ends_with(b"\n")
        });
        assert_eq!(received, [&data[..], data, b"\n"].concat());
        assert_eq!(reactor.channel(key).unwrap().queued(), 0);
        assert_eq!(log.take(), ["a.connect"]);

        // Every byte is told from its neighbours.
        let lots: Vec<u8> = (0..8 << 20).map(|n: u32| (n % 251) as u8).collect();
        for part in lots.chunks(1 << 20) {
            reactor.channel(key).unwrap().push(part).unwrap();
        }
        assert!((1..lots.len()).contains(&reactor.channel(key).unwrap().queued()));
        let (mut received, mut piece) = (Vec::new(), vec![0; 10_000]);
        let _guard = HangGuard::new();
        while received.len() < lots.len() {
            if let Ok(count) = (&peer).read(&mut piece) {
                received.extend_from_slice(&piece[..count]);
            }
            // More often than not there is no room.
            reactor.poll(Some(Duration::ZERO)).unwrap();
        }
        assert!(received == lots);
        assert_eq!(reactor.channel(key).unwrap().queued(), 0);
        assert_eq!(log.take(), [""; 0]);
    }
}
