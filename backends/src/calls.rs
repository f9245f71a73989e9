//! How much the kernel was asked.

use std::ops::Add;

/// How often a backend has asked the kernel, and about how many descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Calls {
    /// System calls, those that were interrupted included.
    pub calls: u64,
    /// How many descriptors each of them was about, added up. One that is wanted for nothing does
    /// not count: the kernel does not look at it.
    pub descriptors: u64,
}

impl Calls {
    /// One call more, about so many descriptors.
    #[cfg(any(feature = "poll", feature = "select"))]
    #[inline]
    pub(crate) fn count(&mut self, descriptors: usize) {
        self.calls += 1;
        self.descriptors += descriptors as u64;
    }
}

impl Add for Calls {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, descriptors: self.descriptors + other.descriptors }
    }
}
