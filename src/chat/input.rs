//! What was read, cut into pieces at terminators. It calls nobody.

use super::{InputTooLong, Terminator, search};
use std::io;

/// How much input a chat takes without a terminator, and collects, unless
/// [`set_input_limit`](super::Chat::set_input_limit) says otherwise: 1 MiB.
pub const DEFAULT_INPUT_LIMIT: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Input {
    terminator: Terminator,
    /// Of the terminator, if it is bytes; see `search`.
    borders: Vec<usize>,
    /// Read and not given out: it may be the beginning of the terminator.
    held: Vec<u8>,
    /// So much in front of what is not given out is known to be the beginning of the terminator.
    matched: usize,
    /// Given out since the last terminator.
    unterminated: usize,
    limit: usize,
    /// The limit was exceeded: everything up to the terminator is passed over.
    skips: bool,
    collected: Vec<u8>,
    /// More came than may be collected.
    spilled: bool,
    /// What is being cut is to be dropped.
    discarded: bool,
}

/// What comes next in the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'d> {
    pub(super) data: &'d [u8],
    pub(super) end: End,
    /// What comes after it.
    pub(super) rest: &'d [u8],
}

/// What the data of a piece is followed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    More,
    Terminator,
    TooLong,
}

impl Input {
    pub(super) fn new(terminator: Terminator) -> Self {
        let mut input = Self {
            terminator: Terminator::None,
            borders: Vec::new(),
            held: Vec::new(),
            matched: 0,
            unterminated: 0,
            limit: DEFAULT_INPUT_LIMIT,
            skips: false,
            collected: Vec::new(),
            spilled: false,
            discarded: false,
        };
        input.set_terminator(terminator);
        input
    }

    pub(super) fn set_terminator(&mut self, terminator: Terminator) {
        self.terminator = terminator.normalized();
        if let Terminator::Bytes(bytes) = &self.terminator {
            search::borders(bytes, &mut self.borders);
        } else {
            self.skips = false;
        }
        self.matched = 0;
        self.unterminated = 0;
    }

    pub(super) fn terminator(&self) -> &Terminator {
        &self.terminator
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub(super) fn too_long(&self) -> io::Error {
        io::Error::new(io::ErrorKind::QuotaExceeded, InputTooLong { limit: self.limit })
    }
}

/// Cutting.
impl Input {
    /// What is to be put in front of what is read next.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// What was held is about to be cut, with what was read after it.
    pub(super) fn release(&mut self) {
        if self.held.is_empty() {
            // Cutting may have been given up in the middle.
            self.matched = 0;
        }
        self.held.clear();
        self.discarded = false;
    }

    /// Keeps what [`next`](Self::next) has left.
    pub(super) fn hold(&mut self, rest: &[u8]) {
        self.held.extend_from_slice(rest);
    }

    /// The next piece of `data`; `None` if nothing is left but what may be the beginning of the
    /// terminator. If this is the `last` of the input, it is none.
    ///
    /// The state is that after the piece, so whoever is given it may set another terminator.
    pub(super) fn next<'d>(&mut self, data: &'d [u8], last: bool) -> Option<Piece<'d>> {
        if self.matched == data.len() {
            if !last || data.is_empty() {
                return None;
            }
            self.matched = 0;
            return Some(self.within_limit(data, data.len(), data.len(), false));
        }
        let terminator = match &mut self.terminator {
            Terminator::None => return Some(Piece { data, end: End::More, rest: &[] }),
            Terminator::Length(left) => {
                let (data, rest) = data.split_at(data.len().min(*left));
                *left -= data.len();
                let mut end = End::More;
                if *left == 0 {
                    self.terminator = Terminator::None;
                    end = End::Terminator;
                }
                return Some(Piece { data, end, rest });
            }
            Terminator::Bytes(bytes) => bytes,
        };
        let found = search::find(terminator, &self.borders, data, self.matched);
        let (length, after) = match found {
            Ok(start) => (start, start + terminator.len()),
            Err(matched) => (data.len() - matched, data.len() - matched),
        };
        self.matched = found.err().unwrap_or(0);
        Some(self.within_limit(data, length, after, found.is_ok()))
    }

    /// The first `length` bytes of `data`, unless that is beyond the limit.
    fn within_limit<'d>(
        &mut self,
        data: &'d [u8],
        length: usize,
        after: usize,
        found: bool,
    ) -> Piece<'d> {
        let rest = &data[after..];
        if self.skips {
            self.skips = !found;
            return Piece { data: &[], end: End::More, rest };
        }
        let room = self.limit.saturating_sub(self.unterminated);
        if length > room {
            // It ends where the limit says, however much has come in one read.
            (self.matched, self.unterminated, self.skips) = (0, 0, true);
            return Piece { data: &data[..room], end: End::TooLong, rest: &data[room..] };
        }
        self.unterminated = if found { 0 } else { self.unterminated + length };
        let end = if found { End::Terminator } else { End::More };
        Piece { data: &data[..length], end, rest }
    }
}

/// Collecting.
impl Input {
    /// asynchat's `_collect_incoming_data`, with a limit.
    pub(super) fn collect(&mut self, data: &[u8]) -> io::Result<()> {
        if self.spilled {
            return Ok(());
        }
        let room = self.limit.saturating_sub(self.collected.len());
        let taken = &data[..data.len().min(room)];
        self.collected.try_reserve(taken.len())?;
        self.collected.extend_from_slice(taken);
        self.spilled = taken.len() < data.len();
        if self.spilled { Err(self.too_long()) } else { Ok(()) }
    }

    pub(super) fn collected(&self) -> &[u8] {
        &self.collected
    }

    pub(super) fn take_collected(&mut self) -> Vec<u8> {
        self.spilled = false;
        std::mem::take(&mut self.collected)
    }

    /// Forgets everything that has come.
    pub(super) fn discard(&mut self) {
        self.held.clear();
        self.matched = 0;
        self.unterminated = 0;
        self.skips = false;
        self.discarded = true;
        drop(self.take_collected());
    }

    /// Whether everything was discarded while it was cut.
    pub(super) fn is_discarded(&self) -> bool {
        self.discarded
    }
}
