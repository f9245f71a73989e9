//! Producers: output that is made as it can be sent (asynchat's `push_with_producer`).

use super::Channel;
use std::{fmt, io};

/// Output that is made piece by piece, as the channel can be written.
///
/// A producer is queued by [`Channel::push_with_producer`]. Closures are producers, too.
///
/// # Examples
///
/// Every number below a million, a line each, without ever holding them all:
///
/// ```
/// use asyncore::{Channel, Producer};
/// use std::{io, os::unix::net::UnixStream};
///
/// struct Numbers(u32);
///
/// impl Producer for Numbers {
///     fn more(&mut self, _: &Channel, out: &mut Vec<u8>) -> io::Result<()> {
///         if self.0 < 1_000_000 {
///             out.extend_from_slice(format!("{}\n", self.0).as_bytes());
///             self.0 += 1;
///         }
///         Ok(())
///     }
/// }
///
/// let (ours, _theirs) = UnixStream::pair()?;
/// Channel::new(ours)?.push_with_producer(Numbers(0))?;
/// # Ok::<(), io::Error>(())
/// ```
pub trait Producer {
    /// Makes the next piece, in `out`, which is empty; if it stays empty, the producer is
    /// exhausted, and dropped.
    ///
    /// The channel is the one that the piece is for. What is pushed to it here goes to the end of
    /// its queue, behind everything else that this producer makes. If it is closed here, that is
    /// the end of it.
    ///
    /// # Errors
    ///
    /// What is in `out` is sent all the same. The error goes to the channel's `handle_error`, and
    /// the producer is dropped; if the channel is kept, what was queued behind is next.
    /// [`Interrupted`](io::ErrorKind::Interrupted) is no error: the producer is asked again.
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) is one, because nothing says when to ask again.
    fn more(&mut self, channel: &Channel, out: &mut Vec<u8>) -> io::Result<()>;
}

impl<F: FnMut(&Channel, &mut Vec<u8>) -> io::Result<()>> Producer for F {
    fn more(&mut self, channel: &Channel, out: &mut Vec<u8>) -> io::Result<()> {
        self(channel, out)
    }
}

impl fmt::Debug for dyn Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dyn Producer")
    }
}

/// How much the producers here make at once.
const PIECE: usize = 16 << 10;

/// Bytes that are there already, in pieces (asynchat's `simple_producer`).
///
/// Unlike pushed bytes they are not copied into the queue at once, and do not count for its limit.
#[derive(Debug, Clone)]
pub struct SimpleProducer<D> {
    data: D,
    sent: usize,
    piece: usize,
}

impl<D: AsRef<[u8]>> SimpleProducer<D> {
    /// Produces `data` in pieces of 16 KiB.
    #[must_use]
    pub fn new(data: D) -> Self {
        Self::with_piece(data, PIECE)
    }

    /// Produces `data` in pieces of so many bytes, at least one (`simple_producer`'s
    /// `buffer_size`).
    #[must_use]
    pub fn with_piece(data: D, bytes: usize) -> Self {
        Self { data, sent: 0, piece: bytes.max(1) }
    }
}

impl<D: AsRef<[u8]>> Producer for SimpleProducer<D> {
    fn more(&mut self, _: &Channel, out: &mut Vec<u8>) -> io::Result<()> {
        let rest = self.data.as_ref().get(self.sent..).unwrap_or_default();
        let piece = &rest[..rest.len().min(self.piece)];
        out.extend_from_slice(piece);
        self.sent += piece.len();
        Ok(())
    }
}

/// What a reader gives until its end, in pieces of at most 16 KiB: a file, above all.
///
/// The reader is read while the channel can be written. One that blocks (a pipe, a socket) holds
/// up the whole reactor.
#[derive(Debug)]
pub struct FileProducer<R> {
    file: R,
}

impl<R: io::Read> FileProducer<R> {
    /// Produces what `file` gives from where it stands.
    #[must_use]
    pub fn new(file: R) -> Self {
        Self { file }
    }
}

impl<R: io::Read> Producer for FileProducer<R> {
    fn more(&mut self, _: &Channel, out: &mut Vec<u8>) -> io::Result<()> {
        out.resize(PIECE, 0);
        let result = self.file.read(out);
        out.truncate(*result.as_ref().unwrap_or(&0));
        result.map(drop)
    }
}

/// The items of an iterator, one after the other. Empty ones are passed over.
#[derive(Debug, Clone)]
pub struct IteratorProducer<I> {
    items: I,
}

impl<I: Iterator<Item: AsRef<[u8]>>> IteratorProducer<I> {
    /// Produces the items of `items`, and asks for each only when it is its turn.
    #[must_use]
    pub fn new(items: impl IntoIterator<IntoIter = I>) -> Self {
        Self { items: items.into_iter() }
    }
}

impl<I: Iterator<Item: AsRef<[u8]>>> Producer for IteratorProducer<I> {
    fn more(&mut self, _: &Channel, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(item) = self.items.find(|item| !item.as_ref().is_empty()) {
            out.extend_from_slice(item.as_ref());
        }
        Ok(())
    }
}
