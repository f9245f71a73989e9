//! The report as data: what the table, the page and the files are made from.

use super::{
    findings::{self, Advice, Difference},
    machine::Machine,
    measure::Round,
    plan::{Extent, LeftOut, Scenario, Task},
    prices::{self, Price},
    stats::{self, Comparison, Crossover, Figure},
    work::Run,
};
use serde::Serialize;
use std::{io, path::Path, time::Duration};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) extent: Extent,
    pub(crate) seconds: f64,
    pub(crate) headline: String,
    pub(crate) advice: Vec<Advice>,
    /// What the default scan changes.
    pub(crate) saving: Option<String>,
    pub(crate) series: Vec<Series>,
    pub(crate) prices: Vec<Price>,
    /// Where select and poll are more than a tenth apart.
    pub(crate) differences: Vec<Difference>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// One scenario at all its sizes.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    #[serde(flatten)]
    pub(crate) scenario: Scenario,
    /// Who is faster, and up to where.
    pub(crate) finding: String,
    pub(crate) crossovers: Vec<Crossover>,
    pub(crate) points: Vec<Point>,
}

/// One scenario at one size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Point {
    pub(crate) descriptors: usize,
    /// How many of them have something to say in a pass.
    pub(crate) active: usize,
    /// How many passes each measurement has, and how many events, the same for both.
    pub(crate) passes: u64,
    pub(crate) events: u64,
    /// Of all passes, those in which the wait slept.
    pub(crate) slept: f64,
    /// Nanoseconds for a pass.
    pub(crate) poll: Figure,
    pub(crate) select: Figure,
    #[serde(flatten)]
    pub(crate) found: Comparison,
    #[serde(skip)]
    rounds: Vec<Round>,
}

impl Point {
    pub(crate) fn new(task: Task, rounds: Vec<Round>) -> Self {
        let figure = |of: fn(&Round) -> f64| Figure::of(rounds.iter().map(of));
        let ratios: Vec<_> =
            rounds.iter().map(|round| round.select.pass / round.poll.pass).collect();
        let both = || rounds.iter().flat_map(|round| [round.poll, round.select]);
        let passes: u64 = both().map(|run| run.passes).sum();
        let sleeps: u64 = both().map(|run| run.sleeps.min(run.passes)).sum();
        Self {
            descriptors: task.n,
            active: task.active,
            passes: rounds[0].poll.passes,
            events: rounds[0].poll.events,
            slept: sleeps as f64 / passes as f64,
            poll: figure(|round| round.poll.pass),
            select: figure(|round| round.select.pass),
            found: Comparison::of(&ratios),
            rounds,
        }
    }
}

impl Series {
    /// A scenario of which nothing is measured yet.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let (finding, crossovers) = (String::new(), Vec::new());
        Self { scenario: *scenario, finding, crossovers, points: Vec::new() }
    }

    fn conclude(&mut self) {
        let points: Vec<_> =
            self.points.iter().map(|point| (point.descriptors, point.found)).collect();
        self.crossovers = stats::crossovers(&points);
        self.finding = findings::finding(&points);
    }
}

/// Every measurement, one in a row.
#[derive(Debug, Serialize)]
struct Row {
    scenario: &'static str,
    descriptors: usize,
    active: usize,
    round: usize,
    backend: &'static str,
    passes: u64,
    events: u64,
    bytes: u64,
    sleeps: u64,
    ns_per_pass: f64,
    /// Of all passes, sleeps included.
    wall_ns_per_pass: f64,
}

impl Report {
    /// Draws the conclusions from what was measured.
    pub(crate) fn new(
        machine: Machine,
        extent: Extent,
        took: Duration,
        mut series: Vec<Series>,
        left_out: Vec<LeftOut>,
    ) -> Self {
        series.retain(|series| !series.points.is_empty());
        series.iter_mut().for_each(Series::conclude);
        let advice = findings::advice(&series);
        Self {
            machine,
            extent,
            seconds: took.as_secs_f64(),
            headline: findings::headline(&advice),
            advice,
            saving: findings::saving(&series),
            prices: prices::prices(&series),
            differences: findings::differences(&series),
            series,
            left_out,
        }
    }

    pub(crate) fn write_csv(&self, path: &Path) -> io::Result<()> {
        let mut writer = csv::Writer::from_path(path)?;
        for series in &self.series {
            for point in &series.points {
                for (index, round) in point.rounds.iter().enumerate() {
                    for (backend, run) in [("poll", round.poll), ("select", round.select)] {
                        writer.serialize(row(series, point, index + 1, backend, run))?;
                    }
                }
            }
        }
        writer.flush()
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

fn row(series: &Series, point: &Point, round: usize, backend: &'static str, run: Run) -> Row {
    let Run { passes, events, bytes, sleeps, pass, wall } = run;
    Row {
        scenario: series.scenario.id,
        descriptors: point.descriptors,
        active: point.active,
        round,
        backend,
        passes,
        events,
        bytes,
        sleeps,
        ns_per_pass: pass,
        wall_ns_per_pass: wall.as_nanos() as f64 / passes as f64,
    }
}
