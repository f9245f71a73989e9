//! Rounds without and with something, in turns, and the ratio that comes out.

use crate::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Where the target is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// So many times `measure(false)` and then `measure(true)`; prints the median ratio of the two, the
/// least and the most, and whether that is within the target.
pub(crate) fn compare(
    name: &str,
    unit: &str,
    rounds: usize,
    target: Target,
    mut measure: impl FnMut(bool) -> Result<f64>,
) -> Result<()> {
    let bar = progress(rounds as u64, name);
    // The first one warms up.
    measure(false)?;
    let (mut ratios, mut bases) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (without, with) = (measure(false)?, measure(true)?);
        ratios.push(with / without);
        bases.push(without);
        bar.inc(1);
    }
    bar.finish_and_clear();
    ratios.sort_by(f64::total_cmp);
    bases.sort_by(f64::total_cmp);
    let (median, base) = (ratios[rounds / 2], bases[rounds / 2]);
    let (met, wanted) = match target {
        Target::AtLeast(least) => (median >= least, format!("at least {least}")),
        Target::AtMost(most) => (median <= most, format!("at most {most}")),
    };
    let (least, most) = (ratios[0], ratios[rounds - 1]);
    let verdict = if met { "met" } else { "MISSED" };
    println!(
        "  {name}: {median:.2} [{least:.2}-{most:.2}] of {base:.0} {unit}; {wanted}: {verdict}"
    );
    Ok(())
}

pub(crate) fn progress(total: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {msg} {wide_bar} {pos}/{len}, {eta} left");
    let bar = ProgressBar::new(total).with_message(what.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
