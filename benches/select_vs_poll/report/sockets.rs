//! Connected sockets at chosen numbers.
//!
//! A new descriptor gets the lowest number that is free. So every number that is not to be used is
//! occupied first, and freed again afterwards.

use serde::Serialize;
use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// Which numbers the descriptors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Numbers {
    /// The lowest that are free.
    Low,
    /// From 10 000 on.
    High,
    /// Evenly spread over the numbers up to 15 000.
    Scattered,
}

pub(crate) const HIGH: usize = 10_000;
pub(crate) const SPAN: usize = 15_000;
/// How many sockets more than are watched: for the other process, and for an even number.
pub(crate) const SPARE: usize = 2;
/// What else may be open: the standard streams, a terminal, what was inherited.
const OTHERS: usize = 64;

impl Numbers {
    /// How many descriptors a process must be allowed for `count` sockets.
    pub(crate) fn needed(self, count: usize) -> usize {
        OTHERS
            + match self {
                Self::Low => count,
                Self::High => HIGH + count,
                Self::Scattered => SPAN.max(count),
            }
    }

    /// Whether there are enough free numbers for `count` sockets.
    fn suffice(self, free: &[OwnedFd], count: usize) -> bool {
        free.len() >= count
            && match self {
                Self::Low => true,
                Self::High => free[free.len() - count].as_raw_fd() as usize >= HIGH,
                Self::Scattered => free[free.len() - 1].as_raw_fd() as usize >= SPAN - 1,
            }
    }

    /// Which of the free numbers are used: positions, ascending.
    fn choose(self, free: usize, count: usize) -> impl Iterator<Item = usize> {
        (0..count).map(move |index| match self {
            Self::Low => index,
            Self::High => free - count + index,
            Self::Scattered => index * free / count,
        })
    }
}

/// `count` sockets, each connected to its neighbour, in ascending order of their numbers.
pub(crate) fn open(numbers: Numbers, count: usize) -> io::Result<Vec<[UnixStream; 2]>> {
    let something = OwnedFd::from(File::open("/dev/null")?);
    let mut free = Vec::with_capacity(numbers.needed(count));
    while !numbers.suffice(&free, count) {
        free.push(something.try_clone()?);
    }
    let mut chosen = numbers.choose(free.len(), count).peekable();
    let (mut used, mut occupied) = (Vec::with_capacity(count), Vec::with_capacity(free.len()));
    for (position, fd) in free.into_iter().enumerate() {
        if chosen.next_if_eq(&position).is_some() {
            used.push(fd.as_raw_fd());
        } else {
            occupied.push(fd);
        }
    }
    used.chunks(2)
        .map(|wanted| {
            let pair: [UnixStream; 2] = UnixStream::pair()?.into();
            let got = [&pair[0], &pair[1]].map(AsRawFd::as_raw_fd);
            assert_eq!(got, wanted, "somebody else in this process opens descriptors");
            Ok(pair)
        })
        .collect()
}
