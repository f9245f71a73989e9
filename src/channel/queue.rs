//! What waits to be sent, in order: bytes, at a cost linear in them, and the producers of
//! asynchat's `async_chat`.

use super::Producer;
use std::{collections::VecDeque, io};

/// The most that is handed to the kernel at once, so that one bulky channel does not hold up the
/// others for long; and what producers are asked for, so that small pieces do not go one by one.
const AT_ONCE: usize = 64 << 10;

/// More room than this is given back when the queue has drained.
const KEPT: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What goes out first.
    bytes: VecDeque<u8>,
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

impl Queue {
    /// How many bytes there are already.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.later.as_ref().map_or(0, |later| later.bytes)
    }

    /// How many producers there are.
    pub(super) fn producers(&self) -> usize {
        let segments = self.later.iter().flat_map(|later| &later.segments);
        segments.filter(|segment| matches!(segment, Segment::Producer(_))).count()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.later.is_none()
    }

    /// Takes `data`; with it there are no more than `limit` bytes, nor is there room for more.
    pub(super) fn push(&mut self, data: &[u8], limit: usize) -> io::Result<()> {
        let others = self.len();
        let Some(later) = &mut self.later else { return append(&mut self.bytes, data, limit) };
        if let Some(Segment::Bytes(bytes)) = later.segments.back_mut() {
            let most = limit.saturating_sub(others - bytes.len());
            append(bytes, data, most)?;
        } else {
            let mut bytes = VecDeque::new();
            append(&mut bytes, data, limit.saturating_sub(others))?;
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
        let later = self.later.as_mut().filter(|_| self.bytes.len() < AT_ONCE)?;
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
        if self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            self.bytes = VecDeque::from(std::mem::replace(&mut piece, Vec::from(bytes)));
        } else {
            self.bytes.extend(&piece);
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
            && (self.bytes.is_empty() || bytes.len() <= AT_ONCE)
        {
            later.bytes -= bytes.len();
            if self.bytes.is_empty() {
                self.bytes = std::mem::take(bytes);
            } else {
                self.bytes.append(bytes);
            }
            later.segments.pop_front();
        }
        if later.segments.is_empty() {
            self.later = None;
        }
    }

    /// The next bytes to send; empty only if a producer has to be asked, or nothing is queued.
    pub(super) fn front(&self) -> &[u8] {
        let (front, _) = self.bytes.as_slices();
        &front[..front.len().min(AT_ONCE)]
    }

    /// Forgets the first `count` bytes, which were sent.
    pub(super) fn consume(&mut self, count: usize) {
        self.bytes.drain(..count);
        if !self.bytes.is_empty() {
            return;
        }
        if self.later.is_some() {
            self.advance();
        } else if self.bytes.capacity() > KEPT {
            self.bytes = VecDeque::new();
        }
    }
}

/// Whoever does not read is not to cost more than the limit, so the room does not double beyond it.
fn append(queue: &mut VecDeque<u8>, data: &[u8], most: usize) -> io::Result<()> {
    let (length, room) = (queue.len(), queue.capacity());
    let needed = length + data.len();
    if needed > room {
        let room = (2 * room).min(most).max(needed);
        queue.try_reserve_exact(room - length)?;
    }
    queue.extend(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Channel;

    #[test]
    fn what_is_pushed_comes_out_in_order_and_the_room_is_given_back() {
        let mut queue = Queue::default();
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        let mut received = Vec::new();
        for part in sent.chunks(777) {
            queue.push(part, usize::MAX).unwrap();
            let front = queue.front().len().min(500);
            received.extend_from_slice(&queue.front()[..front]);
            queue.consume(front);
        }
        while !queue.is_empty() {
            let front = queue.front().len();
            assert!((1..=AT_ONCE).contains(&front));
            received.extend_from_slice(queue.front());
            queue.consume(front);
        }
        assert!(received == sent);
        assert_eq!(queue.bytes.capacity(), 0);
    }

    #[test]
    fn what_is_pushed_behind_a_producer_waits_and_is_copied_only_if_it_is_little() {
        for behind in [10, AT_ONCE, AT_ONCE + 1] {
            let mut queue = Queue::default();
            let nothing = |_: &Channel, _: &mut Vec<u8>| Ok(());
            queue.push(b"front", usize::MAX).unwrap();
            queue.push_producer(Box::new(nothing));
            queue.push(&vec![b'x'; behind - 1], usize::MAX).unwrap();
            queue.push(b"y", usize::MAX).unwrap();
            queue.push_producer(Box::new(nothing));
            assert_eq!((queue.front(), queue.len()), (b"front".as_slice(), 5 + behind));

            let (producer, spare) = queue.take_producer().unwrap();
            assert!(spare.is_empty() && queue.misses_producer() && !queue.is_empty());
            assert!(queue.take_producer().is_none());
            queue.put_back(b"made".to_vec(), Some(producer));
            assert_eq!(queue.len(), 9 + behind);
            queue.take_producer().unwrap();
            queue.put_back(Vec::new(), None);
            assert_eq!((queue.producers(), queue.len()), (1, 9 + behind));
            assert_eq!(queue.bytes.len(), if behind > AT_ONCE { 9 } else { 9 + behind });

            let mut sent = Vec::new();
            while !queue.front().is_empty() {
                sent.extend_from_slice(queue.front());
                queue.consume(queue.front().len());
            }
            assert_eq!((queue.producers(), queue.len()), (1, 0));
            queue.take_producer().unwrap();
            queue.put_back(Vec::new(), None);
            assert!(queue.is_empty());
            let expected = [b"frontmade", &vec![b'x'; behind - 1][..], b"y"].concat();
            assert!(sent == expected);
            assert!(queue.bytes.capacity() <= KEPT);
        }
    }
}
