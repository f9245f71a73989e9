//! What was pushed and not yet sent: the queue of asyncore's `dispatcher_with_send`, linear.

use std::{collections::VecDeque, error::Error, fmt, io};

/// How many bytes a channel queues at the most unless
/// [`set_queue_limit`](crate::Channel::set_queue_limit) says otherwise: 64 MiB.
pub const DEFAULT_QUEUE_LIMIT: usize = 64 << 20;

/// The most that is handed to the kernel at once, so that one bulky channel does not hold up the
/// others for long.
const AT_ONCE: usize = 64 << 10;

/// More room than this is given back when the queue has drained.
const KEPT: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct OutBuffer {
    queue: VecDeque<u8>,
    limit: usize,
}

impl OutBuffer {
    pub(super) const fn new() -> Self {
        Self { queue: VecDeque::new(), limit: DEFAULT_QUEUE_LIMIT }
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether `more` bytes may be queued; all of them or none.
    pub(super) fn check_room(&self, more: usize) -> io::Result<()> {
        if self.queue.len().saturating_add(more) <= self.limit {
            return Ok(());
        }
        let full = QueueFull { queued: self.queue.len(), pushed: more, limit: self.limit };
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, full))
    }

    pub(super) fn push(&mut self, data: &[u8]) -> io::Result<()> {
        self.queue.try_reserve(data.len())?;
        self.queue.extend(data);
        Ok(())
    }

    /// The next bytes to send; empty only if nothing is queued.
    pub(super) fn front(&self) -> &[u8] {
        let (front, _) = self.queue.as_slices();
        &front[..front.len().min(AT_ONCE)]
    }

    /// Forgets the first `count` bytes, which were sent.
    pub(super) fn consume(&mut self, count: usize) {
        self.queue.drain(..count);
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
    }

    pub(super) fn clear(&mut self) {
        self.queue = VecDeque::new();
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
    fn what_is_pushed_comes_out_in_order_and_the_room_is_given_back() {
        let mut buffer = OutBuffer::new();
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        let mut received = Vec::new();
        for part in sent.chunks(777) {
            buffer.push(part).unwrap();
            let front = buffer.front().len().min(500);
            received.extend_from_slice(&buffer.front()[..front]);
            buffer.consume(front);
        }
        while buffer.len() > 0 {
            let front = buffer.front().len();
            assert!((1..=AT_ONCE).contains(&front));
            received.extend_from_slice(buffer.front());
            buffer.consume(front);
        }
        assert!(received == sent);
        assert_eq!(buffer.queue.capacity(), 0);
    }

    #[test]
    fn a_push_beyond_the_limit_is_refused_whole() {
        let mut buffer = OutBuffer::new();
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
