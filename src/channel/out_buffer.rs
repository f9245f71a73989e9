//! What was pushed and not yet sent, within its limits: the buffer of asyncore's
//! `dispatcher_with_send`.

use super::{Producer, queue::Queue};
use std::{error::Error, fmt, io};

/// How many bytes a channel queues at the most unless
/// [`set_queue_limit`](crate::Channel::set_queue_limit) says otherwise: 64 MiB.
pub const DEFAULT_QUEUE_LIMIT: usize = 64 << 20;

/// Most channels never have to queue anything. They hold a null pointer; the others keep what they
/// once needed.
#[derive(Debug, Default)]
pub(super) struct OutBuffer(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    queue: Queue,
    limit: usize,
    /// The water marks.
    low: usize,
    high: usize,
}

impl Default for Kept {
    fn default() -> Self {
        let (low, high) = (usize::MAX, usize::MAX);
        Self { queue: Queue::default(), limit: DEFAULT_QUEUE_LIMIT, low, high }
    }
}

impl OutBuffer {
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.kept().limit = limit;
    }

    pub(super) fn set_water_marks(&mut self, low: usize, high: usize) {
        let kept = self.kept();
        (kept.low, kept.high) = (low, high);
    }

    /// Whether there is more than the high water mark; or, if it `was` congested already, more than
    /// the low one.
    pub(super) fn is_congested(&self, was: bool) -> bool {
        let mark = |kept: &Kept| if was { kept.low } else { kept.high };
        self.0.as_deref().is_some_and(|kept| kept.queue.len() > mark(kept))
    }

    /// How many bytes there are already.
    pub(super) fn len(&self) -> usize {
        self.queue().map_or(0, Queue::len)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue().is_none_or(Queue::is_empty)
    }

    /// Whether `more` bytes may be queued; all of them or none.
    pub(super) fn check_room(&self, more: usize) -> io::Result<()> {
        let limit = self.0.as_ref().map_or(DEFAULT_QUEUE_LIMIT, |kept| kept.limit);
        if self.len().saturating_add(more) <= limit {
            return Ok(());
        }
        let full = QueueFull { queued: self.len(), pushed: more, limit };
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, full))
    }

    pub(super) fn push(&mut self, data: &[u8]) -> io::Result<()> {
        let kept = self.kept();
        kept.queue.push(data, kept.limit)
    }

    pub(super) fn push_producer(&mut self, producer: Box<dyn Producer>) {
        self.kept().queue.push_producer(producer);
    }

    /// What is there, if there ever was something.
    #[inline]
    pub(super) fn queue(&self) -> Option<&Queue> {
        self.0.as_ref().map(|kept| &kept.queue)
    }

    /// The same, to take from it.
    #[inline]
    pub(super) fn queue_mut(&mut self) -> Option<&mut Queue> {
        self.0.as_mut().map(|kept| &mut kept.queue)
    }

    /// Leaves nothing, and hands out what there was: a producer's drop may do anything.
    #[must_use]
    pub(super) fn clear(&mut self) -> Option<Queue> {
        self.queue_mut().map(std::mem::take)
    }

    fn kept(&mut self) -> &mut Kept {
        self.0.get_or_insert_default()
    }
}

/// A push would have exceeded the channel's queue limit; nothing of it was queued.
///
/// The inner error of an [`io::Error`] of the kind
/// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueFull {
    /// The bytes that were queued already.
    pub queued: usize,
    /// The bytes that were to be added.
    pub pushed: usize,
    /// The channel's limit.
    pub limit: usize,
}

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queued, pushed, limit } = self;
        write!(f, "{pushed} bytes do not fit the output queue: {queued} of at most {limit} queued")
    }
}

impl Error for QueueFull {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_beyond_the_limit_is_refused_whole() {
        let mut buffer = OutBuffer::default();
        buffer.set_limit(10);
        buffer.push(&[0; 4]).unwrap();
        assert!(buffer.check_room(6).is_ok());
        let error = buffer.check_room(7).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        let full = error.get_ref().unwrap().downcast_ref::<QueueFull>().unwrap();
        assert_eq!(*full, QueueFull { queued: 4, pushed: 7, limit: 10 });
        assert!(buffer.check_room(usize::MAX).is_err());
    }
}
