//! What the figures say, in words.

use super::{
    data::{Point, Series},
    plan::{Group, Scenario, Work},
    sockets::Numbers,
    stats::{self, Comparison, Faster, Figure, NEGLIGIBLE, Stretch},
};
use serde::Serialize;

/// Select and poll are taken to be equal up to this.
const EQUAL: f64 = 0.10;

/// What is compared.
pub(crate) const PLAIN: &str = "The system calls are what is compared: the reactors use \
    Scan::Plain, one call on everything in each pass, but for the group that shows the default.";

/// What to take for one kind of program.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Advice {
    pub(crate) program: &'static str,
    pub(crate) take: &'static str,
    pub(crate) because: String,
}

/// A point at which the backends are more than a tenth apart, beside what the system call alone
/// says at that size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Difference {
    pub(crate) scenario: &'static str,
    pub(crate) title: String,
    pub(crate) descriptors: usize,
    pub(crate) ratio: Figure,
    /// Select's time less poll's, in nanoseconds: of a pass, and of the call alone.
    pub(crate) pass: f64,
    pub(crate) call: Option<f64>,
}

/// Who is faster and up to where, as a sentence without its end.
pub(crate) fn finding(points: &[(usize, Comparison)]) -> String {
    let stretches = stats::stretches(points);
    let crossings = stats::crossovers(points).into_iter().map(|crossover| {
        let [below, above] = [crossover.below, crossover.above].map(name);
        format!("{below} below about {}, {above} above", thousands(two_digits(crossover.at)))
    });
    let ends = |index: usize| index + 1 == stretches.len();
    let parts = stretches.iter().enumerate().map(|(index, stretch)| {
        let (from, to) = (thousands(stretch.from), thousands(stretch.to));
        let range = match index {
            0 if ends(index) => "at every size".to_owned(),
            _ if ends(index) => format!("from {from} on"),
            _ if from == to => format!("at {from}"),
            0 => format!("up to {to}"),
            _ => format!("from {from} to {to}"),
        };
        match stretch.faster {
            Faster::Neither => format!("no difference beyond the noise {range}"),
            faster => format!("{} is faster {range} ({})", name(faster), margin(stretch)),
        }
    });
    crossings.chain(parts).collect::<Vec<_>>().join("; ")
}

/// All that an interpolation is worth.
fn two_digits(size: f64) -> usize {
    let unit = 10_f64.powf(size.log10().floor() - 1.0).max(1.0);
    ((size / unit).round() * unit) as usize
}

pub(crate) fn name(faster: Faster) -> &'static str {
    match faster {
        Faster::Poll => "poll",
        Faster::Select => "select",
        Faster::Neither => "either",
    }
}

/// How much longer the slower one takes in a stretch.
fn margin(stretch: &Stretch) -> String {
    let (low, high) = stretch.ratios;
    let (slower, low, high) = match stretch.faster {
        Faster::Select => ("poll", 1.0 / high, 1.0 / low),
        _ => ("select", low, high),
    };
    let range = if more(low) == more(high) {
        more(high)
    } else {
        format!("{:.0} to {}", percent(low), more(high))
    };
    format!("{slower} takes {range} more")
}

/// A ratio above 1 as a percentage on top.
fn more(ratio: f64) -> String {
    format!("{:.0}\u{a0}%", percent(ratio))
}

fn percent(ratio: f64) -> f64 {
    (ratio - 1.0).max(0.0) * 100.0
}

/// `15000` as `15 000`, with a space that does not break.
pub(crate) fn thousands(number: usize) -> String {
    if number < 10_000 {
        return number.to_string();
    }
    format!("{}\u{a0}{:03}", number / 1000, number % 1000)
}

/// Nanoseconds in a unit that reads well.
pub(crate) fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        _ if nanoseconds < 1e3 => return format!("{nanoseconds:.0} ns"),
        _ if nanoseconds < 1e6 => (nanoseconds / 1e3, "µs"),
        _ => (nanoseconds / 1e6, "ms"),
    };
    match value {
        _ if value < 10.0 => format!("{value:.2} {unit}"),
        _ if value < 100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// What to take, for the kinds of program that there are.
pub(crate) fn advice(series: &[Series]) -> Vec<Advice> {
    type Chosen = fn(&Series, &Point) -> bool;
    let kinds: [(&'static str, Chosen); 6] = [
        ("A program with up to 20 descriptors", |series, point| {
            is_low_and_plain(series) && point.descriptors <= 20
        }),
        ("A server with 50 to 500 connections", |series, point| {
            is_low_and_plain(series) && (50..=500).contains(&point.descriptors)
        }),
        ("A server with a thousand connections or more, each call about all of them", {
            |series, point| is_low_and_plain(series) && point.descriptors >= 1000
        }),
        ("The same with the default, Scan::Adaptive, and one of them busy", {
            |series, point| {
                !is_plain(series)
                    && series.scenario.numbers == Numbers::Low
                    && point.descriptors >= 1000
            }
        }),
        ("A program that watches up to 100 descriptors of the thousands that it has open", {
            |series, point| {
                is_plain(series)
                    && series.scenario.numbers != Numbers::Low
                    && point.descriptors <= 100
            }
        }),
        ("A program that turns write interest on and off all the time", {
            |series, _| series.scenario.group == Group::Toggle
        }),
    ];
    let of_reactor = || series.iter().filter(|series| series.scenario.group != Group::Kernel);
    let kinds = kinds.into_iter().filter_map(|(program, chosen)| {
        let points: Vec<&Point> = of_reactor()
            .flat_map(|series| series.points.iter().filter(move |point| chosen(series, point)))
            .collect();
        let ratios: Vec<f64> = points.iter().map(|point| beyond_noise(&point.found)).collect();
        let mean = stats::geometric_mean(ratios.iter().copied())?;
        let most = ratios.iter().copied().fold(f64::MIN, f64::max);
        let least = ratios.iter().copied().fold(f64::MAX, f64::min);
        let apart = points.iter().map(|point| (point.select.median - point.poll.median).abs());
        let apart = time(Figure::of(apart).median);
        let (take, because) = if mean > 1.0 + NEGLIGIBLE {
            let (mean, most) = (more(mean), more(most));
            (
                "poll",
                format!("select takes {mean} more on average, at most {most}; {apart} in a pass"),
            )
        } else if mean < 1.0 / (1.0 + NEGLIGIBLE) {
            let (mean, most) = (more(1.0 / mean), more(1.0 / least));
            (
                "select",
                format!("poll takes {mean} more on average, at most {most}; {apart} in a pass"),
            )
        } else {
            let (mean, most) = (more(1.0 + NEGLIGIBLE), more(most.max(1.0 / least)));
            ("either", format!("the two are less than {mean} apart on average, at most {most}"))
        };
        Some(Advice { program, take, because })
    });
    kinds.collect()
}

fn is_plain(series: &Series) -> bool {
    series.scenario.group != Group::DefaultScan
}

fn is_low_and_plain(series: &Series) -> bool {
    is_plain(series) && series.scenario.numbers == Numbers::Low
}

/// What is within the noise counts as equal, so that no advice comes from it.
pub(crate) fn beyond_noise(found: &Comparison) -> f64 {
    if found.faster == Faster::Neither { 1.0 } else { found.ratio.median }
}

/// What the default scan changes, at the greatest size at which it was measured.
pub(crate) fn saving(series: &[Series]) -> Option<String> {
    let [plain, adaptive] =
        ["ready-1", "default-low"].map(|id| series.iter().find(|one| one.scenario.id == id));
    let adaptive = adaptive?.points.last()?;
    let at_that_size = |point: &&Point| point.descriptors == adaptive.descriptors;
    let plain = plain?.points.iter().find(at_that_size)?;
    let of = |point: &Point| {
        format!(
            "{} with poll and {} with select",
            time(point.poll.median),
            time(point.select.median)
        )
    };
    Some(format!(
        "With {} low numbers watched and one busy, a pass takes {}; with Scan::Plain it takes {}.",
        thousands(adaptive.descriptors),
        of(adaptive),
        of(plain),
    ))
}

/// The recommendation, in a sentence or two.
pub(crate) fn headline(advice: &[Advice]) -> String {
    let takes = |backend| advice.iter().any(|advice| advice.take == backend);
    match (takes("poll"), takes("select")) {
        (true, false) => {
            let where_it_counts = advice.iter().filter(|advice| advice.take == "poll").count();
            let else_equal = if where_it_counts < advice.len() {
                " Elsewhere the two are as good as equal."
            } else {
                ""
            };
            format!(
                "Take poll: select also reads its bitmaps up to the highest number, and that shows \
                 where a call is about few descriptors.{else_equal}"
            )
        }
        (false, true) => "Take select.".to_owned(),
        (true, true) => "It depends on the program: see below.".to_owned(),
        (false, false) => "Take either: they are as good as equal here.".to_owned(),
    }
}

/// Every point of a reactor that is beyond doubt more than a tenth from equal.
pub(crate) fn differences(series: &[Series]) -> Vec<Difference> {
    let of_reactor = series.iter().filter(|series| series.scenario.group != Group::Kernel);
    let mut found = Vec::new();
    for one in of_reactor {
        for point in &one.points {
            if !is_apart(&point.found) {
                continue;
            }
            found.push(Difference {
                scenario: one.scenario.id,
                title: full_title(&one.scenario),
                descriptors: point.descriptors,
                ratio: point.found.ratio,
                pass: point.select.median - point.poll.median,
                call: call_alone(series, one, point.descriptors),
            });
        }
    }
    found
}

/// Whether the two are more than a tenth apart, beyond doubt.
pub(crate) fn is_apart(found: &Comparison) -> bool {
    let equal = 1.0 / (1.0 + EQUAL)..=1.0 + EQUAL;
    found.faster != Faster::Neither && !equal.contains(&found.ratio.median)
}

/// A scenario's title where its group's is not above it.
pub(crate) fn full_title(scenario: &Scenario) -> String {
    let title = scenario.title;
    match scenario.group {
        Group::Ready => format!("busy, {title}"),
        Group::Sleep => format!("blocking, {title}"),
        Group::Place => format!("busy, 1 event, {title}"),
        Group::Toggle => title.to_owned(),
        Group::DefaultScan => format!("default scan, 1 event, {title}"),
        Group::Kernel => format!("call alone: {title}"),
    }
}

/// Select's time less poll's when the same descriptors are looked at without a reactor. With the
/// default scan they are not the same from call to call.
fn call_alone(series: &[Series], of: &Series, n: usize) -> Option<f64> {
    if !is_plain(of) {
        return None;
    }
    let alone = series.iter().find(|series| {
        series.scenario.work == Work::Look { queues: false }
            && series.scenario.numbers == of.scenario.numbers
    })?;
    let point = alone.points.iter().find(|point| point.descriptors == n)?;
    Some(point.select.median - point.poll.median)
}

/// When one is called faster.
pub(crate) fn rule(rounds: usize) -> String {
    let quorum = match stats::quorum(rounds) {
        all if all == rounds => format!("each of the {rounds} rounds"),
        most => format!("at least {most} of the {rounds} rounds"),
    };
    format!("faster in {quorum}, and by more than {:.0}\u{a0}% in the median", NEGLIGIBLE * 100.0)
}
