//! The busy few are looked at alone, the rest in slices between: what a wait costs follows the
//! activity, and not the number of descriptors.

use crate::{Backend, Calls, Event, Interest, bet::Bet, check_fd, cold_share::ColdShare, reserve};
use bitflags::bitflags;
use std::{
    io,
    os::fd::RawFd,
    time::{Duration, Instant},
};

/// How a [`HotSet`] looks for what is ready.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Scan {
    /// Everything, each time: the system call as it is.
    Plain,
    /// What was busy lately first, as long as that pays.
    Adaptive,
    /// What was busy lately first, whether it pays or not, and the rest in slices of so many
    /// descriptors: for tests.
    Forced {
        /// How many descriptors are in a slice.
        slice: usize,
    },
}

impl Default for Scan {
    /// [`Adaptive`](Self::Adaptive). The test suite is also run with others, by
    /// `--cfg asyncore_scan`.
    fn default() -> Self {
        if cfg!(asyncore_scan = "plain") {
            Self::Plain
        } else if cfg!(asyncore_scan = "forced") {
            Self::Forced { slice: usize::MAX }
        } else if cfg!(asyncore_scan = "slices") {
            Self::Forced { slice: 1 }
        } else {
            Self::Adaptive
        }
    }
}

/// A [`Backend`] over another that spends its time on the descriptors that are busy.
///
/// The kernel's work grows with the number of descriptors that it is asked about. Of many, few are
/// busy, and those stay so for a while. So they are kept in a set of their own that is asked first,
/// alone; the rest is looked at in slices, between. When nothing is busy, one call waits for
/// everything: an idle program sleeps.
///
/// What is not busy is noticed later than it would be. While others keep the loop busy, a sixteenth
/// of the time (see [`with_cold_share`](Self::with_cold_share)) goes into short slices, so that a
/// round over all the others takes sixteen times as long as to ask about each of them: some 40 ms
/// for 8000 descriptors. In the first two rounds, and as long as one round in a few finds one of
/// them ready, they take more, up to almost a quarter: as much as a round needs that ends in 1 ms,
/// or in ten times as long as one look at everything if that is longer. For 8000 descriptors a
/// round takes some 10 ms then. A [pinned](Self::pin) descriptor never waits for its slice.
///
/// No more than half of all descriptors are taken for busy: when more are, each wait asks about
/// everything.
///
/// Nothing of this happens unless it pays: what it costs to try is bounded by what was saved so
/// far, and by a small part of what is spent without it; what a try costs more is made up for
/// before the next.
///
/// A wait with timeout 0 always looks at everything.
#[derive(Debug)]
pub struct HotSet<B> {
    /// Every descriptor.
    all: B,
    /// The busy ones, once more.
    hot: B,
    scan: Scan,
    /// So much of the time that goes by is owed to the cold ones.
    cold_share: ColdShare,
    slots: Vec<Slot>,
    /// The members of `hot`, in no order; those that were removed since are still listed.
    members: Vec<RawFd>,
    /// How many descriptors are watched for something, and how many of these are hot.
    watched: usize,
    warm: usize,
    /// Not 0: more are busy or new than there is room for, or were before members were last let go.
    /// So many times they are let go before the hot ones are looked at alone again.
    crowded: u8,
    /// Counts the waits; what is compared with it is never half of its range away.
    now: u16,
    /// When members that have cooled down are next looked for.
    cooling: u16,
    /// Whether what is busy stays busy.
    stays: Bet,
    /// Whether something is ready as soon as we ask.
    ready_at_once: Bet,
    ready_at_once_in_hot: Bet,
    /// What a look at one descriptor costs, in nanoseconds: in a look at everything, and in a
    /// slice, which is dearer because the caches hold other things by then.
    price: f64,
    slice_price: f64,
    /// What a slice has found, between two waits empty.
    found: Vec<Event>,
    /// Where the next slice begins.
    position: usize,
    /// Time that the cold ones are owed.
    owed: f64,
    last: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    interest: Interest,
    flags: Flags,
    /// When it was last busy, in waits.
    busy: u16,
}

bitflags! {
    #[derive(Debug, Clone, Copy, Default)]
    struct Flags: u8 {
        const WATCHED = 1;
        const HOT = 1 << 1;
        /// Among the members.
        const LISTED = 1 << 2;
        /// Hot, whether it is busy or not.
        const PINNED = 1 << 3;
        /// Has not been busy again since it became hot.
        const ON_TRIAL = 1 << 4;
    }
}

impl Slot {
    fn is(&self, flag: Flags) -> bool {
        self.flags.contains(flag)
    }
}

/// Below this number of descriptors there is nothing to be saved.
const FEW: usize = 64;

/// Who was not ready in so many waits is busy no more.
const PATIENCE: u16 = 512;

/// The fixed cost of a system call, in looks at a descriptor.
const CALL: usize = 8;

/// How many times members are let go before those that are left are looked at alone again: the
/// first time may be in the very wait in which somebody found no room.
const CROWDED: u8 = 2;

/// How much later than asked a wait ends that finds nothing, in nanoseconds: the kernel is in no
/// hurry, and there are other processes.
const OVERSLEPT: f64 = 60_000.0;

/// How long one slice may take, in nanoseconds: about as long as one message of a busy descriptor,
/// so that the message that has to wait for it does not take much longer than the others.
const SLICE: f64 = 25_000.0;

/// Nor is it about more descriptors than these, however little they cost.
const MOST_IN_SLICE: usize = 1024;

/// The cold ones wait for a moment in which the busy ones are quiet, until they are owed so much.
const LATE: f64 = 4.0 * SLICE;

impl<B: Backend> HotSet<B> {
    /// Takes over a backend that watches nothing yet.
    #[must_use]
    pub fn new(backend: B, scan: Scan) -> Self {
        Self {
            all: backend,
            hot: B::default(),
            scan,
            cold_share: ColdShare::default(),
            slots: Vec::new(),
            members: Vec::new(),
            watched: 0,
            warm: 0,
            crowded: 0,
            now: 0,
            cooling: 0,
            stays: Bet::default(),
            ready_at_once: Bet::default(),
            ready_at_once_in_hot: Bet::default(),
            price: 100.0,
            slice_price: 200.0,
            found: Vec::new(),
            position: 0,
            owed: 0.0,
            last: None,
        }
    }

    /// Sets how much of the time is spent on looking at those that are not busy, while others are:
    /// a sixteenth unless set, and between a hundredth and nine tenths.
    ///
    /// It is more while such looks find something, and at first, but for that not raised above
    /// half. What is no number changes nothing.
    #[must_use]
    pub fn with_cold_share(mut self, share: f64) -> Self {
        self.cold_share.set_least(share);
        self
    }

    /// Keeps a watched descriptor in the hot set, busy or not: a listener, a wake-up.
    pub fn pin(&mut self, fd: RawFd, pinned: bool) {
        let Some(slot) = self.slots.get_mut(fd as usize) else { return };
        slot.flags.set(Flags::PINNED, pinned && slot.is(Flags::WATCHED));
        if slot.is(Flags::PINNED) && !slot.is(Flags::HOT) {
            self.heat(fd);
        }
    }
}

impl<B: Backend> Default for HotSet<B> {
    fn default() -> Self {
        Self::new(B::default(), Scan::default())
    }
}

impl<B: Backend> Backend for HotSet<B> {
    const NAME: &'static str = B::NAME;
    const FD_LIMIT: Option<RawFd> = B::FD_LIMIT;

    fn add(&mut self, fd: RawFd, interest: Interest) -> io::Result<()> {
        if self.scan == Scan::Plain {
            return self.all.add(fd, interest);
        }
        check_fd(fd, Self::FD_LIMIT)?;
        let index = fd as usize;
        if index >= self.slots.len() {
            let missing = index + 1 - self.slots.len();
            reserve(&mut self.slots, missing)?;
            self.slots.resize(index + 1, Slot::default());
        }
        // Here it may fail, and in a wait it may not. A backend may look at a few more.
        let most_found = (self.watched + 1).min(self.most_in_slice().saturating_add(64));
        self.found.try_reserve(most_found)?;
        self.all.add(fd, interest)?;
        self.slots[index].flags.insert(Flags::WATCHED);
        self.want(fd, interest);
        Ok(())
    }

    fn modify(&mut self, fd: RawFd, interest: Interest) {
        self.all.modify(fd, interest);
        if self.scan != Scan::Plain {
            self.want(fd, interest);
        }
    }

    fn remove(&mut self, fd: RawFd) {
        self.all.remove(fd);
        self.forget(fd);
    }

    #[inline]
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Event>) -> io::Result<()> {
        if self.scan == Scan::Plain {
            return self.all.wait(timeout, ready);
        }
        if self.watched < FEW && !self.is_forced() {
            return self.wait_for_few(timeout, ready);
        }
        self.now = self.now.wrapping_add(1);
        let left = if timeout == Some(Duration::ZERO) || !self.is_worth_it() {
            timeout
        } else {
            match self.wait_for_hot(timeout, ready)? {
                None => return Ok(()),
                Some(left) => left,
            }
        };
        self.wait_for_all(left, ready)
    }

    fn look(&mut self, position: usize, most: usize, ready: &mut Vec<Event>) -> io::Result<usize> {
        self.all.look(position, most, ready)
    }

    #[inline]
    fn calls(&self) -> Calls {
        self.all.calls() + self.hot.calls()
    }
}

/// Who is hot.
impl<B: Backend> HotSet<B> {
    /// Whoever is new, or wanted for something else, is likely to be ready soon.
    fn want(&mut self, fd: RawFd, interest: Interest) {
        let Some(slot) = self.slots.get_mut(fd as usize).filter(|slot| slot.is(Flags::WATCHED))
        else {
            return;
        };
        let (was_wanted, is_wanted) = (!slot.interest.is_empty(), !interest.is_empty());
        self.watched += usize::from(is_wanted);
        self.watched -= usize::from(was_wanted);
        slot.interest = interest;
        if slot.is(Flags::HOT) {
            // One that is not wanted costs the kernel nothing. It cools down in time.
            self.warm += usize::from(is_wanted);
            self.warm -= usize::from(was_wanted);
            self.hot.modify(fd, interest);
            if is_wanted {
                slot.busy = self.now;
            }
        } else if is_wanted {
            self.heat(fd);
            // One that never was busy has to become so soon; or, while room is scarce, before
            // members are next let go.
            let (patience, trial) = (self.patience(), self.trial());
            self.slots[fd as usize].busy = self.now.wrapping_sub(patience - trial);
        }
    }

    /// Notes that it is busy, or likely to be soon, and makes it hot if there is room, and memory.
    /// One that joins is on trial until it is busy again; while room is scarce, only until members
    /// are next let go.
    #[inline]
    fn heat(&mut self, fd: RawFd) {
        let slot = &mut self.slots[fd as usize];
        slot.busy = self.now;
        if slot.is(Flags::HOT) || slot.interest.is_empty() {
            slot.flags -= Flags::ON_TRIAL;
        } else {
            self.let_in(fd);
        }
    }

    /// Makes it hot if there is room.
    fn let_in(&mut self, fd: RawFd) {
        let has_room = self.is_forced() || self.are_few(self.warm + 1);
        let slot = &mut self.slots[fd as usize];
        if !has_room && !slot.is(Flags::PINNED) {
            if self.crowded == 0 {
                self.cooling = self.now;
            }
            self.crowded = CROWDED;
            return;
        }
        if reserve(&mut self.members, 1).is_ok() && self.hot.add(fd, slot.interest).is_ok() {
            self.warm += 1;
            if !slot.is(Flags::LISTED) {
                self.members.push(fd);
            }
            slot.flags |= Flags::HOT | Flags::LISTED | Flags::ON_TRIAL;
        }
    }

    fn cool(&mut self, fd: RawFd) {
        let slot = &mut self.slots[fd as usize];
        if slot.is(Flags::HOT) {
            slot.flags -= Flags::HOT;
            self.warm -= usize::from(!slot.interest.is_empty());
            self.hot.remove(fd);
        }
    }

    fn forget(&mut self, fd: RawFd) {
        if self.slots.get(fd as usize).is_some_and(|slot| slot.is(Flags::WATCHED)) {
            self.want(fd, Interest::empty());
            self.cool(fd);
            let slot = &mut self.slots[fd as usize];
            *slot = Slot { flags: slot.flags & Flags::LISTED, ..Slot::default() };
        }
    }

    /// Notes who was busy, and lets go those that were not for long.
    fn learn(&mut self, ready: &[Event]) {
        self.forget_invalid(ready);
        for event in ready {
            self.heat(event.fd);
        }
        if self.now.wrapping_sub(self.cooling) as i16 >= 0 {
            self.cool_down();
        }
    }

    /// One backend has forgotten it; the other has not.
    fn forget_invalid(&mut self, ready: &[Event]) {
        if Event::any_invalid(ready) {
            for event in ready.iter().filter(|event| event.is_invalid()) {
                self.all.remove(event.fd);
                self.forget(event.fd);
            }
        }
    }

    /// How many descriptors are in a slice at the most.
    fn most_in_slice(&self) -> usize {
        match self.scan {
            Scan::Forced { slice } => slice,
            _ => MOST_IN_SLICE,
        }
    }

    fn is_forced(&self) -> bool {
        matches!(self.scan, Scan::Forced { .. })
    }

    fn patience(&self) -> u16 {
        if self.is_forced() { 8 } else { PATIENCE }
    }

    /// How many waits one on trial has for becoming busy: few while so many are hot that each wait
    /// is about everything anyway.
    fn trial(&self) -> u16 {
        let part = if self.is_worth_it() { 8 } else { 64 };
        (self.patience() / part).max(1)
    }

    fn cool_down(&mut self) {
        let (patience, trial) = (self.patience(), self.trial());
        self.cooling = self.now.wrapping_add(trial);
        self.crowded = self.crowded.saturating_sub(1);
        let scarce = self.room_is_scarce();
        let mut members = std::mem::take(&mut self.members);
        members.retain(|&fd| {
            let slot = self.slots[fd as usize];
            let patience = if scarce && slot.is(Flags::ON_TRIAL) { trial } else { patience };
            if !slot.is(Flags::PINNED) && self.now.wrapping_sub(slot.busy) as i16 > patience as i16
            {
                self.cool(fd);
            }
            let slot = &mut self.slots[fd as usize];
            slot.flags.set(Flags::LISTED, slot.is(Flags::HOT));
            slot.is(Flags::HOT)
        });
        self.members = members;
    }
}

/// Where to look.
impl<B: Backend> HotSet<B> {
    fn is_worth_it(&self) -> bool {
        match self.scan {
            Scan::Forced { .. } => self.warm > 0,
            _ => {
                self.warm > 0 && self.watched >= FEW && self.crowded == 0 && self.are_few(self.warm)
            }
        }
    }

    /// A call that may block queues at every descriptor up to the first that is ready, and one that
    /// has an end has the clock read, by the kernel and here; while something is ready as soon as
    /// we ask, a probe does without.
    fn wait_for_few(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<Event>,
    ) -> io::Result<()> {
        let cost = self.cost(self.watched);
        ready.clear();
        if timeout != Some(Duration::ZERO) && self.ready_at_once.affords(cost) {
            self.all.wait(Some(Duration::ZERO), ready)?;
            let saved = if timeout.is_some() { cost } else { self.price };
            self.ready_at_once.settle(!ready.is_empty(), saved, cost);
        }
        if ready.is_empty() {
            self.all.wait(timeout, ready)?;
            self.ready_at_once.earn(cost);
        }
        if timeout.is_none() && ready.len() == 1 {
            // Where several are ready there was hardly a wait. Whoever finds one at a time may well
            // sleep in between, and pays for no probe.
            self.ready_at_once = Bet::default();
        }
        self.forget_invalid(ready);
        Ok(())
    }

    /// Whether so many are few enough to be looked at alone. With more it would save little, and
    /// those that do not fit would wait for their slices.
    fn are_few(&self, descriptors: usize) -> bool {
        descriptors * 2 <= self.watched
    }

    /// Whether half of the room is taken.
    fn room_is_scarce(&self) -> bool {
        !self.is_forced() && !self.are_few(2 * (self.warm + 1))
    }

    fn cost(&self, descriptors: usize) -> f64 {
        (descriptors + CALL) as f64 * self.price
    }

    /// Looks at the hot ones, and waits for them as long as that pays. `None` if something was
    /// found; else what is left of the timeout.
    fn wait_for_hot(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<Event>,
    ) -> io::Result<Option<Option<Duration>>> {
        let forced = self.is_forced();
        let (all, hot) = (self.cost(self.watched), self.cost(self.warm));
        if !forced && !self.stays.affords(hot) {
            self.last = None;
            return Ok(Some(timeout));
        }
        let begun = Instant::now();
        if let Some(last) = self.last {
            let passed = begun.duration_since(last).as_nanos() as f64;
            self.owed = (self.owed + self.cold_share.of(passed)).min(2.0 * LATE);
        }
        self.last = Some(begun);

        let looks_first = self.ready_at_once_in_hot.affords(hot);
        let owes = !forced && self.owed >= SLICE;
        if looks_first || owes {
            self.hot.wait(Some(Duration::ZERO), ready)?;
            if looks_first || !ready.is_empty() {
                self.ready_at_once_in_hot.settle(!ready.is_empty(), hot, hot);
            }
        } else {
            ready.clear();
        }
        if ready.is_empty() && owes {
            // The busy ones have a moment to spare.
            self.look_at_a_slice(ready)?;
            if !ready.is_empty() {
                return Ok(None);
            }
        }
        let mut stake = hot;
        if ready.is_empty() {
            // As long as it takes to ask about everything, so that waiting is at worst half of it;
            // or for what there is.
            let patience = if forced { 2.0 * all } else { (2.0 * all).min(self.stays.funds()) };
            let patience = Duration::from_nanos(patience as u64);
            let patience = timeout.map_or(patience, |timeout| timeout.min(patience));
            if forced || patience.as_nanos() as f64 > hot {
                self.hot.wait(Some(patience), ready)?;
                self.ready_at_once_in_hot.earn(hot);
                if timeout != Some(patience) {
                    stake += patience.as_nanos() as f64 + OVERSLEPT;
                }
            }
        }
        if !ready.is_empty() {
            self.stays.win(all - hot, hot);
            self.learn(ready);
            if forced || self.owed >= LATE {
                self.look_at_a_slice(ready)?;
            }
            return Ok(None);
        }
        self.last = None;
        // Not what the clock says: the time may have been another process's.
        self.stays.lose(stake);
        Ok(Some(timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()))))
    }

    /// Adds what is ready in the next part of the others.
    fn look_at_a_slice(&mut self, ready: &mut Vec<Event>) -> io::Result<()> {
        let affordable =
            if self.is_forced() { usize::MAX } else { (SLICE / self.slice_price) as usize };
        let most = affordable.min(self.most_in_slice());
        let begun = Instant::now();
        let mut found = std::mem::take(&mut self.found);
        let result = self.all.look(self.position, most, &mut found);
        // The hot ones were looked at already.
        found.retain(|event| !self.slots[event.fd as usize].is(Flags::HOT) || event.is_invalid());
        self.learn(&found);
        let found_some = !found.is_empty();
        if found_some {
            ready.extend(&found);
            ready.sort_unstable_by_key(|event| event.fd);
            found.clear();
        }
        self.found = found;
        self.position = result?;
        let spent = begun.elapsed().as_nanos() as f64;
        self.owed -= spent;
        learn_price(&mut self.slice_price, spent, most);
        let (round, look) = (self.slice_price * self.watched as f64, self.cost(self.watched));
        self.cold_share.settle(found_some, self.position == 0, round, look);
        Ok(())
    }

    fn wait_for_all(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<Event>,
    ) -> io::Result<()> {
        let all = self.cost(self.watched);
        if self.watched >= FEW && timeout != Some(Duration::ZERO) && self.ready_at_once.affords(all)
        {
            let begun = Instant::now();
            self.all.wait(Some(Duration::ZERO), ready)?;
            learn_price(&mut self.price, begun.elapsed().as_nanos() as f64, self.watched + CALL);
            self.ready_at_once.settle(!ready.is_empty(), all, all);
            if !ready.is_empty() {
                self.stays.earn(all);
                self.learn(ready);
                return Ok(());
            }
        }
        self.all.wait(timeout, ready)?;
        self.ready_at_once.earn(all);
        self.stays.earn(2.0 * all);
        self.learn(ready);
        Ok(())
    }
}

/// One that was interrupted by other processes does not count for more than it can have cost.
fn learn_price(price: &mut f64, spent: f64, descriptors: usize) {
    *price += ((spent / descriptors as f64).min(1000.0) - *price) / 8.0;
}
