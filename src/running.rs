//! Taken out and put back: the one channel whose dispatcher is running.

use crate::{
    Channel, Context, Dispatcher, Interest, Key, State, diagnostics::diagnose, map::Map,
    slab::Occupant,
};
use std::io;

/// A channel and its dispatcher out of their slot, which stays theirs.
///
/// So the dispatcher can have the whole map while it runs. A panic while it is out drops the
/// channel and nothing else.
pub(crate) struct Running<'m> {
    pub(crate) map: &'m mut Map,
    pub(crate) key: Key,
    /// `None` once it is put back or let go.
    occupant: Option<Box<Occupant>>,
}

impl<'m> Running<'m> {
    pub(crate) fn take(map: &'m mut Map, key: Key) -> Option<Self> {
        let occupant = map.slab.take(key)?;
        Some(Self { map, key, occupant: Some(occupant) })
    }

    /// One whose slot is somebody else's by now.
    pub(crate) fn lost(map: &'m mut Map, key: Key, occupant: Box<Occupant>) -> Self {
        Self { map, key, occupant: Some(occupant) }
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.occupant().channel
    }

    pub(crate) fn interest(&self) -> Interest {
        self.occupant().interest()
    }

    /// Whether the time for `handle_close` has come.
    pub(crate) fn is_over(&self) -> bool {
        self.channel().is_over(|| self.interest().contains(Interest::READ))
    }

    /// Runs one callback.
    pub(crate) fn run(
        &mut self,
        callback: impl FnOnce(&mut dyn Dispatcher, &mut Context<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(occupant) = &mut self.occupant else { return Ok(()) };
        let Occupant { channel, dispatcher } = &mut **occupant;
        let mut cx = Context::new(self.map, channel, self.key);
        callback(&mut **dispatcher, &mut cx)
    }

    /// Puts it back after a callback, or lets it go if it has closed.
    pub(crate) fn finish(mut self) {
        if self.channel().state() == State::Closed {
            return self.let_go();
        }
        let interest = self.interest();
        let Self { map, key, .. } = &mut self;
        if map.slab.contains(*key) && *map.slab.registered(key.fd) != Some(interest) {
            map.slab.touch(key.fd);
        }
        self.put_back();
    }

    /// Puts it back as it is.
    pub(crate) fn put_back(mut self) {
        if let Some(occupant) = self.occupant.take()
            && let Err(occupant) = self.map.slab.put_back(self.key, occupant)
        {
            self.map.lose(self.key, occupant);
        }
    }

    /// Vacates the slot first: what the dispatcher's drop finds is in order.
    fn let_go(&mut self) {
        let Some(mut occupant) = self.occupant.take() else { return };
        if !self.map.slab.contains(self.key) {
            // The number is somebody else's by now.
            occupant.channel.lose();
        }
        self.map.remove(self.key);
        if let Err(error) = occupant.channel.release() {
            diagnose!(warn, "{:?}: close: {error}", self.key);
        }
    }

    fn occupant(&self) -> &Occupant {
        self.occupant.as_ref().expect("the occupant is here until finish")
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Something is left only while a panic unwinds.
        self.let_go();
    }
}
