//! One task: both backends in turn, round by round.

use super::{
    plan::{Extent, Task, Work},
    work::{Arena, LAPS, Run},
};
use asyncore::{Poll, Select};
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
/// both; who is first alternates. Ends early if it is interrupted.
pub(crate) fn measure(
    task: Task,
    extent: &Extent,
    interrupted: &AtomicBool,
) -> io::Result<Vec<Round>> {
    let mut arena = Arena::open(task)?;
    let passes = calibrate(&mut arena, task, extent)?;
    let mut rounds = Vec::with_capacity(extent.rounds);
    for round in 0..extent.rounds {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let (poll, select);
        if round % 2 == 0 {
            poll = arena.run(Poll::new(), passes)?;
            select = arena.run(Select::new(), passes)?;
        } else {
            select = arena.run(Select::new(), passes)?;
            poll = arena.run(Poll::new(), passes)?;
        }
        check(task, &poll, &select)?;
        rounds.push(Round { poll, select });
    }
    Ok(rounds)
}

/// How many passes a lap has; the same for both.
fn calibrate(arena: &mut Arena, task: Task, extent: &Extent) -> io::Result<u64> {
    let mut both = [arena.run(Poll::new(), 1)?, arena.run(Select::new(), 1)?];
    let slower = |both: [Run; 2]| both.map(|run| run.pass).into_iter().fold(0.0, f64::max);
    let pass = if task.scenario.work == Work::Sleep {
        let delay = Duration::from_nanos(3 * slower(both) as u64) + Duration::from_micros(100);
        arena.set_delay(delay);
        both = [arena.run(Poll::new(), 1)?, arena.run(Select::new(), 1)?];
        // A sleep takes time as well, though it does not count.
        both[0].wall.max(both[1].wall).as_nanos() as f64 / LAPS as f64
    } else {
        slower(both)
    };
    let passes = task.time(extent).as_nanos() as f64 / pass / LAPS as f64;
    Ok(passes.clamp(1.0, 2000.0) as u64)
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
