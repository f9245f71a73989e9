//! What is measured: the scenarios, the sizes, and which of them this machine has no room for.

use super::{
    sockets::{Numbers, SPARE},
    work::{self, LAPS},
};
use asyncore::Scan;
use serde::Serialize;
use std::time::Duration;

/// One kind of load, measured at every size.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Scenario {
    /// Its name in the data.
    pub(crate) id: &'static str,
    pub(crate) group: Group,
    /// What tells it from the others of its group.
    pub(crate) title: &'static str,
    pub(crate) work: Work,
    pub(crate) numbers: Numbers,
}

/// Scenarios that are shown side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Group {
    Ready,
    Sleep,
    Place,
    Toggle,
    DefaultScan,
    Kernel,
}

/// What happens in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// This share of the descriptors has a message before the wait begins.
    Ready(Share),
    /// Nothing is ready; another process sends one message while the wait sleeps.
    Sleep,
    /// This share wants to write, is called once, and wants it no more.
    Toggle(Share),
    /// The backend alone, without a reactor: nothing is ready, and the call does not sleep.
    Look { queues: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Share {
    One,
    Percent(usize),
    All,
}

impl Share {
    /// How many of `n` that is; `None` where it would be what a smaller share is.
    pub(crate) fn of(self, n: usize) -> Option<usize> {
        match self {
            Self::One => Some(1),
            Self::Percent(percent) => Some(n * percent / 100).filter(|count| *count > 1),
            Self::All => Some(n),
        }
    }
}

impl Group {
    pub(crate) const ALL: [Self; 6] =
        [Self::Ready, Self::Sleep, Self::Place, Self::Toggle, Self::DefaultScan, Self::Kernel];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Ready => "Busy: the data is there before the wait",
            Self::Sleep => "Blocking: the wait sleeps until a message comes",
            Self::Place => "Busy, but the numbers are not the lowest",
            Self::Toggle => "Toggling: write interest on and off",
            Self::DefaultScan => "With the default scan: the busy few are looked at alone",
            Self::Kernel => "The system call alone, without a reactor",
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Ready => {
                "Messages of 64 bytes travel inside socket pairs whose both ends are watched, among \
                 idle ones. In each pass a share of the descriptors is readable: each is read, and \
                 answered. Low numbers."
            }
            Self::Sleep => {
                "One message from another process for each pass, which comes when the loop is \
                 asleep. Time on the processor: the sleep does not count."
            }
            Self::Place => {
                "One message, as above. High: numbers from 10 000 on. Scattered: evenly spread \
                 over the numbers up to 15 000."
            }
            Self::Toggle => {
                "In each pass a share of the channels wants to write, is called once, and wants it \
                 no more: two changes of interest and one callback each."
            }
            Self::DefaultScan => {
                "One message, as above, but with the reactor's default, Scan::Adaptive: of 64 \
                 channels or more those that were busy lately are asked about alone, the others in \
                 turns between. So most calls are about two descriptors, however many are watched: \
                 far less time, of which what select's bitmaps cost is a larger share."
            }
            Self::Kernel => {
                "Nothing is ready. A look has the timeout 0; with wait queues it is what a wait \
                 costs that sleeps, without the sleep."
            }
        }
    }

    /// What a time is the time of.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Kernel => "call",
            _ => "pass",
        }
    }
}

impl Scenario {
    /// The system calls are what is compared, so a pass is one of them, on everything; the default
    /// has a group of its own.
    pub(crate) fn scan(&self) -> Scan {
        if self.group == Group::DefaultScan { Scan::default() } else { Scan::Plain }
    }
}

const fn scenario(
    id: &'static str,
    group: Group,
    title: &'static str,
    work: Work,
    numbers: Numbers,
) -> Scenario {
    Scenario { id, group, title, work, numbers }
}

use Numbers::{High, Low, Scattered};

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("ready-1", Group::Ready, "1 event", Work::Ready(Share::One), Low),
    scenario("ready-1pc", Group::Ready, "1 % active", Work::Ready(Share::Percent(1)), Low),
    scenario("ready-10pc", Group::Ready, "10 % active", Work::Ready(Share::Percent(10)), Low),
    scenario("ready-all", Group::Ready, "all active", Work::Ready(Share::All), Low),
    scenario("sleep-low", Group::Sleep, "low numbers", Work::Sleep, Low),
    scenario("sleep-high", Group::Sleep, "high numbers", Work::Sleep, High),
    scenario("sleep-scattered", Group::Sleep, "scattered", Work::Sleep, Scattered),
    scenario("place-high", Group::Place, "high numbers", Work::Ready(Share::One), High),
    scenario("place-scattered", Group::Place, "scattered", Work::Ready(Share::One), Scattered),
    scenario("toggle-10pc", Group::Toggle, "10 % toggle", Work::Toggle(Share::Percent(10)), Low),
    scenario("toggle-all", Group::Toggle, "all toggle", Work::Toggle(Share::All), Low),
    scenario("default-low", Group::DefaultScan, "low numbers", Work::Ready(Share::One), Low),
    scenario("default-high", Group::DefaultScan, "high numbers", Work::Ready(Share::One), High),
    scenario(
        "default-scattered",
        Group::DefaultScan,
        "scattered",
        Work::Ready(Share::One),
        Scattered,
    ),
    scenario("look-low", Group::Kernel, "look", Work::Look { queues: false }, Low),
    scenario("queue-low", Group::Kernel, "wait queues", Work::Look { queues: true }, Low),
    scenario("look-high", Group::Kernel, "look, high", Work::Look { queues: false }, High),
    scenario(
        "look-scattered",
        Group::Kernel,
        "look, scattered",
        Work::Look { queues: false },
        Scattered,
    ),
];

/// What all of it needs, and some.
pub(crate) const MOST_DESCRIPTORS: u64 = 32_768;

/// How much is measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Extent {
    pub(crate) name: &'static str,
    pub(crate) sizes: &'static [usize],
    /// An even number: each backend is first in half of them.
    pub(crate) rounds: usize,
    /// How long one measurement of one backend is to take.
    pub(crate) measurement: Duration,
    /// What is not measured by then is left out.
    pub(crate) at_most: Duration,
}

pub(crate) const FULL: Extent = Extent {
    name: "full",
    sizes: &[10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000],
    rounds: 12,
    measurement: Duration::from_millis(30),
    at_most: Duration::from_secs(340),
};

pub(crate) const QUICK: Extent = Extent {
    name: "quick",
    sizes: &[10, 100, 1000, 5000],
    rounds: 8,
    measurement: Duration::from_millis(12),
    at_most: Duration::from_secs(50),
};

/// One scenario at one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) scenario: &'static Scenario,
    pub(crate) n: usize,
    /// How many descriptors have something to say in a pass.
    pub(crate) active: usize,
}

/// What was not measured, and why.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) scenario: &'static str,
    pub(crate) descriptors: usize,
    pub(crate) why: String,
}

impl LeftOut {
    fn for_want_of_numbers(task: &Task, needed: usize, limit: usize) -> Self {
        Self::new(task, format!("needs {needed} descriptors, and there are {limit}"))
    }

    pub(crate) fn for_want_of_time(task: &Task) -> Self {
        Self::new(task, "the time was over".to_owned())
    }

    fn new(task: &Task, why: String) -> Self {
        Self { scenario: task.scenario.id, descriptors: task.n, why }
    }
}

impl Task {
    /// How long one measurement is to take. One that sleeps has less of what counts in it.
    pub(crate) fn time(&self, extent: &Extent) -> Duration {
        extent.measurement * if self.scenario.work == Work::Sleep { 3 } else { 1 }
    }

    /// A rough idea of how long it takes, for the progress.
    pub(crate) fn estimate(&self, extent: &Extent) -> Duration {
        let pass = Duration::from_nanos(150) * self.n as u32
            + Duration::from_micros(2) * self.active as u32
            + Duration::from_micros(if self.scenario.work == Work::Sleep { 400 } else { 2 });
        // Opening is dear; moving from one reactor to the next is not.
        let open = Duration::from_micros(5) * self.scenario.numbers.needed(self.n) as u32;
        let laps = LAPS as u32;
        let run = self.time(extent).max(pass * laps) * (laps + 1) / laps;
        let warm_up = pass * work::warm_up(self.scenario.scan()) as u32;
        (run + warm_up + open) * 2 * (extent.rounds as u32 + 1)
    }
}

/// Everything there is to measure with descriptors below `limit`, small sizes first; and what there
/// is no room for.
pub(crate) fn tasks(extent: &Extent, limit: usize) -> (Vec<Task>, Vec<LeftOut>) {
    let (mut tasks, mut left_out) = (Vec::new(), Vec::new());
    for &n in extent.sizes {
        for scenario in SCENARIOS {
            let active = match scenario.work {
                Work::Ready(share) | Work::Toggle(share) => share.of(n),
                Work::Sleep => Some(1),
                Work::Look { .. } => Some(0),
            };
            let Some(active) = active else { continue };
            let task = Task { scenario, n, active };
            let needed = scenario.numbers.needed(n + SPARE);
            if needed <= limit {
                tasks.push(task);
            } else {
                left_out.push(LeftOut::for_want_of_numbers(&task, needed, limit));
            }
        }
    }
    (tasks, left_out)
}
