//! select(2), called straight, with bitmaps that grow: the limit of what a reactor on it can reach.

use crate::peer::{Interest, Method, Peer, Shared, Sources, Wait};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
};

pub(crate) struct BareSelect {
    work: Shared,
    sources: Sources,
    /// What is wanted: reading and writing.
    wanted: [Vec<u64>; 2],
    /// What the kernel writes to.
    found: [Vec<u64>; 2],
    /// The token of each number.
    tokens: Vec<usize>,
    /// One more than the highest number that is watched.
    end: usize,
}

impl Peer for BareSelect {
    type Source = OwnedFd;
    const OWN: usize = 0;

    fn new(work: Shared, _: Method) -> io::Result<Self> {
        let (wanted, found) = Default::default();
        Ok(Self { work, sources: Sources::default(), wanted, found, tokens: Vec::new(), end: 0 })
    }

    fn source(fd: OwnedFd) -> io::Result<OwnedFd> {
        Ok(fd)
    }

    fn add(&mut self, token: usize, source: OwnedFd, interest: Interest) -> io::Result<()> {
        let number = source.as_raw_fd() as usize;
        self.sources.insert(token, source);
        if number >= self.tokens.len() {
            // The kernel reads and writes whole words.
            self.tokens.resize((number / 64 + 1) * 64, usize::MAX);
            for set in self.wanted.iter_mut().chain(&mut self.found) {
                set.resize(number / 64 + 1, 0);
            }
        }
        self.tokens[number] = token;
        self.end = self.end.max(number + 1);
        self.set(token, interest)
    }

    fn set(&mut self, token: usize, interest: Interest) -> io::Result<()> {
        let number = self.sources.raw(token) as usize;
        for (set, on) in self.wanted.iter_mut().zip([interest.reads(), interest.writes()]) {
            let bit = 1 << (number % 64);
            if on { set[number / 64] |= bit } else { set[number / 64] &= !bit }
        }
        Ok(())
    }

    fn remove(&mut self, token: usize) -> io::Result<Option<OwnedFd>> {
        self.set(token, Interest::Nothing)?;
        self.tokens[self.sources.raw(token) as usize] = usize::MAX;
        while self.end > 0 && self.tokens[self.end - 1] == usize::MAX {
            self.end -= 1;
        }
        Ok(self.sources.take(token))
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        let words = self.end.div_ceil(64);
        for (found, wanted) in self.found.iter_mut().zip(&self.wanted) {
            found[..words].copy_from_slice(&wanted[..words]);
        }
        let [reading, writing] = &mut self.found;
        let mut none = libc::timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: each set has at least the `end` bits that the kernel looks at, in words of its
        // own size; the sets and the timeout are borrowed exclusively.
        let count = unsafe {
            libc::select(
                self.end as libc::c_int,
                reading.as_mut_ptr().cast(),
                writing.as_mut_ptr().cast(),
                ptr::null_mut(),
                if wait == Wait::Probe { &mut none } else { ptr::null_mut() },
            )
        };
        let mut count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let mut work = self.work.borrow_mut();
        for (first, some) in (0..).step_by(8).zip(self.found[0][..words].chunks(8)) {
            if some.iter().fold(0, |all, word| all | word) == 0 {
                continue;
            }
            for (index, word) in (first..).zip(some) {
                let mut word = *word;
                while word != 0 && count > 0 {
                    let number = index * 64 + word.trailing_zeros() as usize;
                    word &= word - 1;
                    count -= 1;
                    work.ready(self.tokens[number], &mut (number as i32));
                }
            }
            if count == 0 {
                break;
            }
        }
        Ok(())
    }
}
