//! One history, run on the model and on both backends at once, step by step.

use crate::{
    entry::Entry,
    history::{PLACES, Step},
    model::Model,
    world::{Lane, World},
};
use std::{
    any::Any,
    cell::Cell,
    collections::BTreeMap,
    os::fd::RawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicI32, Ordering},
};

/// Above the numbers that the process has otherwise.
const FIRST_NUMBER: RawFd = 100;

/// The step that went wrong, and how.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: usize,
    pub(crate) what: String,
}

/// Runs a history; says how often each callback was called.
pub(crate) fn run(history: &[Step]) -> Result<BTreeMap<&'static str, u64>, Failure> {
    let step = Cell::new(0);
    let result = catch_unwind(AssertUnwindSafe(|| run_steps(history, &step)));
    let what = match result {
        Ok(Ok(calls)) => return Ok(calls),
        Ok(Err(what)) => what,
        Err(payload) => message_of(&*payload),
    };
    Err(Failure { step: step.get(), what })
}

fn run_steps(history: &[Step], at: &Cell<usize>) -> Result<BTreeMap<&'static str, u64>, String> {
    let (mut model, mut lanes) = (Model::default(), lanes());
    for (index, step) in history.iter().enumerate() {
        at.set(index);
        if !model.allows(*step) {
            continue;
        }
        model.step(*step);
        let expected = std::mem::take(&mut model.log);
        for lane in &mut lanes {
            lane.step(*step, &model);
            let found = lane.take_log();
            if found != expected {
                let (found, expected) = (lines(&found), lines(&expected));
                return Err(format!("{}:{found}\nthe model:{expected}", lane.name()));
            }
            lane.check_peers(&model).map_err(|error| format!("{}: {error}", lane.name()))?;
        }
        model.cut.clear();
        model.peers_read();
    }
    Ok(model.calls)
}

/// Each thread has numbers of its own, so that a number is free when a history has closed it.
fn lanes() -> Vec<Box<dyn Lane>> {
    static THREADS: AtomicI32 = AtomicI32::new(0);
    thread_local! {
        static BASE: RawFd = FIRST_NUMBER
            + THREADS.fetch_add(1, Ordering::Relaxed) * 2 * PLACES as RawFd;
    }
    let base = BASE.with(|base| *base);
    vec![
        #[cfg(feature = "select")]
        Box::new(World::<asyncore::Select>::new(base)),
        #[cfg(feature = "poll")]
        Box::new(World::<asyncore::Poll>::new(base + PLACES as RawFd)),
    ]
}

fn lines(entries: &[Entry]) -> String {
    entries
        .iter()
        .map(|Entry(who, what, outcome)| format!("\n  {who} {what} {outcome:?}"))
        .collect()
}

fn message_of(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref().cloned()).unwrap_or_else(|| "a panic".into())
}
