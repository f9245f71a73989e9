//! The growable bitmap that `select` scans by word: an `fd_set` without `FD_SETSIZE`.

use std::{collections::TryReserveError, ops::Range, os::fd::RawFd};

/// The unit in which the kernel reads and writes a set.
#[cfg(any(target_vendor = "apple", target_os = "netbsd", target_os = "openbsd"))]
pub(crate) type Word = u32;
/// The unit in which the kernel reads and writes a set.
#[cfg(not(any(target_vendor = "apple", target_os = "netbsd", target_os = "openbsd")))]
pub(crate) type Word = libc::c_ulong;

const BITS: usize = Word::BITS as usize;

/// A set of descriptors: bit `fd % BITS` of word `fd / BITS`.
#[derive(Debug, Clone, Default)]
pub(crate) struct FdSet {
    words: Vec<Word>,
}

impl FdSet {
    /// Makes room for descriptors up to `fd`. The room is whole `libc::fd_set`s, so that what the
    /// kernel may touch is always ours.
    pub(crate) fn grow_to(&mut self, fd: RawFd) -> Result<(), TryReserveError> {
        let unit = size_of::<libc::fd_set>() / size_of::<Word>();
        let length = (word_of(fd) + 1).next_multiple_of(unit);
        if length > self.words.len() {
            self.words.try_reserve(length - self.words.len())?;
            self.words.resize(length, 0);
        }
        Ok(())
    }

    pub(crate) fn has_room_for(&self, fd: RawFd) -> bool {
        word_of(fd) < self.words.len()
    }

    pub(crate) fn contains(&self, fd: RawFd) -> bool {
        fd >= 0 && self.words.get(word_of(fd)).is_some_and(|word| word & bit_of(fd) != 0)
    }

    /// Puts `fd`, for which there is room, in or out.
    pub(crate) fn set(&mut self, fd: RawFd, member: bool) {
        let word = &mut self.words[word_of(fd)];
        if member {
            *word |= bit_of(fd);
        } else {
            *word &= !bit_of(fd);
        }
    }

    /// Becomes equal to `other`, which has as much room, in these words, and empty before them.
    pub(crate) fn copy_from(&mut self, other: &Self, words: Range<usize>) {
        if words.start > 0 {
            self.words[..words.start].fill(0);
        }
        self.words[words.clone()].copy_from_slice(&other.words[words]);
    }

    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    pub(crate) fn word(&self, index: usize) -> Word {
        self.words[index]
    }

    /// Whether there is a member in these words.
    pub(crate) fn has_any(&self, words: Range<usize>) -> bool {
        self.words[words].iter().fold(0, |all, word| all | word) != 0
    }

    /// How many words there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.words.len()
    }

    /// The members, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RawFd> {
        self.words.iter().enumerate().flat_map(|(index, &word)| members(index, word))
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::fd_set {
        self.words.as_mut_ptr().cast()
    }
}

/// One more than the highest descriptor of `word` at `index`, or of the words before it.
pub(crate) fn end_of(index: usize, word: Word) -> RawFd {
    (index * BITS + BITS - word.leading_zeros() as usize) as RawFd
}

/// The descriptors that `word` stands for at `index`, ascending.
pub(crate) fn members(index: usize, mut word: Word) -> impl Iterator<Item = RawFd> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some((index * BITS) as RawFd + bit as RawFd)
    })
}

/// How many words hold the descriptors below `nfds`.
pub(crate) fn words_for(nfds: RawFd) -> usize {
    (nfds as usize).div_ceil(BITS)
}

pub(crate) fn bit_of(fd: RawFd) -> Word {
    1 << (fd as usize % BITS)
}

fn word_of(fd: RawFd) -> usize {
    fd as usize / BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_in_ascending_order_across_words() {
        let mut set = FdSet::default();
        set.grow_to(5000).unwrap();
        for fd in [5000, 0, 64, 63, 1, 4999, 1024] {
            set.set(fd, true);
        }
        set.set(1, false);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 1024, 4999, 5000]);
        assert!(set.contains(5000) && !set.contains(1) && !set.contains(1 << 30));
    }
}
