//! BENCHMARKS.md.

use super::{
    build, machine,
    results::{Results, Row, Spread, WorkResult},
    targets::{self, Bound, Judgement},
};
use crate::{
    peer::Method,
    peers::{Entry, Kind, OURS},
    spec::Spec,
};
use std::fmt::{self, Write};

/// What the tables compare with.
const REFERENCE: &str = "bare poll";

pub(crate) fn write(results: &Results) -> String {
    let mut text = String::new();
    let out = &mut text;
    let parts = [
        introduction as fn(&mut String, &Results) -> fmt::Result,
        peers,
        losses,
        judgements,
        works,
        calls,
    ];
    for part in parts {
        part(out, results).expect("a string takes everything");
    }
    text
}

fn introduction(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(
        out,
        "# Benchmarks\n\n\
         asyncore-rs, bare loops on the system calls, and other reactors, doing the same work. This \
         page is written by a program, from the repository's top:\n\n\
         ```sh\n\
         sudo apt-get install libevent-dev libev-dev strace  # what is not there is skipped by name\n\
         cargo run --release --manifest-path benches/peers/Cargo.toml\n\
         ```\n\n\
         With `-- --quick` it takes a look, `-- 'sparse(9000,10)' --peers asyncore-rs,epoll` is one \
         work for some; `-- --help` tells more.\n"
    )?;
    if let Some((before, most)) = others_load(results) {
        writeln!(
            out,
            "**The machine was busy with other things**: the load average was {before} before this \
             began, and {most} at the most after one of the works. Ratios of what ran side by side \
             mean something; latencies and what two processes do together (`echo`, `cold`) mean \
             little.\n"
        )?;
    }
    writeln!(
        out,
        "- Machine: {}.\n- Compiler: {}, `--release`.\n- Load average: {} before, {} after (a run \
         makes 1 to 2 by itself).\n- Rounds: {}; in each, every peer takes samples for {} ms in a \
         process of its own, after half as long that does not count, one peer after the other. Time \
         in all: {} minutes.\n",
        machine::describe(),
        build::rustc(),
        results.load_before,
        results.load_after,
        results.rounds,
        results.ms,
        results.took.as_secs().div_ceil(60),
    )?;
    writeln!(
        out,
        "A ratio is the median of the rounds' ratios, with [the least - the greatest]. Below 1 is \
         better than who it is compared with. Times are medians; they are of this machine and this \
         hour, and only ratios mean something. Time in which a process was ready to run and another \
         had the processor does not count, except in `echo`; sleeping counts. Reads, writes and \
         messages are counted, by the programs and for some of the work by strace as well, and a \
         peer whose counts are not those of the work has no row.\n"
    )
}

/// The load before, and the most of what came after, if it is not that of the run alone.
fn others_load(results: &Results) -> Option<(f64, f64)> {
    let last_minute = |load: &str| load.split(' ').next()?.parse::<f64>().ok();
    let before = last_minute(&results.load_before)?;
    let during = results.works.iter().filter_map(|work| last_minute(&work.load));
    let most = during.fold(0.0, f64::max);
    // By itself a run has two processes at work, at times.
    let busy = before > machine::processors() as f64 / 4.0 || most > 2.5;
    busy.then_some((before, most))
}

fn peers(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "## Peers\n\n| | version |\n|---|---|")?;
    for (entry, version) in &results.peers {
        match version {
            Ok(version) => writeln!(out, "| {entry} | {version} |")?,
            Err(reason) => writeln!(out, "| {entry} | skipped: {reason} |")?,
        }
    }
    writeln!(
        out,
        "\nThe bare loops are no reactors but limits: what the system call costs, and nothing \
         else. The bare hot ones are told who is busy by the first waits, once and for all, and \
         give a sixteenth of their time to slices of the others, as asyncore-rs does; or, once one \
         of these was ready, as much as lets a round over them end in the time of ten looks at \
         everything. mio poll and polling poll are built with \
         `--cfg mio_unsupported_force_poll_poll` and `--cfg polling_test_poll_backend`. CPython \
         select is `asyncore.poll`, CPython poll is `asyncore.poll2`.\n\n\
         asyncore-rs is the library as it comes: where it pays, it looks at what was busy lately \
         first. asyncore-rs plain has that off (`Scan::Plain`), and asyncore-rs half gives half of \
         the time to the others (`Builder::cold_share`).\n"
    )
}

/// What is less than this is not a loss but the measurement.
const PARITY: f64 = 1.02;

/// Every comparison that we lose.
fn losses(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(
        out,
        "## Where we lose\n\nWho is faster than us, or takes less, and how many times, from \
         {PARITY} on. In brackets: at least one round says the opposite. (asyncore-rs plain is \
         what can be chosen instead, and is not in this table.)\n\n\
         | work | figure | ours | to poll and select | to epoll | to bare poll and select |\n\
         |---|---|---|---|---|---|"
    )?;
    for work in &results.works {
        for figure in work.figures() {
            for ours in work.measured().filter(|row| row.entry.library == OURS) {
                let to = |kind: fn(&Entry) -> bool| {
                    let rows: Vec<&Row> = work.measured().filter(|row| kind(&row.entry)).collect();
                    beaten_by(ours, &rows, figure)
                };
                let by = [
                    to(|entry| is_other(entry) && entry.method != Method::Epoll),
                    to(|entry| entry.method == Method::Epoll),
                    to(|entry| entry.kind == Kind::Bare && entry.method != Method::Epoll),
                ];
                if by.iter().any(|by| !by.is_empty()) {
                    let (spec, figure) = (work.spec, meaning(work.spec, figure));
                    let [others, epoll, bare] = by;
                    writeln!(
                        out,
                        "| {spec} | {figure} | {} | {others} | {epoll} | {bare} |",
                        ours.entry
                    )?;
                }
            }
        }
    }
    writeln!(out)
}

fn is_other(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Peer | Kind::Python)
}

/// Who of these is better than ours, the best first.
fn beaten_by(ours: &Row, others: &[&Row], figure: &str) -> String {
    let ratios = others.iter().filter_map(|row| Some((row.entry, ours.ratio(row, figure)?)));
    let mut beaten: Vec<(Entry, Spread)> =
        ratios.filter(|(_, ratio)| ratio.median >= PARITY).collect();
    beaten.sort_by(|(_, one), (_, other)| other.median.total_cmp(&one.median));
    let by: Vec<String> = beaten
        .iter()
        .map(|(entry, ratio)| {
            let text = format!("{entry} {}", short(ratio.median));
            if ratio.least > 1.0 { text } else { format!("({text})") }
        })
        .collect();
    by.join(", ")
}

fn judgements(out: &mut String, results: &Results) -> fmt::Result {
    let judgements = targets::judge(results);
    if judgements.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "## Targets\n\n| work | figure | ours | compared with | at most | reached | |\n\
         |---|---|---|---|---|---|---|"
    )?;
    for judgement in &judgements {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            judgement.spec,
            meaning(judgement.spec, judgement.figure),
            judgement.ours,
            judgement.against,
            precise(judgement.at_most),
            precisely(judgement.reached),
            verdict(judgement),
        )?;
    }
    let met = judgements.iter().filter(|judgement| judgement.is_met()).count();
    let at_the_limit = judgements.iter().filter(|judgement| judgement.is_at_the_limit()).count();
    writeln!(
        out,
        "\nOf {}: {met} met, {at_the_limit} at the limit, {} missed.\n\n\
         At the limit: every descriptor has to be asked about in every call, so that no reactor \
         can beat the bare loop, which misses the target too, and we are within 5 % of it. In \
         sparse with 9000 idle ones, and for the busy ones of cold, the limit is the bare hot loop. \
         In the cascade the first watched descriptor is the one that is ready, so that a call which \
         may block queues nowhere, and a probe before it saves nothing.\n",
        judgements.len(),
        judgements.len() - met - at_the_limit,
    )
}

/// What became of a target.
fn verdict(judgement: &Judgement) -> String {
    match &judgement.limit {
        _ if judgement.is_met() => "met".into(),
        Some(Bound { bare, ours, reaches }) if judgement.is_at_the_limit() => format!(
            "at the limit: {} of {bare}, which reaches {}",
            precise(ours.median),
            precise(reaches.median)
        ),
        _ => "**missed**".into(),
    }
}

fn works(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "## Work\n")?;
    let mut described = "";
    for work in &results.works {
        writeln!(out, "### {}\n", work.spec)?;
        if described != work.spec.describe() {
            described = work.spec.describe();
            writeln!(out, "{described}\n")?;
        }
        table(out, work)?;
        writeln!(out, "Load average: {}.\n", work.load)?;
    }
    for (spec, reason) in &results.left_out {
        writeln!(out, "### {spec}\n\nLeft out: {reason}.\n")?;
    }
    Ok(())
}

/// All peers in one work, the best first.
fn table(out: &mut String, work: &WorkResult) -> fmt::Result {
    let figures = work.figures();
    let Some(first) = figures.first() else {
        return writeln!(out, "Nobody could do it.\n");
    };
    let mut rows: Vec<&Row> = work.measured().collect();
    rows.sort_by(|one, other| {
        let median = |row: &Row| row.spread(first).map_or(f64::MAX, |spread| spread.median);
        median(one).total_cmp(&median(other))
    });
    let reference = work.row(REFERENCE);
    write!(out, "| |")?;
    for figure in &figures {
        write!(out, " {} |", meaning(work.spec, figure))?;
        if is_rate(work.spec, figure) {
            write!(out, " messages/s |")?;
        }
        if reference.is_some() {
            write!(out, " to {REFERENCE} |")?;
        }
    }
    let rates = figures.iter().filter(|figure| is_rate(work.spec, figure)).count();
    let columns = figures.len() * if reference.is_some() { 2 } else { 1 } + rates;
    writeln!(out, "\n|---{}|", "|---:".repeat(columns))?;
    for row in rows {
        let name = row.entry.to_string();
        write!(
            out,
            "| {} |",
            if row.entry.kind == Kind::Ours { format!("**{name}**") } else { name }
        )?;
        for figure in &figures {
            let median = row.spread(figure).map_or(0.0, |spread| spread.median);
            write!(out, " {} |", quantity(figure, median))?;
            if is_rate(work.spec, figure) {
                write!(out, " {:.0} |", 1e9 / median)?;
            }
            if let Some(reference) = reference {
                match row.ratio(reference, figure) {
                    Some(ratio) => write!(out, " {} |", spread(ratio))?,
                    None => write!(out, " - |")?,
                }
            }
        }
        writeln!(out)?;
    }
    skipped(out, work)
}

fn skipped(out: &mut String, work: &WorkResult) -> fmt::Result {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for (entry, reason) in work.skipped() {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(entry.to_string()),
            None => reasons.push((reason, vec![entry.to_string()])),
        }
    }
    for (reason, names) in reasons {
        writeln!(out, "\nSkipped: {} ({reason}).", names.join(", "))?;
    }
    writeln!(out)
}

fn calls(out: &mut String, results: &Results) -> fmt::Result {
    if results.calls.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "## System calls\n\nOf one operation, in the long run, as strace counts them; less than \
         0.01 is not shown.\n\n| work | | calls | |\n|---|---|---:|---|"
    )?;
    for calls in &results.calls {
        let each: Vec<String> =
            calls.each.iter().map(|(name, each)| format!("{name} {}", short(*each))).collect();
        let name = calls.entry.to_string();
        let name = if calls.entry.kind == Kind::Ours { format!("**{name}**") } else { name };
        writeln!(
            out,
            "| {} | {name} | {} | {} |",
            calls.spec,
            short(calls.per_operation()),
            each.join(", "),
        )?;
    }
    Ok(())
}

/// Whether a time is better known by how many there are of it in a second.
fn is_rate(spec: Spec, figure: &str) -> bool {
    matches!(spec, Spec::Echo { .. }) && figure == "ns"
}

/// What a figure is called in a table.
fn meaning(spec: Spec, figure: &str) -> &'static str {
    match (figure, spec) {
        ("ns", Spec::Cold { .. }) => "busy ones",
        ("p50", Spec::Cold { .. }) => "idle ones p50",
        ("p99", Spec::Cold { .. }) => "idle ones p99",
        ("ns", _) => "time",
        ("p50", _) => "latency p50",
        ("p99", _) => "latency p99",
        ("cpu", _) => "server's CPU",
        ("bytes", _) => "memory",
        _ => "system calls",
    }
}

fn quantity(figure: &str, value: f64) -> String {
    if figure == "bytes" {
        return format!("{value:.0} B");
    }
    match value {
        ..1e3 => format!("{} ns", short(value)),
        ..1e6 => format!("{} µs", short(value / 1e3)),
        _ => format!("{} ms", short(value / 1e6)),
    }
}

fn spread(Spread { least, median, most }: Spread) -> String {
    format!("{} [{} - {}]", short(median), short(least), short(most))
}

fn precisely(Spread { least, median, most }: Spread) -> String {
    format!("{} [{} - {}]", precise(median), precise(least), precise(most))
}

/// One figure more, for who is near a bound.
fn precise(value: f64) -> String {
    if (0.1..10.0).contains(&value) { format!("{value:.3}") } else { short(value) }
}

/// Three figures or so, which is more than they are good for.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        ..0.1 => format!("{value:.4}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
