//! The peers: their names, and which adapter is whose.

mod asyncore;
mod bare_epoll;
mod bare_hot;
mod bare_poll;
mod bare_select;
#[cfg(any(has_libevent, has_libev))]
mod c_loops;
mod mio;
mod polling;
mod popol;

use crate::{
    peer::{Method, Peer},
    spec::Spec,
};
use ::asyncore::{Poll, Select};
use asyncore::Asyncore;
use bare_hot::BareHot;
use bare_poll::BarePoll;
use bare_select::BareSelect;
use std::{fmt, io, str::FromStr};

/// What a peer is to the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare loop on the system call.
    Bare,
    /// Somebody else's reactor.
    Peer,
    /// CPython's asyncore, which is another program.
    Python,
    Ours,
}

/// One row of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) library: &'static str,
    pub(crate) method: Method,
    pub(crate) kind: Kind,
    /// Whether it takes the build in which mio and polling are forced to use poll(2).
    pub(crate) forced: bool,
}

const fn entry(library: &'static str, method: Method, kind: Kind) -> Entry {
    Entry { library, method, kind, forced: false }
}

const fn forced(library: &'static str) -> Entry {
    Entry { library, method: Method::Poll, kind: Kind::Peer, forced: true }
}

/// Ours with the usual choices.
pub(crate) const OURS: &str = "asyncore-rs";
/// Ours, asking about everything in each call.
pub(crate) const PLAIN: &str = "asyncore-rs plain";
/// Ours, with half of the time for those that are not busy.
pub(crate) const HALF: &str = "asyncore-rs half";

/// A bare loop that knows who is busy.
pub(crate) const HOT: &str = "bare hot";

/// Everybody, in the order of the rounds.
pub(crate) const ALL: &[Entry] = &[
    entry("bare", Method::Poll, Kind::Bare),
    entry(OURS, Method::Poll, Kind::Ours),
    entry(PLAIN, Method::Poll, Kind::Ours),
    entry(HALF, Method::Poll, Kind::Ours),
    entry("bare", Method::Select, Kind::Bare),
    entry(OURS, Method::Select, Kind::Ours),
    entry(PLAIN, Method::Select, Kind::Ours),
    entry(HALF, Method::Select, Kind::Ours),
    entry("bare", Method::Epoll, Kind::Bare),
    entry(HOT, Method::Poll, Kind::Bare),
    entry(HOT, Method::Select, Kind::Bare),
    entry("mio", Method::Epoll, Kind::Peer),
    forced("mio"),
    forced("polling"),
    entry("popol", Method::Poll, Kind::Peer),
    entry("libevent", Method::Poll, Kind::Peer),
    entry("libevent", Method::Select, Kind::Peer),
    entry("libevent", Method::Epoll, Kind::Peer),
    entry("libev", Method::Poll, Kind::Peer),
    entry("libev", Method::Select, Kind::Peer),
    entry("libev", Method::Epoll, Kind::Peer),
    entry("CPython", Method::Poll, Kind::Python),
    entry("CPython", Method::Select, Kind::Python),
];

/// Something that is generic over the peer.
pub(crate) trait Task {
    type Output;
    fn run<P: Peer>(self) -> io::Result<Self::Output>;
}

impl Entry {
    /// Whether its row would say something that no other row says.
    pub(crate) fn takes_part_in(self, spec: &Spec) -> bool {
        match self.library {
            HALF => matches!(spec, Spec::Cold { .. }),
            HOT => matches!(spec, Spec::Cold { .. } | Spec::Sparse { n: 9000.., .. }),
            _ => true,
        }
    }

    /// Runs `task` on this peer, if it was built into this program.
    pub(crate) fn run<T: Task>(self, task: T) -> io::Result<T::Output> {
        match (self.library, self.method) {
            ("bare", Method::Poll) => task.run::<BarePoll>(),
            ("bare", Method::Select) => task.run::<BareSelect>(),
            ("bare", Method::Epoll) => task.run::<bare_epoll::BareEpoll>(),
            (OURS, Method::Poll) => task.run::<Asyncore<Poll>>(),
            (PLAIN, Method::Poll) => task.run::<Asyncore<Poll, asyncore::Plain>>(),
            (HALF, Method::Poll) => task.run::<Asyncore<Poll, asyncore::Half>>(),
            (OURS, Method::Select) => task.run::<Asyncore<Select>>(),
            (PLAIN, Method::Select) => task.run::<Asyncore<Select, asyncore::Plain>>(),
            (HALF, Method::Select) => task.run::<Asyncore<Select, asyncore::Half>>(),
            (HOT, Method::Poll) => task.run::<BareHot<BarePoll>>(),
            (HOT, Method::Select) => task.run::<BareHot<BareSelect>>(),
            ("mio", _) => task.run::<mio::Mio>(),
            ("polling", _) => task.run::<polling::Polling>(),
            ("popol", _) => task.run::<popol::Popol>(),
            #[cfg(has_libevent)]
            ("libevent", _) => task.run::<c_loops::CLoop<c_loops::Libevent>>(),
            #[cfg(has_libev)]
            ("libev", _) => task.run::<c_loops::CLoop<c_loops::Libev>>(),
            _ => Err(io::Error::other("not installed when this was built")),
        }
    }

    /// The version of a C library; the others' are in Cargo.lock.
    pub(crate) fn version(self) -> Option<String> {
        match self.library {
            #[cfg(has_libevent)]
            "libevent" => Some(<c_loops::Libevent as c_loops::Library>::version()),
            #[cfg(has_libev)]
            "libev" => Some(<c_loops::Libev as c_loops::Library>::version()),
            _ => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.library, self.method)
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|entry| entry.to_string() == name);
        found.copied().ok_or_else(|| format!("there is no peer {name:?}"))
    }
}
