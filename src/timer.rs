//! Timers in the order of their deadlines: a heap in which each can be found.

use std::{
    cmp::Ordering,
    time::{Duration, Instant},
};

/// Names one timer of one reactor: to [`cancel`](crate::Reactor::cancel) it, or to
/// [`reschedule`](crate::Reactor::reschedule) it.
///
/// It finds nothing once the timer is over or cancelled, nor in another reactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timer {
    index: u32,
    reactor: u32,
    order: u64,
}

impl Timer {
    pub(crate) fn index(self) -> u32 {
        self.index
    }
}

/// In nanoseconds since the reactor was made. What is beyond is in 584 years, and never comes.
pub(crate) type Time = u64;

/// Pending timers, each with what it is for. Those with the same deadline come in the order in
/// which they were made.
///
/// To set, move or cancel one takes time in proportion to the logarithm of their number.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    reactor: u32,
    epoch: Instant,
    /// Who is at `place` comes after who is at `(place - 1) / ARITY`.
    heap: Vec<Entry>,
    slots: Vec<Slot<T>>,
    /// The first vacant slot.
    vacant: u32,
    /// How many were made so far.
    made: u64,
    /// Up to here they have had their turn.
    passed: Time,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    deadline: Time,
    index: u32,
}

#[derive(Debug)]
struct Slot<T> {
    /// Which timer it is, counted from 1; 0 while the slot is vacant.
    order: u64,
    /// Where its entry is in the heap; of a vacant slot, the next vacant one.
    place: u32,
    /// `None` while the slot is vacant, and while what it is for is taken out to run.
    what: Option<T>,
}

/// Children of a node. With four of them, which are neighbours in memory, the heap is half as high
/// as with two.
const ARITY: usize = 4;

const NONE: u32 = u32::MAX;

pub(crate) fn nanoseconds(duration: Duration) -> Time {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl<T> Timers<T> {
    pub(crate) fn new(reactor: u32) -> Self {
        Self {
            reactor,
            epoch: Instant::now(),
            heap: Vec::new(),
            slots: Vec::new(),
            vacant: NONE,
            made: 0,
            passed: 0,
        }
    }

    /// What the clock says.
    pub(crate) fn now(&self) -> Time {
        self.time(Instant::now())
    }

    pub(crate) fn time(&self, instant: Instant) -> Time {
        nanoseconds(instant.saturating_duration_since(self.epoch))
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// When the next one is due.
    #[inline]
    pub(crate) fn next(&self) -> Option<Time> {
        Some(self.heap.first()?.deadline)
    }

    /// Makes a timer. A deadline that has passed is due in the next round.
    pub(crate) fn set(&mut self, deadline: Time, what: T) -> Timer {
        self.made += 1;
        let slot = Slot { order: self.made, place: NONE, what: Some(what) };
        let index = self.vacant;
        let index = if let Some(vacant) = self.slots.get_mut(index as usize) {
            self.vacant = vacant.place;
            *vacant = slot;
            index
        } else {
            grow(&mut self.slots);
            self.slots.push(slot);
            (self.slots.len() - 1) as u32
        };
        grow(&mut self.heap);
        self.heap.push(Entry { deadline: self.next_round(deadline), index });
        self.rise(self.heap.len() - 1);
        Timer { index, reactor: self.reactor, order: self.made }
    }

    /// Moves a timer to another deadline; false if it is over.
    pub(crate) fn reset(&mut self, timer: Timer, deadline: Time) -> bool {
        let Some(place) = self.place(timer) else { return false };
        self.heap[place].deadline = self.next_round(deadline);
        self.settle(place);
        true
    }

    /// Takes a timer out; false if it is over.
    pub(crate) fn cancel(&mut self, timer: Timer) -> bool {
        let Some(place) = self.place(timer) else { return false };
        let index = self.heap.swap_remove(place).index;
        if place < self.heap.len() {
            self.settle(place);
        }
        let vacated = Slot { order: 0, place: self.vacant, what: None };
        let what = std::mem::replace(&mut self.slots[index as usize], vacated);
        self.vacant = index;
        // Last: a drop that panics finds all in order.
        drop(what);
        true
    }

    /// Begins a round: whatever is set from now on is due after it.
    pub(crate) fn begin_round(&mut self, now: Time) {
        self.passed = self.passed.max(now);
    }

    /// The first of the timers whose turn it is in this round, and its deadline.
    ///
    /// It stays what it is until it is reset or cancelled.
    pub(crate) fn due(&self) -> Option<(Timer, Time)> {
        let first = self.heap.first().filter(|first| first.deadline <= self.passed)?;
        Some((self.timer_at(first.index)?, first.deadline))
    }

    /// Those that are for something like this, and are not taken out.
    pub(crate) fn which(&self, mut like: impl FnMut(&T) -> bool) -> Vec<Timer> {
        let slots = self.slots.iter().zip(0..);
        let found = slots.filter(|(slot, _)| slot.what.as_ref().is_some_and(&mut like));
        found.filter_map(|(_, index)| self.timer_at(index)).collect()
    }

    /// The timer in this slot.
    pub(crate) fn timer_at(&self, index: u32) -> Option<Timer> {
        let order = self.slots.get(index as usize)?.order;
        (order != 0).then_some(Timer { index, reactor: self.reactor, order })
    }

    /// When a timer is due, if it is not over.
    pub(crate) fn deadline(&self, timer: Timer) -> Option<Time> {
        Some(self.heap[self.place(timer)?].deadline)
    }

    /// What a timer is for, if it is not over; `None` inside while that is taken out.
    pub(crate) fn what(&mut self, timer: Timer) -> Option<&mut Option<T>> {
        self.place(timer)?;
        Some(&mut self.slots[timer.index as usize].what)
    }

    /// A deadline after those that are due in this round, if it is not later anyway.
    fn next_round(&self, deadline: Time) -> Time {
        deadline.max(self.passed.saturating_add(1))
    }

    fn place(&self, timer: Timer) -> Option<usize> {
        let slot = self.slots.get(timer.index as usize)?;
        let same = slot.order == timer.order && self.reactor == timer.reactor;
        same.then_some(slot.place as usize)
    }

    /// Puts the entry at `place` where it belongs.
    fn settle(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.order(self.heap[parent], entry).is_lt() {
                break;
            }
            self.put(self.heap[parent], place);
            place = parent;
        }
        self.put(entry, place);
        place
    }

    fn sink(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let first = place * ARITY + 1;
            let children = first..self.heap.len().min(first + ARITY);
            let least = children.min_by(|a, b| self.order(self.heap[*a], self.heap[*b]));
            let Some(least) = least.filter(|least| self.order(self.heap[*least], entry).is_lt())
            else {
                break;
            };
            self.put(self.heap[least], place);
            place = least;
        }
        self.put(entry, place);
    }

    fn put(&mut self, entry: Entry, place: usize) {
        self.heap[place] = entry;
        self.slots[entry.index as usize].place = place as u32;
    }

    fn order(&self, one: Entry, other: Entry) -> Ordering {
        let made = |entry: Entry| self.slots[entry.index as usize].order;
        one.deadline.cmp(&other.deadline).then_with(|| made(one).cmp(&made(other)))
    }
}

/// Makes room for one more, and for few besides.
fn grow<T>(table: &mut Vec<T>) {
    // Without memory, the push that comes next ends as any push does.
    let _ = asyncore_backends::reserve(table, 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Step {
        Set(u64),
        Reset(usize, u64),
        Cancel(usize),
        Round(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..100_u64).prop_map(Step::Set),
            1 => (any::<usize>(), 0..100_u64).prop_map(|(which, time)| Step::Reset(which, time)),
            1 => any::<usize>().prop_map(Step::Cancel),
            1 => (0..20_u64).prop_map(Step::Round),
        ]
    }

    proptest! {
        /// Against a sorted map of (deadline, order).
        #[test]
        fn it_is_a_sorted_list(steps in prop::collection::vec(step(), 0..400)) {
            let mut timers = Timers::new(7);
            let mut now = 0;
            let mut all = Vec::new();
            let mut pending = BTreeMap::new();
            for step in steps {
                let when = |pending: &BTreeMap<(u64, usize), Timer>, which: usize| {
                    pending.keys().copied().find(|(_, order)| *order == which)
                };
                match step {
                    Step::Set(time) => {
                        let timer = timers.set(time, all.len());
                        pending.insert((time.max(now + 1), all.len()), timer);
                        all.push(timer);
                    }
                    Step::Reset(which, time) if !all.is_empty() => {
                        let which = which % all.len();
                        let found = when(&pending, which);
                        prop_assert_eq!(timers.reset(all[which], time), found.is_some());
                        if let Some(key) = found {
                            pending.remove(&key);
                            pending.insert((time.max(now + 1), which), all[which]);
                        }
                    }
                    Step::Cancel(which) if !all.is_empty() => {
                        let which = which % all.len();
                        let found = when(&pending, which);
                        let deadline = timers.deadline(all[which]);
                        prop_assert_eq!(deadline, found.map(|(deadline, _)| deadline));
                        prop_assert_eq!(timers.cancel(all[which]), found.is_some());
                        found.map(|key| pending.remove(&key));
                    }
                    Step::Round(more) => {
                        now += more;
                        timers.begin_round(now);
                        while let Some((timer, deadline)) = timers.due() {
                            let ((expected, which), first) = pending.pop_first().unwrap();
                            prop_assert!(timer == first && deadline == expected);
                            prop_assert_eq!(timers.what(timer), Some(&mut Some(which)));
                            prop_assert!(timers.cancel(timer) && !timers.cancel(timer));
                        }
                    }
                    _ => {}
                }
                let next = pending.keys().next().map(|(deadline, _)| *deadline);
                prop_assert_eq!((timers.next(), timers.heap.len()), (next, pending.len()));
                prop_assert!(next.is_none_or(|next| next > now));
            }
        }
    }

    #[test]
    fn a_drop_that_panics_costs_no_slot() {
        struct Bursts;
        impl Drop for Bursts {
            fn drop(&mut self) {
                panic!("as it is meant to");
            }
        }
        let mut timers = Timers::new(1);
        for _ in 0..10 {
            let timer = timers.set(0, Bursts);
            let cancel = std::panic::AssertUnwindSafe(|| timers.cancel(timer));
            std::panic::catch_unwind(cancel).unwrap_err();
            assert!(!timers.cancel(timer));
        }
        assert_eq!(timers.slots.len(), 1);
    }

    #[test]
    fn a_timer_of_another_reactor_finds_nothing() {
        let (mut ours, mut theirs) = (Timers::new(1), Timers::new(2));
        let timer = ours.set(0, ());
        theirs.set(0, ());
        assert!(!theirs.cancel(timer) && !theirs.reset(timer, 0) && ours.cancel(timer));
    }
}
