//! Slots indexed by descriptor number: which channel has the number now, and what the
//! backend knows of it.

use crate::{
    Channel, Interest, Key,
    interest::{Served, Watch},
};
use std::{
    collections::TryReserveError,
    os::fd::RawFd,
    sync::atomic::{AtomicU32, Ordering},
};

/// A channel and its dispatcher. The channel is dropped first.
pub(crate) struct Occupant {
    pub(crate) channel: Channel,
    pub(crate) dispatcher: Box<dyn Served>,
}

#[derive(Default)]
struct Slot {
    /// Of the occupant; 0 while the slot is vacant.
    generation: u64,
    /// `None` while the slot is vacant, or while the occupant is taken out to run.
    occupant: Option<Box<Occupant>>,
    /// How the backend watches this number. It outlives the occupant: the backend knows
    /// numbers only, and hears of a change just before the next wait.
    registered: Option<Watch>,
    /// Whether the number is listed in `touched`.
    touched: bool,
}

/// The reactor's channels.
pub(crate) struct Slab {
    /// Tells this reactor's keys from those of others.
    reactor: u32,
    slots: Vec<Slot>,
    /// The numbers whose interest has to be asked again.
    touched: Vec<RawFd>,
    generations: u64,
    len: usize,
}

impl Slab {
    pub(crate) fn new() -> Self {
        static REACTORS: AtomicU32 = AtomicU32::new(0);
        let reactor = REACTORS.fetch_add(1, Ordering::Relaxed);
        Self { reactor, slots: Vec::new(), touched: Vec::new(), generations: 0, len: 0 }
    }

    /// How many channels there are, the running one included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The generation that the next channel will have; those of older ones are lower.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generations + 1
    }

    /// Makes room for the number `fd`.
    pub(crate) fn reserve(&mut self, fd: RawFd) -> Result<(), TryReserveError> {
        let length = fd as usize + 1;
        if length > self.slots.len() {
            let missing = length - self.slots.len();
            asyncore_backends::reserve(&mut self.slots, missing)?;
            // Each number is listed once at the most.
            let unlisted = length - self.touched.len();
            asyncore_backends::reserve(&mut self.touched, unlisted)?;
            self.slots.resize_with(length, Slot::default);
        }
        Ok(())
    }

    /// Gives the number `fd`, for which there is room, to a new occupant.
    ///
    /// An occupant that is still there has lost the number: the kernel gives a number twice only if
    /// it was closed behind its owner's back. It is returned with its key, unless it is running.
    pub(crate) fn insert(
        &mut self,
        fd: RawFd,
        occupant: Box<Occupant>,
    ) -> (Key, Option<(Key, Box<Occupant>)>) {
        self.generations += 1;
        let slot = &mut self.slots[fd as usize];
        let before = Key::new(fd, self.reactor, slot.generation);
        let lost = slot.occupant.take().map(|lost| (before, lost));
        if slot.generation == 0 {
            self.len += 1;
        }
        slot.generation = self.generations;
        slot.occupant = Some(occupant);
        self.touch(fd);
        (Key::new(fd, self.reactor, self.generations), lost)
    }

    /// Vacates the slot. The occupant comes back unless it is running.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Box<Occupant>> {
        let slot = self.slot_mut(key)?;
        slot.generation = 0;
        let occupant = slot.occupant.take();
        self.len -= 1;
        self.touch(key.fd);
        occupant
    }

    /// Takes the occupant out to run; the slot stays its own.
    pub(crate) fn take(&mut self, key: Key) -> Option<Box<Occupant>> {
        self.slot_mut(key)?.occupant.take()
    }

    /// Takes out whoever has the number, if its generation is below `newcomers`; with what it
    /// wants, which is nothing if it has to be asked.
    #[inline]
    pub(crate) fn take_number(
        &mut self,
        fd: RawFd,
        newcomers: u64,
    ) -> Option<(Key, Box<Occupant>, Interest)> {
        let slot = self.slots.get_mut(fd as usize)?;
        if slot.generation >= newcomers {
            return None;
        }
        let known = match slot.registered {
            Some(watch) if !slot.touched => watch.interest,
            _ => Interest::empty(),
        };
        let key = Key::new(fd, self.reactor, slot.generation);
        Some((key, slot.occupant.take()?, known))
    }

    /// Whoever has the number will be served next.
    #[inline(always)]
    pub(crate) fn prefetch(&self, fd: RawFd) {
        if let Some(Slot { occupant: Some(occupant), .. }) = self.slots.get(fd as usize) {
            asyncore_backends::prefetch(&**occupant);
        }
    }

    /// Puts the occupant back after a run, and tells how the backend watches it; or returns it if
    /// the slot is not its own any more.
    #[inline]
    pub(crate) fn put_back(
        &mut self,
        key: Key,
        occupant: Box<Occupant>,
    ) -> Result<Option<Watch>, Box<Occupant>> {
        // Whoever runs was taken from here, so its key is one of this reactor's.
        match self.slots.get_mut(key.fd as usize) {
            Some(slot) if slot.generation == key.generation => {
                slot.occupant = Some(occupant);
                Ok(slot.registered)
            }
            _ => Err(occupant),
        }
    }

    /// Whether `key` names a channel that is there, running or not.
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.slot(key).is_some()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Occupant> {
        self.slot(key)?.occupant.as_deref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Occupant> {
        self.slot_mut(key)?.occupant.as_deref_mut()
    }

    /// The key of the channel that has the number now, unless it is running.
    pub(crate) fn key_of(&self, fd: RawFd) -> Option<Key> {
        let slot = self.slots.get(fd as usize)?;
        slot.occupant.is_some().then(|| Key::new(fd, self.reactor, slot.generation))
    }

    /// The channel that has the number now, unless it is running.
    pub(crate) fn channel(&self, fd: RawFd) -> Option<&Channel> {
        Some(&self.slots.get(fd as usize)?.occupant.as_deref()?.channel)
    }

    /// Tells this reactor's keys and timers from those of others.
    pub(crate) fn reactor(&self) -> u32 {
        self.reactor
    }

    /// Every channel that is not running, in ascending order of the numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Occupant)> {
        self.slots.iter().enumerate().filter_map(|(fd, slot)| {
            let occupant = slot.occupant.as_deref()?;
            Some((Key::new(fd as RawFd, self.reactor, slot.generation), occupant))
        })
    }

    /// The numbers that there are slots for.
    pub(crate) fn numbers(&self) -> std::ops::Range<RawFd> {
        0..self.slots.len() as RawFd
    }

    /// Has the number's interest asked again before the next wait.
    #[inline(never)] // Most callbacks change no interest.
    pub(crate) fn touch(&mut self, fd: RawFd) {
        let slot = &mut self.slots[fd as usize];
        if !slot.touched {
            slot.touched = true;
            self.touched.push(fd);
        }
    }

    /// Whether the interest of any number has to be asked again.
    #[inline]
    pub(crate) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Has the numbers come in ascending order, so that those of newcomers are neighbours in the
    /// array that the kernel walks through.
    pub(crate) fn sort_touched(&mut self) {
        self.touched.sort_unstable_by_key(|fd| std::cmp::Reverse(*fd));
    }

    /// The next number whose interest has to be asked again.
    pub(crate) fn next_touched(&mut self) -> Option<RawFd> {
        let fd = self.touched.pop()?;
        self.slots[fd as usize].touched = false;
        Some(fd)
    }

    pub(crate) fn is_touched(&self, fd: RawFd) -> bool {
        self.slots[fd as usize].touched
    }

    /// The backend has forgotten the number. Until whoever has it is told, the next pass watches it
    /// again, and finds out again.
    #[cold]
    pub(crate) fn unregister(&mut self, fd: RawFd) {
        *self.registered(fd) = None;
        self.touch(fd);
    }

    /// How the backend watches the number.
    pub(crate) fn registered(&mut self, fd: RawFd) -> &mut Option<Watch> {
        &mut self.slots[fd as usize].registered
    }

    fn slot(&self, key: Key) -> Option<&Slot> {
        let slot = self.slots.get(key.fd as usize)?;
        (slot.generation == key.generation && self.reactor == key.reactor).then_some(slot)
    }

    fn slot_mut(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.fd as usize)?;
        (slot.generation == key.generation && self.reactor == key.reactor).then_some(slot)
    }
}
