//! What was pushed and not yet sent: the queue of asyncore's `dispatcher_with_send`, linear, and
//! the producers of asynchat's `async_chat`.

use super::Producer;
use std::{collections::VecDeque, error::Error, fmt, io};

/// How many bytes a channel queues at the most unless
/// [`set_queue_limit`](crate::Channel::set_queue_limit) says otherwise: 64 MiB.
pub const DEFAULT_QUEUE_LIMIT: usize = 64 << 20;

/// The most that is handed to the kernel at once, so that one bulky channel does not hold up the
/// others for long; and what producers are asked for, so that small pieces do not go one by one.
const AT_ONCE: usize = 64 << 10;

/// More room than this is given back when the queue has drained.
const KEPT: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct OutBuffer {
    /// What goes out first.
    queue: VecDeque<u8>,
    limit: usize,
    /// What comes after it: the first producer, and everything behind it.
    later: Option<Box<Later>>,
}

#[derive(Debug, Default)]
struct Later {
    segments: VecDeque<Segment>,
    /// How many bytes are in the segments.
    bytes: usize,
    /// For the next piece: it and the queue change places.
    spare: Vec<u8>,
}

#[derive(Debug)]
enum Segment {
    /// `None` while it runs.
    Producer(Option<Box<dyn Producer>>),
    Bytes(VecDeque<u8>),
}

impl OutBuffer {
    pub(super) const fn new() -> Self {
        Self { queue: VecDeque::new(), limit: DEFAULT_QUEUE_LIMIT, later: None }
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many bytes there are already.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.later.as_ref().map_or(0, |later| later.bytes)
    }

    /// How many producers there are.
    pub(super) fn producers(&self) -> usize {
        let segments = self.later.iter().flat_map(|later| &later.segments);
        segments.filter(|segment| matches!(segment, Segment::Producer(_))).count()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.later.is_none()
    }

    /// Whether `more` bytes may be queued; all of them or none.
    pub(super) fn check_room(&self, more: usize) -> io::Result<()> {
        if self.len().saturating_add(more) <= self.limit {
            return Ok(());
        }
        let full = QueueFull { queued: self.len(), pushed: more, limit: self.limit };
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, full))
    }

    pub(super) fn push(&mut self, data: &[u8]) -> io::Result<()> {
        let Some(later) = &mut self.later else { return append(&mut self.queue, data) };
        if let Some(Segment::Bytes(bytes)) = later.segments.back_mut() {
            append(bytes, data)?;
        } else {
            let mut bytes = VecDeque::new();
            append(&mut bytes, data)?;
            later.segments.push_back(Segment::Bytes(bytes));
        }
        later.bytes += data.len();
        Ok(())
    }

    pub(super) fn push_producer(&mut self, producer: Box<dyn Producer>) {
        let later = self.later.get_or_insert_default();
        later.segments.push_back(Segment::Producer(Some(producer)));
    }

    /// Takes out the producer whose turn it is, with an empty buffer for it, unless there is enough
    /// to be sent.
    pub(super) fn take_producer(&mut self) -> Option<(Box<dyn Producer>, Vec<u8>)> {
        let later = self.later.as_mut().filter(|_| self.queue.len() < AT_ONCE)?;
        let Segment::Producer(producer) = later.segments.front_mut()? else { return None };
        Some((producer.take()?, std::mem::take(&mut later.spare)))
    }

    /// Whether the producer that was taken out still has its place.
    pub(super) fn misses_producer(&self) -> bool {
        let front = self.later.as_ref().and_then(|later| later.segments.front());
        matches!(front, Some(Segment::Producer(None)))
    }

    /// Takes the piece that a producer has made, and the producer back unless it has ended.
    pub(super) fn put_back(&mut self, mut piece: Vec<u8>, producer: Option<Box<dyn Producer>>) {
        let Some(later) = &mut self.later else { return };
        if self.queue.is_empty() {
            let queue = std::mem::take(&mut self.queue);
            self.queue = VecDeque::from(std::mem::replace(&mut piece, Vec::from(queue)));
        } else {
            self.queue.extend(&piece);
        }
        piece.clear();
        later.spare = piece;
        match later.segments.front_mut() {
            Some(front) if producer.is_some() => *front = Segment::Producer(producer),
            _ => drop(later.segments.pop_front()),
        }
        self.advance();
    }

    /// Moves bytes whose turn has come into the queue, unless that is much to copy.
    fn advance(&mut self) {
        let Some(later) = &mut self.later else { return };
        if let Some(Segment::Bytes(bytes)) = later.segments.front_mut()
            && (self.queue.is_empty() || bytes.len() <= AT_ONCE)
        {
            later.bytes -= bytes.len();
            if self.queue.is_empty() {
                self.queue = std::mem::take(bytes);
            } else {
                self.queue.append(bytes);
            }
            later.segments.pop_front();
        }
        if later.segments.is_empty() {
            self.later = None;
        }
    }

    /// The next bytes to send; empty only if a producer has to be asked first, or nothing is queued.
    pub(super) fn front(&self) -> &[u8] {
        let (front, _) = self.queue.as_slices();
        &front[..front.len().min(AT_ONCE)]
    }

    /// Forgets the first `count` bytes, which were sent.
    pub(super) fn consume(&mut self, count: usize) {
        self.queue.drain(..count);
        if !self.queue.is_empty() {
            return;
        }
        if self.later.is_some() {
            self.advance();
        } else if self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
    }

    /// Leaves nothing, and hands out what there was: a producer's drop may do anything.
    #[must_use]
    pub(super) fn clear(&mut self) -> Self {
        std::mem::replace(self, Self { limit: self.limit, ..Self::new() })
    }
}

fn append(queue: &mut VecDeque<u8>, data: &[u8]) -> io::Result<()> {
    queue.try_reserve(data.len())?;
    queue.extend(data);
    Ok(())
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
    use crate::Channel;

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
        while !buffer.is_empty() {
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

    #[test]
    fn what_is_pushed_behind_a_producer_waits_and_is_copied_only_if_it_is_little() {
        for behind in [10, AT_ONCE, AT_ONCE + 1] {
            let mut buffer = OutBuffer::new();
            let nothing = |_: &Channel, _: &mut Vec<u8>| Ok(());
            buffer.push(b"front").unwrap();
            buffer.push_producer(Box::new(nothing));
            buffer.push(&vec![b'x'; behind - 1]).unwrap();
            buffer.push(b"y").unwrap();
            buffer.push_producer(Box::new(nothing));
            assert_eq!((buffer.front(), buffer.len()), (b"front".as_slice(), 5 + behind));

            let (producer, spare) = buffer.take_producer().unwrap();
            assert!(spare.is_empty() && buffer.misses_producer() && !buffer.is_empty());
            assert!(buffer.take_producer().is_none());
            buffer.put_back(b"made".to_vec(), Some(producer));
            assert_eq!(buffer.len(), 9 + behind);
            buffer.take_producer().unwrap();
            buffer.put_back(Vec::new(), None);
            assert_eq!((buffer.producers(), buffer.len()), (1, 9 + behind));
            assert_eq!(buffer.queue.len(), if behind > AT_ONCE { 9 } else { 9 + behind });

            let mut sent = Vec::new();
            while !buffer.front().is_empty() {
                sent.extend_from_slice(buffer.front());
                buffer.consume(buffer.front().len());
            }
            assert_eq!((buffer.producers(), buffer.len()), (1, 0));
            buffer.take_producer().unwrap();
            buffer.put_back(Vec::new(), None);
            assert!(buffer.is_empty());
            let expected = [b"frontmade", &vec![b'x'; behind - 1][..], b"y"].concat();
            assert!(sent == expected);
            assert!(buffer.queue.capacity() <= KEPT);
        }
    }
}
