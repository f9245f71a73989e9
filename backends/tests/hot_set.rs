//! What a hot set spares, what it does not lose, and that it notices when the activity changes.
//!
//! How many descriptors the kernel is asked about is counted, not timed.
#![cfg(all(target_os = "linux", any(feature = "poll", feature = "select")))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Event, HotSet, Interest, Scan};
use common::*;
use std::{
    cell::Cell,
    collections::BTreeSet,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

on_each_bare_backend! {
    the_busy_few_are_found_without_asking_about_the_others,
    the_busy_few_may_take_turns,
    activity_that_moves_costs_no_more_than_without,
    it_follows_every_change_between_moving_and_staying,
    who_is_cold_is_noticed_while_others_are_busy,
    who_is_cold_is_noticed_when_the_busy_are_quiet,
    a_look_looks_at_everything,
    a_pinned_descriptor_is_noticed_with_the_busy_ones,
    no_more_than_half_are_hot_but_for_the_pinned,
    more_than_half_are_busy_and_everyone_is_told_of,
    who_is_found_by_chance_is_cold_again_in_time,
    few_are_probed_while_several_are_ready_at_once,
    few_that_talk_one_at_a_time_are_not_probed,
    a_plain_scan_asks_about_everything_once,
    parts_add_up_to_everything,
}

thread_local! {
    /// How many descriptors were asked about.
    static ASKED: Cell<usize> = const { Cell::new(0) };
    /// How many are watched, those that are hot twice.
    static WATCHED: Cell<usize> = const { Cell::new(0) };
}

fn asked_in<R>(work: impl FnOnce() -> R) -> usize {
    ASKED.set(0);
    work();
    ASKED.get()
}

/// A backend that counts.
#[derive(Debug, Default)]
struct Counting<B> {
    inner: B,
    wanted: BTreeSet<RawFd>,
}

impl<B: Backend> Backend for Counting<B> {
    const NAME: &'static str = B::NAME;
    const FD_LIMIT: Option<RawFd> = B::FD_LIMIT;

    fn add(&mut self, fd: RawFd, interest: Interest) -> io::Result<()> {
        WATCHED.set(WATCHED.get() + usize::from(self.wanted.insert(fd)));
        self.inner.add(fd, interest)
    }

    fn modify(&mut self, fd: RawFd, interest: Interest) {
        self.inner.modify(fd, interest);
    }

    fn remove(&mut self, fd: RawFd) {
        WATCHED.set(WATCHED.get() - usize::from(self.wanted.remove(&fd)));
        self.inner.remove(fd);
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Event>) -> io::Result<()> {
        // A wait that blocks asks twice.
        let times = if timeout == Some(Duration::ZERO) { 1 } else { 2 };
        ASKED.set(ASKED.get() + times * self.wanted.len());
        self.inner.wait(timeout, ready)
    }

    fn look(&mut self, position: usize, most: usize, ready: &mut Vec<Event>) -> io::Result<usize> {
        ASKED.set(ASKED.get() + most.min(self.wanted.len()));
        self.inner.look(position, most, ready)
    }
}

/// So many pairs of sockets, the first ends watched for reading.
struct Pairs<B> {
    pairs: Vec<(UnixStream, UnixStream)>,
    backend: HotSet<Counting<B>>,
    ready: Vec<Event>,
}

const MANY: usize = 800;

/// No test waits longer than this for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

impl<B: Backend> Pairs<B> {
    fn new(scan: Scan) -> Self {
        Self::of(MANY, scan)
    }

    fn of(count: usize, scan: Scan) -> Self {
        let pairs: Vec<_> = (0..count).map(|_| pair()).collect();
        let mut backend = HotSet::new(Counting::default(), scan);
        for (ours, _) in &pairs {
            backend.add(ours.as_raw_fd(), READ).unwrap();
        }
        Self { pairs, backend, ready: Vec::new() }
    }

    fn send(&self, index: usize) {
        (&self.pairs[index].1).write_all(b"x").unwrap();
    }

    /// One wait; reads what is ready, and says of whom that was.
    fn wait(&mut self) -> Vec<usize> {
        self.wait_within(Some(PATIENCE))
    }

    fn wait_within(&mut self, timeout: Option<Duration>) -> Vec<usize> {
        self.backend.wait(timeout, &mut self.ready).unwrap();
        assert!(!self.ready.is_empty(), "nothing came");
        assert!(self.ready.is_sorted_by_key(|event| event.fd));
        let index = |event: &Event| {
            self.pairs.iter().position(|(ours, _)| ours.as_raw_fd() == event.fd).unwrap()
        };
        let mut found: Vec<usize> = self.ready.iter().map(index).collect();
        // The numbers need not ascend as the pairs do.
        found.sort_unstable();
        for &index in &found {
            (&self.pairs[index].0).read_exact(&mut [0]).unwrap();
        }
        found
    }

    /// The same one is ready again and again.
    fn stays(&mut self, waits: usize) -> usize {
        asked_in(|| {
            for _ in 0..waits {
                self.send(7);
                assert_eq!(self.wait(), [7]);
            }
        })
    }

    /// The same one is ready again and again, until a look at the others tells of `cold`.
    fn finds(&mut self, cold: usize) {
        loop {
            self.send(7);
            if self.wait().contains(&cold) {
                return;
            }
        }
    }

    /// It is another one each time, of all.
    fn moves(&mut self, waits: usize) -> usize {
        self.takes_turns(MANY, waits)
    }

    /// It is another one each time, of so many.
    fn takes_turns(&mut self, of: usize, waits: usize) -> usize {
        asked_in(|| {
            for step in 0..waits {
                let index = step * 7 % of;
                self.send(index);
                assert_eq!(self.wait(), [index]);
            }
        })
    }
}

fn the_busy_few_are_found_without_asking_about_the_others<B: Backend>() {
    let mut pairs = Pairs::<B>::new(Scan::Adaptive);
    pairs.stays(2000);
    let asked = pairs.stays(2000);
    assert!(asked < 2000 * MANY / 8, "{asked} were asked about");
}

fn the_busy_few_may_take_turns<B: Backend>() {
    let mut pairs = Pairs::<B>::new(Scan::Adaptive);
    pairs.takes_turns(MANY / 5, 3000);
    let asked = pairs.takes_turns(MANY / 5, 2000);
    // A fifth of all is asked about each time, twice where it waits.
    assert!(asked < 2000 * MANY / 2, "{asked} were asked about");
}

fn activity_that_moves_costs_no_more_than_without<B: Backend>() {
    let mut pairs = Pairs::<B>::new(Scan::Adaptive);
    pairs.moves(1000);
    let asked = pairs.moves(4000);
    // All of them are ready when asked, so the second half of a wait that blocks is not needed.
    assert!(asked < 4000 * 2 * MANY * 105 / 100, "{asked} were asked about");
}

fn it_follows_every_change_between_moving_and_staying<B: Backend>() {
    let mut pairs = Pairs::<B>::new(Scan::Adaptive);
    for _ in 0..3 {
        pairs.moves(1500);
        pairs.stays(1500);
        let asked = pairs.stays(500);
        assert!(asked < 500 * MANY / 4, "it stayed, and {asked} were asked about");
        let asked = pairs.moves(1500);
        assert!(asked < 1500 * 2 * MANY * 105 / 100, "it moved, and {asked} were asked about");
    }
}

fn who_is_cold_is_noticed_while_others_are_busy<B: Backend>() {
    // With slices of one it takes a wait for each, and a few until everybody is cold.
    let mut pairs = Pairs::<B>::new(Scan::Forced { slice: 1 });
    for cold in [0, MANY / 2, MANY - 1] {
        pairs.stays(100);
        pairs.send(cold);
        let mut waits = 0;
        loop {
            pairs.send(7);
            let found = pairs.wait();
            assert!(found.contains(&7), "the busy one is always found");
            if found.contains(&cold) {
                break;
            }
            waits += 1;
            // select looks at whole words.
            assert!(waits <= MANY + 64, "nobody looked at {cold}");
        }
    }
    // The same with what is learnt: it takes as long as it takes, but it comes.
    let mut pairs = Pairs::<B>::new(Scan::Adaptive);
    pairs.stays(3000);
    pairs.send(MANY - 1);
    pairs.finds(MANY - 1);
}

fn who_is_cold_is_noticed_when_the_busy_are_quiet<B: Backend>() {
    for scan in [Scan::Adaptive, Scan::Forced { slice: 1 }] {
        let mut pairs = Pairs::<B>::new(scan);
        pairs.stays(1000);
        pairs.send(MANY - 1);
        assert_eq!(pairs.wait(), [MANY - 1]);
    }
}

fn a_look_looks_at_everything<B: Backend>() {
    let mut pairs = Pairs::<B>::new(Scan::Forced { slice: 1 });
    pairs.stays(100);
    for index in 0..MANY {
        pairs.send(index);
    }
    pairs.backend.wait(Some(Duration::ZERO), &mut pairs.ready).unwrap();
    assert_eq!(pairs.ready.len(), MANY);
}

fn a_pinned_descriptor_is_noticed_with_the_busy_ones<B: Backend>() {
    let mut pairs = Pairs::<B>::new(Scan::Forced { slice: 1 });
    pairs.backend.pin(pairs.pairs[MANY - 1].0.as_raw_fd(), true);
    pairs.stays(100);
    pairs.send(MANY - 1);
    pairs.send(7);
    assert_eq!(pairs.wait(), [7, MANY - 1]);
}

fn no_more_than_half_are_hot_but_for_the_pinned<B: Backend>() {
    WATCHED.set(0);
    let mut pairs = Pairs::<B>::new(Scan::Adaptive);
    let most = MANY + MANY / 2;
    assert_eq!(WATCHED.get(), most, "newcomers");
    for _ in 0..3 {
        (0..MANY).for_each(|index| pairs.send(index));
        assert_eq!(pairs.wait().len(), MANY);
        assert_eq!(WATCHED.get(), most, "all are busy");
    }
    // The pinned need no room.
    for (ours, _) in &pairs.pairs {
        pairs.backend.pin(ours.as_raw_fd(), true);
    }
    assert_eq!(WATCHED.get(), 2 * MANY);
    // Also one that comes to be wanted when there is no room.
    let pinned = pairs.pairs[7].0.as_raw_fd();
    pairs.backend.remove(pinned);
    pairs.backend.add(pinned, Interest::empty()).unwrap();
    pairs.backend.pin(pinned, true);
    assert_eq!(WATCHED.get(), 2 * MANY - 1);
    pairs.backend.modify(pinned, READ);
    assert_eq!(WATCHED.get(), 2 * MANY);
}

fn more_than_half_are_busy_and_everyone_is_told_of<B: Backend>() {
    let mut pairs = Pairs::<B>::new(Scan::Adaptive);
    let busy = MANY / 2 + 2;
    for step in 0..2000 {
        // Whoever leaves makes room among the busy.
        for index in [step % busy, (step * 7 + 1) % busy] {
            let fd = pairs.pairs[index].0.as_raw_fd();
            pairs.backend.remove(fd);
            pairs.backend.add(fd, READ).unwrap();
        }
        (0..busy).for_each(|index| pairs.send(index));
        assert_eq!(pairs.wait().len(), busy, "step {step}");
    }
    // And it is not for ever.
    pairs.stays(2000);
    let asked = pairs.stays(500);
    assert!(asked < 500 * MANY / 4, "few are busy, and {asked} were asked about");
}

fn who_is_found_by_chance_is_cold_again_in_time<B: Backend>() {
    WATCHED.set(0);
    let mut pairs = Pairs::<B>::new(Scan::Adaptive);
    // While there is room, in 512 waits; while there is little, in 64; and a few more.
    for (busy, patience) in [(1, 700), (MANY / 4, 150)] {
        let wait = |pairs: &mut Pairs<B>| {
            (0..busy).for_each(|index| pairs.send(index));
            pairs.wait()
        };
        for _ in 0..1100 {
            wait(&mut pairs);
        }
        assert_eq!(WATCHED.get(), MANY + busy);
        pairs.send(MANY - 1);
        while !wait(&mut pairs).contains(&(MANY - 1)) {}
        assert_eq!(WATCHED.get(), MANY + busy + 1);
        for _ in 0..patience {
            wait(&mut pairs);
        }
        assert_eq!(WATCHED.get(), MANY + busy, "{busy} are busy");
    }
}

/// So few that asking about them costs next to nothing.
const FEW: usize = 20;

/// Waits without an end, in each of which so many are ready; returns how many calls asked about
/// everything without waiting, and how many might have waited.
fn asks_about_few<B: Backend>(pairs: &mut Pairs<B>, busy: usize, waits: usize) -> (usize, usize) {
    let (mut probes, mut waited) = (0, 0);
    for _ in 0..waits {
        (0..busy).for_each(|index| pairs.send(index));
        let asked = asked_in(|| assert_eq!(pairs.wait_within(None).len(), busy));
        probes += usize::from(asked == FEW);
        waited += usize::from(asked == 2 * FEW);
    }
    (probes, waited)
}

fn few_are_probed_while_several_are_ready_at_once<B: Backend>() {
    let mut pairs = Pairs::<B>::of(FEW, Scan::Adaptive);
    asks_about_few(&mut pairs, 10, 100);
    assert_eq!(asks_about_few(&mut pairs, 10, 100), (100, 0));
    // The first of these is found by a probe, and is the last that is.
    assert_eq!(asks_about_few(&mut pairs, 1, 100), (1, 99));
}

fn few_that_talk_one_at_a_time_are_not_probed<B: Backend>() {
    let mut pairs = Pairs::<B>::of(FEW, Scan::Adaptive);
    assert_eq!(asks_about_few(&mut pairs, 1, 1000), (0, 1000));
}

fn a_plain_scan_asks_about_everything_once<B: Backend>() {
    let mut pairs = Pairs::<B>::new(Scan::Plain);
    assert_eq!(pairs.stays(10), 10 * 2 * MANY);
}

fn parts_add_up_to_everything<B: Backend>() {
    let mut pairs = Pairs::<B>::new(Scan::Plain);
    for index in 0..MANY {
        pairs.send(index);
    }
    for most in [0, 1, 3, 64, 1000, usize::MAX] {
        let (mut position, mut found) = (0, Vec::new());
        loop {
            position = pairs.backend.look(position, most, &mut found).unwrap();
            if position == 0 {
                break;
            }
        }
        let numbers: BTreeSet<RawFd> = found.iter().map(|event| event.fd).collect();
        assert_eq!((found.len(), numbers.len()), (MANY, MANY), "in parts of {most}");
    }
}
