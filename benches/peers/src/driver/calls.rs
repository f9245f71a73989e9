//! How many system calls an operation takes, counted by strace.

use super::{
    build,
    build::Programs,
    process,
    results::{Results, WorkResult},
};
use crate::{
    peers::{Entry, Kind},
    spec::{Spec, Toggled},
};
use std::{collections::BTreeMap, env, fs, path::Path, process::Command, time::Duration};

/// The system calls of one peer in one work.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) spec: Spec,
    pub(crate) entry: Entry,
    /// By name, for each operation, in samples that come after the first.
    pub(crate) each: BTreeMap<String, f64>,
}

impl Calls {
    /// Whether the kernel saw other reads and writes than the work makes, and so the adapter or its
    /// library made some of its own.
    pub(crate) fn differ(&self) -> Option<String> {
        let expected = if matches!(self.spec, Spec::Churn { .. }) { 0.0 } else { 1.0 };
        let counted =
            ["recvfrom", "sendto"].map(|name| self.each.get(name).copied().unwrap_or(0.0));
        let right = counted.iter().all(|each| (each - expected).abs() <= NOISE);
        let [reads, writes] = counted;
        (!right).then(|| format!("strace counts {reads:.2} reads and {writes:.2} writes of each"))
    }

    /// All of them.
    pub(crate) fn per_operation(&self) -> f64 {
        self.each.values().sum()
    }
}

/// What is less than this is of the measurement: the waits around the changes, the clock.
const NOISE: f64 = 0.01;

const FEW: u64 = 1;
const MANY: u64 = 4;

/// What is worth counting, and how many operations a sample of it has.
fn operations(spec: Spec) -> Option<usize> {
    match spec {
        Spec::Ring { active: 1, .. } => Some(1000),
        Spec::Sparse { n: 100, .. } => Some(1000),
        Spec::Cascade { n } => Some(n),
        Spec::Churn { n, toggled: Toggled::Channels | Toggled::Writing } => Some(2 * n),
        _ => None,
    }
}

/// Counts for all peers that were measured; nothing where there is no strace.
pub(crate) fn count(specs: &[Spec], results: &Results, programs: &Programs) -> Vec<Calls> {
    if !build::has("strace") {
        eprintln!("skipped: system calls: there is no strace");
        return Vec::new();
    }
    let mut calls = Vec::new();
    for spec in specs {
        let (Some(operations), Some(work)) = (operations(*spec), results.work(*spec)) else {
            continue;
        };
        for row in work.measured().filter(|row| row.entry.kind != Kind::Python) {
            let counted = |samples| trace(*spec, row.entry, programs, samples);
            let (few, many) = match (counted(FEW), counted(MANY)) {
                (Ok(few), Ok(many)) => (few, many),
                (Err(reason), _) | (_, Err(reason)) => {
                    eprintln!("skipped: system calls of {} in {spec}: {reason}", row.entry);
                    continue;
                }
            };
            let samples = (MANY - FEW) as f64 * operations as f64;
            let each = many.into_iter().filter_map(|(name, count)| {
                let more = count.saturating_sub(few.get(&name).copied().unwrap_or(0));
                Some((name, more as f64 / samples)).filter(|(_, each)| *each >= NOISE)
            });
            calls.push(Calls { spec: *spec, entry: row.entry, each: each.collect() });
        }
    }
    calls
}

/// Drops the rows of those whose reads and writes are not those of the work.
pub(crate) fn check(calls: &[Calls], works: &mut [WorkResult]) {
    for calls in calls {
        let Some(difference) = calls.differ() else { continue };
        eprintln!("skipped: {} in {}: {difference}", calls.entry, calls.spec);
        let work = works.iter_mut().find(|work| work.spec == calls.spec);
        let rows = work.into_iter().flat_map(|work| &mut work.rows);
        for row in rows.filter(|row| row.entry == calls.entry) {
            row.outcomes = Err(difference.clone());
        }
    }
}

/// The calls of a whole process.
fn trace(
    spec: Spec,
    entry: Entry,
    programs: &Programs,
    samples: u64,
) -> Result<BTreeMap<String, u64>, String> {
    let traced = programs.command(entry, "round");
    let file = env::temp_dir().join(format!("peers-{}.calls", std::process::id()));
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-c", "-U", "calls,name", "-o"]).arg(&file);
    command.arg(traced.get_program()).args(traced.get_args());
    command.args([&spec.to_string(), "--samples", &samples.to_string()]);
    let said = process::line(&mut command, Duration::from_secs(60));
    let counts = read(&file);
    let _ = fs::remove_file(&file);
    said?;
    counts
}

fn read(file: &Path) -> Result<BTreeMap<String, u64>, String> {
    let table = fs::read_to_string(file).map_err(|error| error.to_string())?;
    // "    1000 poll", under a heading and a ruler, and over the total.
    let rows = table.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        Some((name.trim().to_string(), count.parse().ok()?))
    });
    Ok(rows.filter(|(name, _)| name != "total").collect())
}
