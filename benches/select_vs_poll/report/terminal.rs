//! The report on the terminal: a table for each group of scenarios, what follows from it, and what
//! to take. Colours go where `anstream` lets them: to a terminal, unless `NO_COLOR` is set.

use super::{
    data::{Point, Report, Series},
    findings::{self, PLAIN},
    plan::{Group, LeftOut},
    stats::Faster,
};
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

const BOLD: Style = Style::new().bold();
const TEXT: Style = Style::new();
const DIM: Style = Style::new().dimmed();
const POLL: Style = AnsiColor::Cyan.on_default();
const SELECT: Style = AnsiColor::Yellow.on_default();

/// The widths of the first column, of the others, and of a line of text.
const FIRST: usize = 7;
const COLUMN: usize = 18;
const LINE: usize = 80;

pub(crate) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n{BOLD}select against poll{BOLD:#}: select's time for 1 of poll's\n")?;
    paragraph(
        out,
        &format!(
            "Median of {} rounds [least-most], for the same work. Above 1 poll is faster, below 1 \
             select. With a star: {}. {PLAIN}",
            report.extent.rounds,
            findings::rule(report.extent.rounds)
        ),
    )?;
    for group in Group::ALL {
        let series: Vec<_> =
            report.series.iter().filter(|series| series.scenario.group == group).collect();
        if !series.is_empty() {
            table(out, group, &series)?;
        }
        if let Some(saving) = report.saving.as_deref().filter(|_| group == Group::DefaultScan) {
            writeln!(out)?;
            paragraph(out, saving)?;
        }
    }
    heading(out, "Crossover points")?;
    for series in &report.series {
        let title = findings::full_title(&series.scenario);
        indented(out, &format!("{title}: "), &format!("{}.", series.finding))?;
    }
    if !report.left_out.is_empty() {
        heading(out, "Left out")?;
        for left in &report.left_out {
            let LeftOut { scenario, descriptors, why } = left;
            indented(out, &format!("{scenario}, {}: ", findings::thousands(*descriptors)), why)?;
        }
    }
    heading(out, "Which to take")?;
    for advice in &report.advice {
        let because = format!("{} ({}).", advice.take, advice.because);
        indented(out, &format!("{}: ", advice.program), &because)?;
    }
    writeln!(out)?;
    indented(out, &report.headline, "")?;
    if report.machine.is_loaded() {
        writeln!(out)?;
        paragraph(out, "Others used this machine meanwhile: repeat it when they do not.")?;
    }
    Ok(())
}

fn table(out: &mut impl Write, group: Group, series: &[&Series]) -> io::Result<()> {
    heading(out, group.title())?;
    paragraph(out, group.description())?;
    write!(out, "\n{DIM}{:>FIRST$}", "watched")?;
    for series in series {
        write!(out, "{:>COLUMN$}", series.scenario.title)?;
    }
    writeln!(out, "{DIM:#}")?;
    let mut sizes: Vec<_> =
        series.iter().flat_map(|series| &series.points).map(|point| point.descriptors).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for size in sizes {
        write!(out, "{:>FIRST$}", findings::thousands(size))?;
        for series in series {
            match series.points.iter().find(|point| point.descriptors == size) {
                Some(point) => cell(out, point)?,
                None => write!(out, "{:>COLUMN$}", "·")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn cell(out: &mut impl Write, point: &Point) -> io::Result<()> {
    let ratio = point.found.ratio;
    let (style, star) = match point.found.faster {
        Faster::Poll => (POLL, '*'),
        Faster::Select => (SELECT, '*'),
        Faster::Neither => (Style::new(), ' '),
    };
    let median = format!("{:.2}{star}", ratio.median);
    let spread = format!("[{:.2}-{:.2}]", ratio.least, ratio.most);
    let width = COLUMN - spread.len();
    write!(out, "{style}{median:>width$}{style:#}{DIM}{spread}{DIM:#}")
}

fn heading(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "\n{BOLD}{text}{BOLD:#}")
}

fn paragraph(out: &mut impl Write, text: &str) -> io::Result<()> {
    indented(out, "", text)
}

/// A paragraph that begins with `first`, and whose other lines are indented by two.
fn indented(out: &mut impl Write, first: &str, text: &str) -> io::Result<()> {
    let words = |text| str::split(text, ' ').filter(|word| !word.is_empty());
    let words = words(first).map(|word| (BOLD, word)).chain(words(text).map(|word| (TEXT, word)));
    let indent = if first.is_empty() { "" } else { "  " };
    let mut width = 0;
    for (index, (style, word)) in words.enumerate() {
        let length = word.chars().count();
        if width + 1 + length > LINE {
            write!(out, "\n{indent}")?;
            width = indent.len();
        } else if index > 0 {
            write!(out, " ")?;
            width += 1;
        }
        write!(out, "{style}{word}{style:#}")?;
        width += length;
    }
    writeln!(out)
}
