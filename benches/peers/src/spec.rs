//! The work by name: `ring(1000,100)` and so on.

use std::{fmt, str::FromStr};

/// One work with its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spec {
    /// `n` pairs, around which `active` bytes travel.
    Ring { n: usize, active: usize },
    /// The same ring, but the bytes travel only at times, and stay where they are at others.
    Change { n: usize, active: usize },
    /// Ping-pong in `active` pairs, among `n` idle ones.
    Sparse { n: usize, active: usize },
    /// All of `n` are ready.
    Dense { n: usize },
    /// One byte through `n` pairs, each watched for one readiness.
    Cascade { n: usize },
    /// What is watched changes `n` times, twice.
    Churn { n: usize, toggled: Toggled },
    /// A TCP server with `idle` silent connections and `active` that talk.
    Echo { idle: usize, active: usize },
    /// Sparse, and another process writes to idle ones.
    Cold { n: usize, active: usize },
    /// A ring on other descriptor numbers.
    Place { n: usize, place: Place },
    /// What `n` idle channels take.
    Memory { n: usize },
}

/// What [`Spec::Churn`] changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toggled {
    Channels,
    Writing,
}

/// Which numbers the descriptors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Low,
    /// Above 10 000.
    High,
    /// One in six.
    Scattered,
}

use Spec::{Cascade, Change, Churn, Cold, Dense, Echo, Memory, Place as Placed, Ring, Sparse};

/// All work, in the order in which it is done and told of.
pub(crate) const ALL: &[Spec] = &[
    Ring { n: 1000, active: 1 },
    Ring { n: 1000, active: 100 },
    Change { n: 1000, active: 10 },
    Sparse { n: 0, active: 10 },
    Sparse { n: 100, active: 10 },
    Sparse { n: 9000, active: 10 },
    Sparse { n: 9000, active: 100 },
    Dense { n: 10 },
    Dense { n: 100 },
    Dense { n: 1000 },
    Dense { n: 4000 },
    Cascade { n: 1000 },
    Churn { n: 1000, toggled: Toggled::Channels },
    Churn { n: 1000, toggled: Toggled::Writing },
    Echo { idle: 0, active: 50 },
    Echo { idle: 1000, active: 1 },
    Echo { idle: 8000, active: 1 },
    Echo { idle: 8000, active: 50 },
    Cold { n: 8000, active: 10 },
    Placed { n: 1000, place: Place::Low },
    Placed { n: 1000, place: Place::High },
    Placed { n: 1000, place: Place::Scattered },
    Memory { n: 10_000 },
];

impl Spec {
    /// `ring` of `ring(1000,100)`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Ring { .. } => "ring",
            Change { .. } => "change",
            Sparse { .. } => "sparse",
            Dense { .. } => "dense",
            Cascade { .. } => "cascade",
            Churn { .. } => "churn",
            Echo { .. } => "echo",
            Cold { .. } => "cold",
            Placed { .. } => "place",
            Memory { .. } => "memory",
        }
    }

    /// What is done, and what one operation is.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Ring { .. } => {
                "All of n socketpairs are watched for reading; a byte read on one is written to the next; \
                 `active` bytes travel at once. Per byte and pair."
            }
            Change { .. } => {
                "The ring, in which the activity moves for 250 hops and stays where it is for the \
                 next 250. Per hop."
            }
            Sparse { .. } => {
                "Ping-pong of 64 bytes inside `active` socketpairs whose both ends are watched, \
                 spread among n idle ones of which one end is. Per message."
            }
            Dense { .. } => "All n are ready, and each is read. Per event.",
            Cascade { .. } => {
                "The cascade of libevent: a byte through n socketpairs, each watched for one readiness; \
                 the registration is timed with the rest. Per hop."
            }
            Churn { toggled: Toggled::Channels, .. } => {
                "All of n channels are added, and removed. Timed with the pass in which it takes effect, \
                 less the time of a pass in which nothing changes. Per channel added or removed."
            }
            Churn { toggled: Toggled::Writing, .. } => {
                "Interest in writing is set on n channels, and taken back, where there is no room \
                 to write; timed like the addition of channels. Per change. (CPython asks everybody \
                 before every wait, so a change costs it nothing and every wait the more.)"
            }
            Echo { .. } => {
                "A TCP echo server, with `idle` silent connections and ping-pong of 64 bytes on \
                 `active` others; the load is another process, the same for all. Wall time per \
                 message; latency; the server's processor time per message."
            }
            Cold { .. } => {
                "Sparse, and another process writes to 200 of the idle descriptors at random times, \
                 one in 2.5 ms on average. Time per message of the busy ones, and the time until a \
                 write to an idle one is read."
            }
            Placed { .. } => {
                "The work ring(n,1), where the descriptors have low numbers, numbers above 10 000, or \
                 scattered ones. Per byte and pair."
            }
            Memory { .. } => {
                "What n idle channels take of the process's memory (the kernel's is not in it). Per \
                 channel."
            }
        }
    }

    /// How many descriptors it takes, roughly.
    pub(crate) fn descriptors(&self) -> u64 {
        let count = match *self {
            Ring { n, .. } | Change { n, .. } | Dense { n } | Cascade { n } | Churn { n, .. } => {
                2 * n
            }
            Sparse { n, active } | Cold { n, active } => 2 * n + 3 * active,
            Echo { idle, active } => idle + active,
            Placed { n, place: Place::Low } => 2 * n,
            Placed { n, place: Place::High } => 2 * n + 10_000,
            Placed { n, place: Place::Scattered } => 12 * n,
            Memory { n } => n,
        };
        count as u64 + 100
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Ring { n, active }
            | Change { n, active }
            | Sparse { n, active }
            | Echo { idle: n, active }
            | Cold { n, active } => write!(f, "{name}({n},{active})"),
            Dense { n } | Cascade { n } | Memory { n } => write!(f, "{name}({n})"),
            Churn { n, toggled: Toggled::Channels } => write!(f, "{name}({n},channels)"),
            Churn { n, toggled: Toggled::Writing } => write!(f, "{name}({n},writing)"),
            Placed { n, place: Place::Low } => write!(f, "{name}({n},low)"),
            Placed { n, place: Place::High } => write!(f, "{name}({n},high)"),
            Placed { n, place: Place::Scattered } => write!(f, "{name}({n},scattered)"),
        }
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|spec| spec.to_string() == text);
        found.copied().ok_or_else(|| format!("there is no work {text:?}"))
    }
}
