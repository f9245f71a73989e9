//! The rounds: every peer once, one after the other, and again.

use super::{
    Plan,
    build::Programs,
    machine, process,
    results::{Results, Row, WorkResult},
};
use crate::{
    outcome::{Counts, Outcome},
    peers::{Entry, Kind},
    spec::Spec,
};
use nix::sys::resource::{Resource, getrlimit};
use std::{
    io,
    process::Command,
    time::{Duration, Instant},
};

/// How long one round of one peer may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(
    plan: &Plan,
    specs: &[Spec],
    entries: &[Entry],
    programs: &Programs,
) -> io::Result<Results> {
    let peers = entries.iter().map(|entry| (*entry, programs.version(*entry))).collect::<Vec<_>>();
    for (entry, version) in &peers {
        if let Err(reason) = version {
            eprintln!("skipped: {entry}: {reason}");
        }
    }
    let there: Vec<Entry> =
        peers.iter().filter(|(_, version)| version.is_ok()).map(|(entry, _)| *entry).collect();

    let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let start = Instant::now();
    let (mut works, mut left_out) = (Vec::new(), Vec::new());
    for (index, spec) in specs.iter().enumerate() {
        if start.elapsed() >= plan.limit() {
            left_out.push((*spec, "there was no time left".into()));
            continue;
        }
        if spec.descriptors() > descriptors {
            let reason = format!("it takes {} descriptors", spec.descriptors());
            eprintln!("skipped: {spec}: {reason}");
            left_out.push((*spec, reason));
            continue;
        }
        let begun = Instant::now();
        let rows = work(plan, *spec, &there, programs);
        eprintln!(
            "{:>4} s  {}/{}  {spec}: {:.1} s",
            start.elapsed().as_secs(),
            index + 1,
            specs.len(),
            begun.elapsed().as_secs_f64(),
        );
        works.push(WorkResult { spec: *spec, load: machine::load_average(), rows });
    }
    Ok(Results {
        rounds: plan.rounds(),
        ms: plan.ms(),
        took: start.elapsed(),
        load_before: String::new(),
        load_after: machine::load_average(),
        peers,
        works,
        left_out,
        calls: Vec::new(),
    })
}

/// All rounds of one work.
fn work(plan: &Plan, spec: Spec, entries: &[Entry], programs: &Programs) -> Vec<Row> {
    let entries = entries.iter().copied().filter(|entry| entry.takes_part_in(&spec));
    let mut rows: Vec<Row> = entries.map(|entry| Row { entry, outcomes: Ok(Vec::new()) }).collect();
    for round in 0..plan.rounds() {
        for index in 0..rows.len() {
            // Nobody is always the first, nor always after the same one.
            let index = (index + round * 5) % rows.len();
            let backwards = !round.is_multiple_of(2);
            let index = if backwards { rows.len() - 1 - index } else { index };
            let row = &mut rows[index];
            let Ok(outcomes) = &mut row.outcomes else { continue };
            match one(plan, spec, row.entry, programs) {
                Ok(outcome) => outcomes.push(outcome),
                Err(reason) => {
                    eprintln!("skipped: {} in {spec}: {reason}", row.entry);
                    row.outcomes = Err(reason);
                }
            }
        }
    }
    rows
}

/// One round of one peer.
fn one(plan: &Plan, spec: Spec, entry: Entry, programs: &Programs) -> Result<Outcome, String> {
    let mut command = command(plan, spec, entry, programs);
    let outcome: Outcome = process::line(&mut command, PATIENCE)?.parse()?;
    let Counts { reads, writes, messages } = outcome.counts;
    let expected = match spec {
        // As many as fit into the time, each read once and written once.
        Spec::Echo { .. } | Spec::Cold { .. } => messages,
        Spec::Churn { .. } | Spec::Memory { .. } => 0,
        Spec::Dense { n } | Spec::Cascade { n } => n as u64 * outcome.samples,
        _ => 1000 * outcome.samples,
    };
    if [reads, writes, messages] != [expected; 3] {
        return Err(format!(
            "{reads} reads, {writes} writes and {messages} messages, where {expected} were expected"
        ));
    }
    Ok(outcome)
}

fn command(plan: &Plan, spec: Spec, entry: Entry, programs: &Programs) -> Command {
    let (ms, spec_name) = (plan.ms().to_string(), spec.to_string());
    if let Spec::Echo { .. } = spec {
        let mut command = Command::new(&programs.plain);
        // What takes samples for so long gets more time in all: it sets up and warms up besides.
        let ms = (3 * plan.ms()).to_string();
        command.args(["load", &spec_name, "--ms", &ms, "--"]);
        let server = programs.command(entry, "serve");
        command.arg(server.get_program()).args(server.get_args());
        return command;
    }
    let mut command = programs.command(entry, "round");
    command.arg(spec_name);
    if entry.kind == Kind::Python {
        command.arg(ms).arg(&programs.plain);
    } else {
        command.args(["--ms", &ms]);
    }
    command
}
