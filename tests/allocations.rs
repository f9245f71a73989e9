//! Invariant I5: in steady state a pass allocates nothing. How many system calls it makes is
//! another suite's.

mod common;

use allocation_counter::measure;
use asyncore::{
    AsyncChat, Backend, Channel, Chat, ChatContext, Context, Dispatcher, Interest, Key, Reactor,
};
use common::{on_both_backends, reactor};
use std::{
    cell::Cell,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    rc::Rc,
    time::Duration,
};

/// How many connections; and how many passes are looked at, after as many to warm up.
const CONNECTIONS: usize = 100;
const PASSES: usize = 300;

struct Echo {
    writable: bool,
}

impl Dispatcher for Echo {
    fn writable(&self, _: &Channel) -> bool {
        self.writable
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 1024];
        loop {
            let count = cx.recv(&mut buffer)?;
            cx.push(&buffer[..count])?;
        }
    }

    fn handle_write(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Ok(())
    }
}

fn echo<B: Backend + Default>() -> (Reactor<B>, Vec<Key<Echo>>, Vec<UnixStream>) {
    let mut reactor = reactor::<B>();
    let connections = (0..CONNECTIONS).map(|_| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        (reactor.add_channel(channel, Echo { writable: false }).unwrap(), theirs)
    });
    let (keys, peers) = connections.unzip();
    (reactor, keys, peers)
}

#[track_caller]
fn assert_steady(mut pass: impl FnMut(usize)) {
    (0..PASSES).for_each(&mut pass);
    let info = measure(|| (0..PASSES).for_each(&mut pass));
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[track_caller]
fn served(reactor: &mut Reactor<impl Backend>, expected: usize) {
    assert_eq!(reactor.poll(Some(Duration::ZERO)).unwrap(), expected);
}

#[test]
fn an_allocation_is_noticed() {
    let info = measure(|| drop(std::hint::black_box(Box::new(std::hint::black_box(1)))));
    assert_eq!(info.count_total, 1, "{info:?}");
}

on_both_backends! {
    fn i05_an_echo_allocates_nothing<B>() {
        let (mut reactor, _keys, mut peers) = echo::<B>();
        assert_steady(|_| {
            peers.iter_mut().for_each(|peer| peer.write_all(&[b'x'; 700]).unwrap());
            served(&mut reactor, CONNECTIONS);
            peers.iter_mut().for_each(|peer| peer.read_exact(&mut [0; 700]).unwrap());
        });
    }

    fn i05_passes_with_changing_company_allocate_nothing<B>() {
        let (mut reactor, _keys, mut peers) = echo::<B>();
        assert_steady(|pass| {
            let some = || (pass % 7..CONNECTIONS).step_by(pass % 11 + 1);
            some().for_each(|index| peers[index].write_all(b"x").unwrap());
            served(&mut reactor, some().count());
            some().for_each(|index| peers[index].read_exact(&mut [0]).unwrap());
            served(&mut reactor, 0);
        });
    }

    fn i05_a_busy_few_among_many_allocate_nothing<B>() {
        let (mut reactor, _keys, mut peers) = echo::<B>();
        assert_steady(|pass| {
            // Others every so often, so that some are cold when they become busy.
            let first = pass / 40 % (CONNECTIONS - 3);
            let busy = &mut peers[first..first + 3];
            busy.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
            let mut served = 0;
            while served < busy.len() {
                served += reactor.poll(None).unwrap();
            }
            busy.iter_mut().for_each(|peer| peer.read_exact(&mut [0]).unwrap());
        });
    }

    /// Timeouts that move with the bytes, timers that are pending, and one due in each pass.
    fn i05_timers_and_timeouts_allocate_nothing<B>() {
        let (mut reactor, keys, mut peers) = echo::<B>();
        for (index, key) in keys.iter().enumerate() {
            let timeout = Duration::from_secs(3600 + index as u64);
            reactor.channel(*key).unwrap().set_timeout(Some(timeout));
        }
        let timers: Vec<_> =
            (0..100).map(|_| reactor.call_later(Duration::from_secs(3600), |_| {})).collect();
        let called = Rc::new(Cell::new(0));
        let count = Rc::clone(&called);
        reactor.call_every(Duration::ZERO, move |_| count.set(count.get() + 1));
        assert_steady(|pass| {
            peers.iter_mut().step_by(2).for_each(|peer| peer.write_all(b"x").unwrap());
            served(&mut reactor, CONNECTIONS / 2);
            peers.iter_mut().step_by(2).for_each(|peer| peer.read_exact(&mut [0]).unwrap());
            let delay = Duration::from_secs(3600 + pass as u64);
            assert!(reactor.reschedule(timers[pass % timers.len()], delay));
        });
        assert!(called.get() >= PASSES);
    }

    fn i05_changes_of_interest_allocate_nothing<B>() {
        let (mut reactor, keys, mut peers) = echo::<B>();
        assert_steady(|pass| {
            let on = pass % 2 == 0;
            for (index, (key, peer)) in keys.iter().zip(&mut peers).enumerate() {
                match index % 4 {
                    0 if on => assert!(reactor.pause(*key, Interest::READ)),
                    0 => assert!(reactor.resume(*key, Interest::all())),
                    1 => reactor.get_mut(*key).unwrap().writable = on,
                    2 => assert!(reactor.touch(*key)),
                    _ => peer.write_all(b"x").unwrap(),
                }
            }
            reactor.poll(Some(Duration::ZERO)).unwrap();
            for peer in peers.iter_mut().skip(3).step_by(4) {
                peer.read_exact(&mut [0]).unwrap();
            }
        });
    }

    fn i05_a_queue_that_fills_and_drains_allocates_nothing<B>() {
        let (mut reactor, keys, peers) = echo::<B>();
        let (key, mut peer) = (keys[0], &peers[0]);
        peer.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 20];
        assert_steady(|_| {
            let channel = reactor.channel(key).unwrap();
            while channel.queued() == 0 {
                channel.push(&[b'x'; 2048]).unwrap();
            }
            channel.push(&[b'x'; 2048]).unwrap();
            while reactor.channel(key).unwrap().queued() > 0 {
                while peer.read(&mut buffer).is_ok_and(|count| count > 0) {}
                reactor.poll(Some(Duration::ZERO)).unwrap();
            }
        });
    }

    fn i05_a_channel_that_streams_from_a_producer_allocates_nothing<B>() {
        let (mut reactor, keys, peers) = echo::<B>();
        let (key, mut peer) = (keys[0], &peers[0]);
        peer.set_nonblocking(true).unwrap();
        // Small pieces that are put together, and one that is more than is sent at once.
        let mut sizes = [100_usize, 20_000, 1, 100_000].into_iter().cycle();
        let channel = reactor.channel(key).unwrap();
        let endless = move |_: &Channel, out: &mut Vec<u8>| {
            out.resize(sizes.next().unwrap_or(1), b'x');
            Ok(())
        };
        channel.push_with_producer(endless).unwrap();
        channel.push(b"behind it").unwrap();
        let mut buffer = vec![0; 1 << 20];
        assert_steady(|_| {
            served(&mut reactor, 1);
            while peer.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
    }

    fn i05_a_chat_allocates_nothing<B>() {
        struct Lines(usize);
        impl AsyncChat for Lines {
            fn collect_incoming_data(
                &mut self,
                cx: &mut ChatContext<'_, '_>,
                data: &[u8],
            ) -> io::Result<()> {
                cx.push(data)
            }

            fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
                self.0 += 1;
                // A head, a body of a length, and so on.
                match self.0 % 3 {
                    1 => cx.set_terminator(3),
                    _ => cx.set_terminator("\r\n\r\n"),
                }
                cx.push(b"\n")
            }
        }
        let (mut reactor, _keys, _peers) = echo::<B>();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let chat = Chat::new(Lines(0), "\r\n\r\n");
        reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
        let input = b"head\r\n\r\n123\r\n\r\n";
        assert_steady(|pass| {
            // Terminators come in two parts, too.
            let (first, second) = input.split_at(pass % input.len());
            for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
                theirs.write_all(part).unwrap();
                served(&mut reactor, 1);
            }
            theirs.read_exact(&mut [0; 10]).unwrap();
        });
    }

    fn i05_an_idle_pass_and_a_wake_allocate_nothing<B>() {
        let (mut reactor, _keys, _peers) = echo::<B>();
        let remote = reactor.remote().unwrap();
        assert_steady(|_| {
            served(&mut reactor, 0);
            assert_eq!(reactor.poll(Some(Duration::from_micros(10))).unwrap(), 0);
            remote.wake().unwrap();
            assert_eq!(reactor.poll(None).unwrap(), 0);
        });
    }

    fn i05_asking_everybody_every_pass_allocates_nothing<B>() {
        let builder = Reactor::builder().backend(B::default()).ask_every_pass(true);
        let mut reactor = builder.build();
        let pairs = [(); CONNECTIONS].map(|()| UnixStream::pair().unwrap());
        let mut peers = pairs.map(|(ours, theirs)| {
            let channel = Channel::new(ours).unwrap();
            reactor.add_channel(channel, Echo { writable: false }).unwrap();
            theirs
        });
        assert_steady(|_| {
            peers[0].write_all(b"x").unwrap();
            served(&mut reactor, 1);
            peers[0].read_exact(&mut [0]).unwrap();
        });
    }
}
