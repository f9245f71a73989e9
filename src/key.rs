//! The name of a channel in a reactor.

use crate::Dispatcher;
use std::{any, fmt, hash, marker::PhantomData, os::fd::RawFd};

/// Names one channel of one reactor, and the type of its dispatcher.
///
/// A key is a descriptor number, a reactor and a generation, so the key of a channel that is gone
/// finds nothing, even when its number is in use again; nor does the key of another reactor.
/// `Key<D>` gives `&mut D` back; a plain `Key` names a channel of any type, and every typed key
/// converts to one.
pub struct Key<D: ?Sized = dyn Dispatcher> {
    pub(crate) fd: RawFd,
    pub(crate) reactor: u32,
    pub(crate) generation: u64,
    dispatcher: PhantomData<fn() -> Box<D>>,
}

impl<D: ?Sized> Key<D> {
    pub(crate) fn new(fd: RawFd, reactor: u32, generation: u64) -> Self {
        Self { fd, reactor, generation, dispatcher: PhantomData }
    }

    /// The same channel, taken to have a dispatcher of the type `E`; where that is wrong, the key
    /// finds nothing.
    ///
    /// A callback's own key, for others to reach it by: `cx.key().typed::<Self>()`.
    #[must_use]
    pub fn typed<E: ?Sized>(self) -> Key<E> {
        Key::new(self.fd, self.reactor, self.generation)
    }

    /// The same channel, whatever its dispatcher.
    #[must_use]
    pub fn untyped(self) -> Key {
        self.typed()
    }
}

impl<D: Dispatcher> From<Key<D>> for Key {
    fn from(key: Key<D>) -> Self {
        key.untyped()
    }
}

impl<D: ?Sized> Clone for Key<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: ?Sized> Copy for Key<D> {}

/// Keys are equal if they name the same channel, whatever they know of its type.
impl<D: ?Sized, E: ?Sized> PartialEq<Key<E>> for Key<D> {
    fn eq(&self, other: &Key<E>) -> bool {
        (self.fd, self.reactor, self.generation) == (other.fd, other.reactor, other.generation)
    }
}

impl<D: ?Sized> Eq for Key<D> {}

impl<D: ?Sized> hash::Hash for Key<D> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        (self.fd, self.reactor, self.generation).hash(state);
    }
}

impl<D: ?Sized> fmt::Debug for Key<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key<{}>(fd {} #{})", any::type_name::<D>(), self.fd, self.generation)
    }
}
