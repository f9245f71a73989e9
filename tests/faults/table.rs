//! OUTCOMES.md: written, and compared with what is found.

use crate::{
    errnos::PAGES,
    outcome,
    scenarios::SCENARIOS,
    strace::{self, Call, Injection, Run},
    subject::{OPERATIONS, Scenario},
};
use nix::errno::Errno;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    num::NonZero,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

const BACKENDS: [&str; 2] = ["poll", "select"];

const INTRODUCTION: &str = include_str!("introduction.md");

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/faults/OUTCOMES.md")
}

/// Writes the page anew.
pub(crate) fn write() {
    let next = AtomicUsize::new(0);
    let mut sections: Vec<_> = thread::scope(|scope| {
        let work = || {
            let mut sections = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(scenario) = SCENARIOS.get(index) else { return sections };
                sections.push((index, section(scenario)));
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    sections.sort_by_key(|(index, _)| *index);
    let mut text = INTRODUCTION.to_owned();
    let mut good = true;
    for (_, section) in sections {
        match section {
            Ok(section) => text.extend(["\n", &section]),
            Err(error) => {
                good = false;
                eprintln!("{error}");
            }
        }
    }
    assert!(good, "nothing was written");
    fs::write(page(), text).unwrap();
}

/// Compares a scenario with its section.
pub(crate) fn check(scenario: &Scenario) -> Result<(), String> {
    let found = section(scenario)?;
    let page = fs::read_to_string(page()).map_err(|error| format!("OUTCOMES.md: {error}"))?;
    let expected = section_of(&page, scenario).unwrap_or_default();
    if found == expected {
        return Ok(());
    }
    let mut difference = String::new();
    let (before, after): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    for line in before.iter().filter(|line| !after.contains(line)) {
        writeln!(difference, "-{line}").unwrap();
    }
    for line in after.iter().filter(|line| !before.contains(line)) {
        writeln!(difference, "+{line}").unwrap();
    }
    Err(format!(
        "not as in OUTCOMES.md (-expected, +found; FAULTS_BLESS=1 writes it anew, if that is \
         meant):\n{difference}"
    ))
}

/// The page has each scenario once and nothing else, and every call that the library makes is one
/// that fails in one of them.
pub(crate) fn check_complete() -> Result<(), String> {
    let mut made = BTreeSet::new();
    for scenario in SCENARIOS {
        for backend in BACKENDS {
            made.extend(usual(scenario, backend)?.calls.iter().map(Call::title));
        }
    }
    let aims: BTreeSet<_> =
        SCENARIOS.iter().flat_map(|scenario| scenario.aims).map(|aim| (*aim).to_owned()).collect();
    let missing: Vec<_> = made.difference(&aims).collect();
    if !missing.is_empty() {
        return Err(format!("calls that fail in no scenario: {missing:?}"));
    }
    let page = fs::read_to_string(page()).map_err(|error| format!("OUTCOMES.md: {error}"))?;
    let sections = SCENARIOS.iter().map(|scenario| section_of(&page, scenario));
    let sections = sections.collect::<Option<Vec<_>>>().ok_or("a scenario is missing")?;
    if page != [INTRODUCTION, "\n", &sections.join("\n")].concat() {
        return Err("OUTCOMES.md is not what would be written".to_owned());
    }
    Ok(())
}

fn title(scenario: &Scenario) -> String {
    format!("## {}\n", scenario.name.replace('_', " "))
}

/// From its title to the next one.
fn section_of(page: &str, scenario: &Scenario) -> Option<String> {
    let begin = page.find(&format!("\n{}", title(scenario)))? + 1;
    let section = &page[begin..];
    let end = section.find("\n\n## ").map_or(section.len(), |end| end + 1);
    Some(section[..end].to_owned())
}

/// The scenario, with a table for each of its calls.
fn section(scenario: &Scenario) -> Result<String, String> {
    let mut text = format!("{}\n{}.\n", title(scenario), scenario.about);
    let usual: Vec<_> =
        BACKENDS.iter().map(|backend| usual(scenario, backend)).collect::<Result<_, _>>()?;
    for aim in scenario.aims {
        let name = aim.split(' ').next().unwrap_or_default();
        let known = PAGES.iter().find(|(call, ..)| *call == name);
        let (_, man, errnos) = known.ok_or_else(|| format!("{name}: no man page"))?;
        writeln!(text, "\n`{aim}`: {man}\n").unwrap();
        text.push_str("| errno | poll | select |\n|---|---|---|\n");
        for errno in *errnos {
            let mut cells = Vec::new();
            for (backend, usual) in BACKENDS.iter().zip(&usual) {
                cells.push(cell(scenario, backend, usual, aim, *errno)?);
            }
            let [poll, select] = cells.as_slice() else { unreachable!() };
            let select = if select == poll { "the same" } else { select };
            writeln!(text, "| {errno:?} | {poll} | {select} |").unwrap();
        }
        let never = usual.iter().all(|usual| !usual.calls.iter().any(|call| call.title() == *aim));
        if never {
            return Err(format!("{}: {aim} is never called", scenario.name));
        }
    }
    Ok(text)
}

/// A run in which nothing fails.
fn usual(scenario: &Scenario, backend: &str) -> Result<Run, String> {
    let run = strace::run(scenario.name, backend, None);
    let done = run.log.iter().filter(|line| line.ends_with(" done")).count();
    match &run.failure {
        None if done == OPERATIONS => Ok(run),
        failure => Err(format!("{}, {backend}: {failure:?}\n{:#?}", scenario.name, run.log)),
    }
}

/// What becomes of a call that fails with this errno.
fn cell(
    scenario: &Scenario,
    backend: &str,
    usual: &Run,
    aim: &str,
    errno: Errno,
) -> Result<String, String> {
    let calls: Vec<_> = usual.calls.iter().filter(|call| call.title() == aim).collect();
    let mut outcomes = BTreeMap::<usize, (String, Vec<&str>)>::new();
    let positions = [("first", calls.first()), ("second", calls.get(1)), ("last", calls.last())];
    for (position, call) in positions {
        let Some(call) = call else { continue };
        let run = strace::run(scenario.name, backend, Some(Injection { call, errno }));
        let outcome = outcome::of(usual, &run, errno).map_err(|error| {
            format!(
                "{}, {backend}: the {position} {aim} fails with {errno:?}: {error}\n{:#?}",
                scenario.name, run.log
            )
        })?;
        match outcomes.values_mut().find(|(other, _)| *other == outcome) {
            Some((_, positions)) => positions.push(position),
            None => drop(outcomes.insert(outcomes.len(), (outcome, vec![position]))),
        }
    }
    let mut outcomes = outcomes.into_values();
    Ok(match (outcomes.next(), outcomes.next()) {
        (None, _) => "not called".to_owned(),
        (Some((outcome, _)), None) => outcome,
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(outcomes);
            let all = all.map(|(outcome, at)| format!("{}: {outcome}", at.join(", ")));
            all.collect::<Vec<_>>().join("; ")
        }
    })
}
