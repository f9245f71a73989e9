//! Taken out and put back: the one channel whose dispatcher is running.

use crate::{
    Channel, Context, Interest, Key, State,
    diagnostics::diagnose,
    interest::{Served, Watch},
    map::Map,
    slab::Occupant,
};
use std::{io, os::fd::RawFd};

const PRESENT: &str = "the occupant is here until it is put back";

/// A channel and its dispatcher out of their slot, which stays theirs.
///
/// So the dispatcher can have the whole map while it runs. A panic while it is out drops the
/// channel and nothing else.
pub(crate) struct Running<'m> {
    pub(crate) map: &'m mut Map,
    pub(crate) key: Key,
    /// `None` once it is put back or let go.
    occupant: Option<Box<Occupant>>,
    /// What it wants; nothing, if it has to be asked.
    known: Interest,
}

impl<'m> Running<'m> {
    pub(crate) fn take(map: &'m mut Map, key: Key) -> Option<Self> {
        let occupant = map.slab.take(key)?;
        Some(Self { map, key, occupant: Some(occupant), known: Interest::empty() })
    }

    /// Whoever has the number, and had it before `newcomers` joined.
    #[inline]
    pub(crate) fn take_number(map: &'m mut Map, fd: RawFd, newcomers: u64) -> Option<Self> {
        let (key, occupant, known) = map.slab.take_number(fd, newcomers)?;
        let known = if map.options.ask_every_pass { Interest::empty() } else { known };
        Some(Self { map, key, occupant: Some(occupant), known })
    }

    /// One whose slot is somebody else's by now.
    pub(crate) fn lost(map: &'m mut Map, key: Key, occupant: Box<Occupant>) -> Self {
        Self { map, key, occupant: Some(occupant), known: Interest::empty() }
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.occupant().channel
    }

    /// What it wants; nothing, if it has to be asked.
    #[inline]
    pub(crate) fn known(&self) -> Interest {
        self.known
    }

    #[inline]
    pub(crate) fn interest(&self) -> Interest {
        if self.known.is_empty() { self.occupant().interest() } else { self.known }
    }

    /// How it is to be watched; it is asked now.
    pub(crate) fn ask(&mut self) -> Watch {
        self.known = self.occupant().interest();
        Watch { interest: self.known, urgent: self.channel().is_urgent() }
    }

    /// How it is to be watched.
    #[inline]
    fn wanted(&self) -> Watch {
        Watch { interest: self.interest(), urgent: self.channel().is_urgent() }
    }

    /// Something has happened to the channel: it has to be asked again what it wants.
    pub(crate) fn changed(&mut self) {
        self.known = Interest::empty();
    }

    /// Whether the time for `handle_close` has come.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.channel().is_over(|| self.interest().contains(Interest::READ))
    }

    /// Runs a callback of every message, which answers what the channel is to be watched for.
    #[inline(always)]
    pub(crate) fn run_and_ask(
        &mut self,
        callback: impl FnOnce(&mut dyn Served, &mut Context<'_>) -> Interest,
    ) -> io::Result<()> {
        let (answer, result) =
            self.run(|dispatcher, cx| (callback(dispatcher, cx), cx.take_failure()));
        self.known = answer;
        result.map_or(Ok(()), Err)
    }

    /// Runs one callback.
    #[inline(always)]
    pub(crate) fn run<R>(
        &mut self,
        callback: impl FnOnce(&mut dyn Served, &mut Context<'_>) -> R,
    ) -> R {
        self.changed();
        let occupant = self.occupant.as_mut().expect(PRESENT);
        let Occupant { channel, dispatcher } = &mut **occupant;
        let mut cx = Context::new(self.map, channel, &self.key);
        callback(&mut **dispatcher, &mut cx)
    }

    /// Puts it back after a callback, or lets it go if it has closed.
    #[inline(always)]
    pub(crate) fn finish(&mut self) {
        if self.channel().state() == State::Closed {
            return self.let_go();
        }
        let wanted = self.wanted();
        let Some(occupant) = self.occupant.take() else { return };
        self.map.note_activity(self.key.fd, &occupant.channel);
        match self.map.slab.put_back(self.key, occupant) {
            Ok(registered) if registered == Some(wanted) => {}
            Ok(_) => self.map.slab.touch(self.key.fd),
            Err(occupant) => self.map.lose(self.key, occupant),
        }
    }

    /// Puts it back as it is.
    #[inline(always)]
    pub(crate) fn put_back(&mut self) {
        let Some(occupant) = self.occupant.take() else { return };
        self.map.note_activity(self.key.fd, &occupant.channel);
        if let Err(occupant) = self.map.slab.put_back(self.key, occupant) {
            self.map.lose(self.key, occupant);
        }
    }

    /// Vacates the slot first: what the dispatcher's drop finds is in order.
    #[cold]
    fn let_go(&mut self) {
        let Some(mut occupant) = self.occupant.take() else { return };
        if !self.map.slab.contains(self.key) {
            // The number is somebody else's by now.
            occupant.channel.lose();
        }
        self.map.remove(self.key);
        self.map.forget_timeout(&occupant.channel);
        self.map.keep_bytes(self.key, &occupant.channel);
        if let Err(error) = occupant.channel.release() {
            diagnose!(warn, "{:?}: close: {error}", self.key);
        }
    }

    fn occupant(&self) -> &Occupant {
        self.occupant.as_ref().expect(PRESENT)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Something is left only while a panic unwinds.
        if self.occupant.is_some() {
            self.let_go();
        }
    }
}
