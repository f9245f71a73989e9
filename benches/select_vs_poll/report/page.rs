//! The page: one file that needs nothing else, neither network nor script.

use super::{
    data::{Point, Report, Series},
    findings::{self, thousands, time},
    plan::{Group, Work},
    plot::{self, Width},
    stats::Faster,
};
use minijinja::{Environment, Value, context, value::Serde};
use serde::Serialize;

/// A group of scenarios as the template takes it.
#[derive(Debug, Serialize)]
struct Section {
    title: &'static str,
    description: &'static str,
    /// What the figures of it come to.
    sum: Option<String>,
    unit: &'static str,
    series: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    title: &'static str,
    finding: String,
    plot: Value,
    rows: Vec<Cell>,
    /// One for each size of the report; none where it was not measured.
    cells: Vec<Option<Cell>>,
}

#[derive(Debug, Clone, Serialize)]
struct Cell {
    descriptors: String,
    active: usize,
    poll: String,
    select: String,
    ratio: String,
    spread: String,
    /// For the colour.
    class: &'static str,
    strong: bool,
}

pub(crate) fn render(report: &Report) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_template("page.html", include_str!("page.html"))?;
    let mut sizes: Vec<usize> = report
        .series
        .iter()
        .flat_map(|series| series.points.iter().map(|point| point.descriptors))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let sections: Vec<_> = Group::ALL.map(|group| section(report, group, &sizes)).into();
    let differences: Vec<_> = report
        .differences
        .iter()
        .map(|found| {
            context! {
                title => &found.title,
                descriptors => thousands(found.descriptors),
                ratio => format!("{:.2}", found.ratio.median),
                spread => spread(found.ratio.least, found.ratio.most),
                pass => signed(found.pass),
                call => found.call.map_or_else(|| "not measured".to_owned(), signed),
            }
        })
        .collect();
    let prices: Vec<_> = report
        .prices
        .iter()
        .map(|price| {
            context! { of => price.of, poll => nanoseconds(price.poll), select => nanoseconds(price.select) }
        })
        .collect();
    let overview = |width| plot::overview(&report.series, width).map(|plot| plot.to_string());
    environment.get_template("page.html")?.render(context! {
        theme => Value::from_safe_string(include_str!("theme.css").to_owned()),
        plot_style => Value::from_safe_string(include_str!("plot.css").to_owned()),
        machine => serialized(&report.machine),
        loaded => report.machine.is_loaded(),
        extent => serialized(&report.extent),
        plain => findings::PLAIN,
        rule => findings::rule(report.extent.rounds),
        slept => slept(&report.series),
        seconds => format!("{:.0}", report.seconds),
        headline => &report.headline,
        advice => serialized(&report.advice),
        wide => Value::from_safe_string(overview(Width::Wide).unwrap_or_default()),
        narrow => Value::from_safe_string(overview(Width::Narrow).unwrap_or_default()),
        sizes => sizes.iter().map(|size| thousands(*size)).collect::<Vec<_>>(),
        sections => serialized(&sections),
        prices,
        differences,
        left_out => serialized(&report.left_out),
    })
}

/// Of the passes whose wait was to sleep, how many percent did.
fn slept(series: &[Series]) -> Option<String> {
    let points = series
        .iter()
        .filter(|series| series.scenario.work == Work::Sleep)
        .flat_map(|series| &series.points);
    let (slept, passes) = points.fold((0.0, 0), |(slept, passes), point| {
        (slept + point.slept * point.passes as f64, passes + point.passes)
    });
    (passes > 0).then(|| format!("{:.1}", 100.0 * slept / passes as f64))
}

fn serialized(data: &impl Serialize) -> Value {
    Value::from(Serde(data))
}

fn section(report: &Report, group: Group, sizes: &[usize]) -> Section {
    let of_group = report.series.iter().filter(|series| series.scenario.group == group);
    Section {
        title: group.title(),
        description: group.description(),
        sum: report.saving.clone().filter(|_| group == Group::DefaultScan),
        unit: group.unit(),
        series: of_group.map(|series| shown(series, sizes)).collect(),
    }
}

fn shown(series: &Series, sizes: &[usize]) -> Shown {
    let rows: Vec<_> = series.points.iter().map(|point| (point.descriptors, cell(point))).collect();
    let at = |size| rows.iter().find(|(known, _)| *known == size).map(|(_, cell)| cell.clone());
    let plot = plot::scenario(series).map(|plot| plot.to_string()).unwrap_or_default();
    Shown {
        title: series.scenario.title,
        finding: series.finding.clone(),
        plot: Value::from_safe_string(plot),
        cells: sizes.iter().map(|size| at(*size)).collect(),
        rows: rows.into_iter().map(|(_, cell)| cell).collect(),
    }
}

fn cell(point: &Point) -> Cell {
    let ratio = point.found.ratio;
    Cell {
        descriptors: thousands(point.descriptors),
        active: point.active,
        poll: time(point.poll.median),
        select: time(point.select.median),
        ratio: format!("{:.2}", ratio.median),
        spread: spread(ratio.least, ratio.most),
        class: match point.found.faster {
            Faster::Poll => "poll",
            Faster::Select => "select",
            Faster::Neither => "neither",
        },
        strong: findings::is_apart(&point.found),
    }
}

fn spread(least: f64, most: f64) -> String {
    format!("{least:.2} to {most:.2}")
}

fn signed(nanoseconds: f64) -> String {
    let sign = if nanoseconds < 0.0 { "−" } else { "+" };
    format!("{sign}{}", time(nanoseconds.abs()))
}

fn nanoseconds(price: f64) -> String {
    if price < 0.05 {
        "nothing".to_owned()
    } else if price < 10.0 {
        format!("{price:.1} ns")
    } else {
        format!("{price:.0} ns")
    }
}
