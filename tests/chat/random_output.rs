//! Whatever is pushed, by whomever, goes out in the order in which it was queued.

use crate::common::{Log, Probe, on_both_backends, reactor, read_available};
use asyncore::{Backend, Channel};
use nix::sys::socket::{setsockopt, sockopt::SndBuf};
use proptest::{collection::vec, prelude::*, test_runner::Config};
use std::{cell::RefCell, io, os::unix::net::UnixStream, rc::Rc, time::Duration};

/// What is done to the channel from outside.
#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Produce(Vec<Turn>),
    Pass,
    Read,
}

/// What a producer does when it is asked.
#[derive(Debug, Clone)]
enum Turn {
    Make(usize),
    MakeInterrupted(usize),
    MakeAndPush(usize, usize),
    MakeAndProduce(usize, Vec<usize>),
}

impl Turn {
    fn made(&self) -> usize {
        match self {
            Self::Make(made) | Self::MakeInterrupted(made) => *made,
            Self::MakeAndPush(made, _) | Self::MakeAndProduce(made, _) => *made,
        }
    }
}

/// Everything in the order in which it was queued; a producer as all that it will make.
#[derive(Default, Clone)]
struct Queued(Rc<RefCell<Vec<u8>>>);

impl Queued {
    /// The next so many bytes: each is told from its neighbours.
    fn next(&self, count: usize) -> Vec<u8> {
        let mut queued = self.0.borrow_mut();
        let from = queued.len();
        let bytes: Vec<_> = (from..from + count).map(|n| (n % 251) as u8).collect();
        queued.extend_from_slice(&bytes);
        bytes
    }

    fn push(&self, channel: &Channel, count: usize) -> io::Result<()> {
        channel.push(&self.next(count))
    }

    fn produce(&self, channel: &Channel, turns: Vec<Turn>) -> io::Result<()> {
        let mut bytes = self.next(turns.iter().map(Turn::made).sum());
        let (queued, mut turns) = (self.clone(), turns.into_iter());
        channel.push_with_producer(move |channel: &Channel, out: &mut Vec<u8>| {
            let Some(turn) = turns.next() else { return Ok(()) };
            out.extend(bytes.drain(..turn.made()));
            match turn {
                Turn::Make(_) => {}
                Turn::MakeInterrupted(_) => return Err(io::ErrorKind::Interrupted.into()),
                Turn::MakeAndPush(_, count) => queued.push(channel, count)?,
                Turn::MakeAndProduce(_, made) => {
                    queued.produce(channel, made.into_iter().map(Turn::Make).collect())?;
                }
            }
            Ok(())
        })
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sizes = || prop_oneof![4 => 1_usize..100, 2 => 1_usize..20_000, 1 => 60_000_usize..70_000];
    let turn = prop_oneof![
        4 => sizes().prop_map(Turn::Make),
        1 => (0_usize..100).prop_map(Turn::MakeInterrupted),
        1 => (sizes(), sizes()).prop_map(|(made, pushed)| Turn::MakeAndPush(made, pushed)),
        1 => (sizes(), vec(sizes(), 0..4)).prop_map(|(made, more)| Turn::MakeAndProduce(made, more)),
    ];
    let step = prop_oneof![
        3 => sizes().prop_map(Step::Push),
        3 => vec(turn, 0..6).prop_map(Step::Produce),
        2 => Just(Step::Pass),
        1 => Just(Step::Read),
    ];
    vec(step, 1..20)
}

fn check<B: Backend + Default>(steps: &[Step]) {
    let (ours, peer) = UnixStream::pair().unwrap();
    // A small one: it is full most of the time.
    setsockopt(&ours, SndBuf, &4096).unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut reactor = reactor::<B>();
    let probe = Probe::new("a", &Log::default());
    let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
    let (queued, mut received) = (Queued::default(), Vec::new());
    for step in steps {
        let channel = reactor.channel(key).unwrap();
        match step {
            Step::Push(count) => queued.push(channel, *count).unwrap(),
            Step::Produce(turns) => queued.produce(channel, turns.clone()).unwrap(),
            Step::Pass => drop(reactor.poll(Some(Duration::ZERO)).unwrap()),
            Step::Read => assert!(!read_available(&peer, &mut received)),
        }
    }
    for _ in 0..100_000 {
        if !reactor.channel(key).unwrap().has_output() {
            break;
        }
        reactor.poll(Some(Duration::ZERO)).unwrap();
        read_available(&peer, &mut received);
    }
    read_available(&peer, &mut received);
    assert_eq!(reactor.channel(key).unwrap().queued(), 0);
    assert!(received == *queued.0.borrow(), "lost, doubled or swapped");
}

on_both_backends! {
    fn it_goes_out_in_the_order_in_which_it_was_queued<B>() {
        proptest!(Config::with_cases(200), |(steps in steps())| check::<B>(&steps));
    }
}
