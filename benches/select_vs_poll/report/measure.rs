//! One task: both backends in turn, round by round.

use super::{
    plan::{Extent, Task, Work},
    work::{Arena, LAPS, Run},
};
use asyncore::{Backend, Poll, Select};
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Both backends' measurements of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) poll: Run,
    pub(crate) select: Run,
}

/// Measures one task. Each round has both backends in it, so that what else the machine does hits
/// both; who is first alternates. Each has new sockets in each round, so that where they happen to
/// lie in the kernel's memory is no property of the task: of two that share theirs, the second may
/// take a fifth longer, or less. Ends early if it is interrupted.
pub(crate) fn measure(
    task: Task,
    extent: &Extent,
    interrupted: &AtomicBool,
) -> io::Result<Vec<Round>> {
    let pace = Pace::find(task, extent)?;
    let mut rounds = Vec::with_capacity(extent.rounds);
    for round in 0..extent.rounds {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let (poll, select);
        if round % 2 == 0 {
            poll = pace.run(task, Poll::new())?;
            select = pace.run(task, Select::new())?;
        } else {
            select = pace.run(task, Select::new())?;
            poll = pace.run(task, Poll::new())?;
        }
        check(task, &poll, &select)?;
        rounds.push(Round { poll, select });
    }
    Ok(rounds)
}

/// What is the same for both backends in all rounds.
struct Pace {
    /// How many passes a lap has.
    passes: u64,
    /// How long the other process waits before it sends: more than a pass takes, so that the
    /// message finds this one asleep.
    delay: Duration,
}

impl Pace {
    fn find(task: Task, extent: &Extent) -> io::Result<Self> {
        let slower = |delay| {
            let mut arena = Arena::open(task, delay)?;
            let both = [arena.run(Poll::new(), 1)?, arena.run(Select::new(), 1)?];
            let pass = both.map(|run| run.pass).into_iter().fold(0.0, f64::max);
            let wall = both.map(|run| run.wall).into_iter().max().unwrap_or_default();
            io::Result::Ok((pass, wall.as_nanos() as f64 / LAPS as f64))
        };
        let (mut pass, _) = slower(Duration::ZERO)?;
        let mut delay = Duration::ZERO;
        if task.scenario.work == Work::Sleep {
            delay = Duration::from_nanos(3 * pass as u64) + Duration::from_micros(100);
            // A sleep takes time as well, though it does not count.
            (_, pass) = slower(delay)?;
        }
        let passes = task.time(extent).as_nanos() as f64 / pass / LAPS as f64;
        Ok(Self { passes: passes.clamp(1.0, 2000.0) as u64, delay })
    }

    /// One backend, on sockets of its own.
    fn run<B: Backend>(&self, task: Task, backend: B) -> io::Result<Run> {
        Arena::open(task, self.delay)?.run(backend, self.passes)
    }
}

/// Whether both did the same: a time is nothing without.
fn check(task: Task, poll: &Run, select: &Run) -> io::Result<()> {
    let same = poll.events == select.events && poll.bytes == select.bytes;
    if same && poll.events == poll.passes * task.active as u64 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} with {} descriptors: poll served {} events, select {}, and {} were expected",
        task.scenario.id,
        task.n,
        poll.events,
        select.events,
        poll.passes * task.active as u64,
    )))
}
