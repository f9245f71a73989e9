//! How much has gone through a channel, and since when it is in its reactor.

use super::Channel;
use crate::timer::Time;
use std::cell::Cell;

#[derive(Debug, Default)]
pub(super) struct Traffic {
    received: Cell<u64>,
    sent: Cell<u64>,
    /// In the reactor's time.
    joined: Cell<Time>,
}

/// Traffic.
impl Channel {
    #[inline]
    pub(super) fn count_received(&self, bytes: usize) {
        let Traffic { received, .. } = &self.traffic;
        received.set(received.get() + bytes as u64);
    }

    #[inline]
    pub(super) fn count_sent(&self, bytes: usize) {
        let Traffic { sent, .. } = &self.traffic;
        sent.set(sent.get() + bytes as u64);
    }

    pub(crate) fn bytes_received(&self) -> u64 {
        self.traffic.received.get()
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.traffic.sent.get()
    }

    /// They were counted elsewhere.
    pub(crate) fn forget_bytes(&self) {
        self.traffic.received.set(0);
        self.traffic.sent.set(0);
    }

    pub(crate) fn joined(&self) -> Time {
        self.traffic.joined.get()
    }

    pub(super) fn join(&self, now: Time) {
        self.traffic.joined.set(now);
    }
}
