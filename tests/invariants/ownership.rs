//! I1: the reactor owns every descriptor it watches. I2: a key names one channel for ever. I12: a
//! single thread, but for the remote handle.

use crate::common::{Log, Probe, on_both_backends, pass, reactor};
use asyncore::{Channel, Context, Dispatcher, Key, Reactor, Remote, file_dispatcher};
use nix::fcntl::{FcntlArg, fcntl};
use std::{
    collections::HashSet,
    io::{Read, Write, pipe},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

/// Compiles only if a type is not `Into<OwnedFd>`: if it is, two traits have what is asked for.
trait NotOwned<Which> {
    fn check() {}
}
impl<T> NotOwned<()> for T {}
impl<T: Into<OwnedFd>> NotOwned<u8> for T {}

/// I1: what is only a number, or only borrowed, does not become a channel.
const _: fn() = || {
    <RawFd as NotOwned<_>>::check();
    <BorrowedFd<'static> as NotOwned<_>>::check();
    <&'static UnixStream as NotOwned<_>>::check();
};

/// The same for types that must not cross threads.
trait NotSend<Which> {
    fn check() {}
}
impl<T> NotSend<()> for T {}
impl<T: Send> NotSend<u8> for T {}

/// I12.
const _: fn() = || {
    fn crosses_threads<T: Send + Sync + Clone + 'static>() {}
    crosses_threads::<Remote>();
    <Context<'static> as NotSend<_>>::check();
    <Reactor as NotSend<_>>::check();
};

on_both_backends! {
    fn i01_the_reactor_closes_what_it_owns_with_itself<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut peers = Vec::new();
        for _ in 0..3 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
            peers.push(theirs);
        }
        drop(reactor);
        assert_eq!(log.take(), ["a.drop"; 3]);
        for mut peer in peers {
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
    }

    fn i01_what_was_borrowed_is_dup_ed_and_stays_its_owners<B>() {
        let (reader, mut writer) = pipe().unwrap();
        let mut reactor = reactor::<B>();
        let channel = file_dispatcher(&reader).unwrap();
        assert_ne!(channel.as_fd().as_raw_fd(), reader.as_raw_fd());
        reactor.add_channel(channel, Probe::new("a", &Log::default())).unwrap();
        drop(reactor);
        fcntl(&reader, FcntlArg::F_GETFD).unwrap();
        writer.write_all(b"x").unwrap();
        assert_eq!((&reader).read(&mut [0; 8]).unwrap(), 1);
    }

    fn i01_what_is_taken_out_is_its_takers<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key =
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        let (channel, probe) = reactor.del_channel(key).unwrap();
        drop((reactor, probe));
        let mut ours = UnixStream::from(channel.into_fd().unwrap());
        ours.write_all(b"x").unwrap();
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 1);
    }

    fn i02_a_key_finds_its_channel_and_knows_its_type<B>() {
        struct Other;
        impl Dispatcher for Other {}
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key =
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        let untyped: Key = key.into();
        assert_eq!(key, untyped);
        assert_eq!(HashSet::from([untyped, key.untyped()]).len(), 1);
        assert!(reactor.get(key).is_some() && reactor.get_mut(key).is_some());
        assert!(reactor.channel(untyped).is_some() && reactor.touch(untyped));

        // A key of the wrong type finds the channel, but no such dispatcher, and takes nobody out.
        let wrong: Key<Other> = untyped.typed();
        assert!(reactor.get(wrong).is_none() && reactor.get_mut(wrong).is_none());
        assert!(reactor.del_channel(wrong).is_none());
        assert!(reactor.get(untyped.typed::<Probe>()).is_some());
        assert_eq!(reactor.len(), 1);
    }

    fn i02_the_key_of_another_reactor_finds_nothing<B>() {
        let (log, mut first, mut second) = (Log::default(), reactor::<B>(), reactor::<B>());
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let number = ours.as_raw_fd();
        let key = first.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        // The same number in the other reactor, as far as that is possible.
        let (channel, probe) = first.del_channel(key).unwrap();
        assert_eq!(channel.as_fd().as_raw_fd(), number);
        let other = second.add_channel(channel, probe).unwrap();
        assert_ne!(key, other);
        assert!(second.get(key).is_none() && !second.touch(key) && !second.close_channel(key));
        assert!(first.get(other).is_none() && !first.close_channel(other));
        assert_eq!(second.len(), 1);
    }

    fn i12_one_process_may_have_a_reactor_on_every_thread<B>() {
        let threads = [(); 4].map(|()| {
            std::thread::spawn(|| {
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let (log, mut reactor) = (Log::default(), reactor::<B>());
                reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
                theirs.write_all(b"x").unwrap();
                pass(&mut reactor);
                assert_eq!(log.take(), ["a.read x"]);
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
