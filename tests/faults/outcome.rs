//! What became of a call that failed: the run in which it did, against one in which nothing does.

use crate::strace::{Call, Run};
use nix::errno::Errno;
use std::collections::BTreeMap;

/// More waits than this above what there are without a failure is a loop that spins.
const MORE_WAITS: usize = 8;

/// In the words that OUTCOMES.md explains; an error if it is none that may be.
pub(crate) fn of(usual: &Run, run: &Run, errno: Errno) -> Result<String, String> {
    if let Some(failure) = &run.failure {
        return Err(failure.clone());
    }
    let injected = run.calls.iter().position(|call| call.injected);
    let Some(injected) = injected else { return Err("no call has failed".to_owned()) };
    if waits(run) > waits(usual) + MORE_WAITS {
        return Err(format!("spin: {} waits", waits(run)));
    }
    let (before, after) = (events(usual), events(run));
    let mut touched = Vec::new();
    for number in before.keys().chain(after.keys()) {
        if before.get(number) != after.get(number) && !touched.contains(number) {
            touched.push(*number);
        }
    }
    if touched.is_empty() {
        return Ok(again(&run.calls[injected], &run.calls[injected + 1..]).to_owned());
    }
    let mut told = Vec::new();
    let mut done = true;
    for number in &touched {
        let usual = before.get(number).cloned().unwrap_or_default();
        let found = after.get(number).cloned().unwrap_or_default();
        let misses = usual.contains(&"done") && !found.contains(&"done");
        let news: Vec<_> = found.into_iter().filter(|event| !usual.contains(event)).collect();
        if misses && news.is_empty() {
            return Err("lost: nobody was told".to_owned());
        }
        done &= !misses;
        told.extend(news);
    }
    if let Some(bad) = told.iter().find(|event| ["hangs", "spins"].contains(event)) {
        return Err(format!("lost: it {bad}"));
    }
    if touched.iter().filter(|number| **number != "0").count() > 1 {
        return Err(format!("lost: the failure of one is another's, too: {:?}", run.log));
    }
    // The errno is worth to be told only where it is another one.
    let own = format!(" {errno:?}");
    let mut words: Vec<_> = told
        .into_iter()
        .map(|event| match event.strip_suffix(&own) {
            Some(event) => event.to_owned(),
            None => match event.split_once(' ') {
                Some((event, errno)) => format!("{event} ({errno})"),
                None => event.to_owned(),
            },
        })
        .collect();
    if errno == Errno::EINTR && words.iter().any(|word| word == "returned") {
        return Err("an interruption is nobody's error".to_owned());
    }
    if done {
        words.push("done".to_owned());
    }
    Ok(words.join(", "))
}

fn waits(run: &Run) -> usize {
    run.calls.iter().filter(|call| call.is_wait()).count()
}

/// What nobody heard of: whether the call was made once more.
fn again(failed: &Call, after: &[Call]) -> &'static str {
    match after.iter().position(|call| call.repeats(failed)) {
        None => "passed over",
        Some(next) if failed.is_wait() || !after[..next].iter().any(Call::is_wait) => "retried",
        Some(_) => "retried when ready",
    }
}

/// What each operation told, in order.
fn events(run: &Run) -> BTreeMap<&str, Vec<&str>> {
    let mut events = BTreeMap::<_, Vec<_>>::new();
    for (number, event) in run.log.iter().filter_map(|line| line.split_once(' ')) {
        events.entry(number).or_default().push(event);
    }
    events
}
