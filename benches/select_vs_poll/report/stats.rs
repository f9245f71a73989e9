//! From samples to figures: medians, ratios, who is faster, and up to where.

use serde::Serialize;

/// A median, the least and the greatest sample, and between which the middle half of them is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) quartiles: [f64; 2],
}

impl Figure {
    pub(crate) fn spread(&self) -> [f64; 2] {
        [self.least, self.most]
    }

    /// The figure of some samples.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        let last = samples.len() - 1;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (samples[place.floor() as usize], samples[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Self {
            median: at(0.5),
            least: samples[0],
            most: samples[last],
            quartiles: [at(0.25), at(0.75)],
        }
    }
}

/// Which backend needs less time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Faster {
    Poll,
    Select,
    /// No difference beyond the noise.
    Neither,
}

/// A difference below this is none, however sure.
pub(crate) const NEGLIGIBLE: f64 = 0.03;

/// How many of `rounds` have to agree on who is faster: nine of ten.
pub(crate) fn quorum(rounds: usize) -> usize {
    rounds - rounds / 10
}

/// Select's time over poll's, round by round, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Comparison {
    pub(crate) ratio: Figure,
    pub(crate) faster: Faster,
}

impl Comparison {
    /// # Panics
    ///
    /// If there are no ratios.
    pub(crate) fn of(ratios: &[f64]) -> Self {
        let ratio = Figure::of(ratios.iter().copied());
        let agree =
            |says: fn(&&f64) -> bool| ratios.iter().filter(says).count() >= quorum(ratios.len());
        let faster = if agree(|ratio| **ratio > 1.0) && ratio.median > 1.0 + NEGLIGIBLE {
            Faster::Poll
        } else if agree(|ratio| **ratio < 1.0) && ratio.median < 1.0 / (1.0 + NEGLIGIBLE) {
            Faster::Select
        } else {
            Faster::Neither
        };
        Self { ratio, faster }
    }
}

/// Sizes in a row at which the same one is faster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) faster: Faster,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The least and the greatest median ratio in it, where it is decided.
    pub(crate) ratios: (f64, f64),
}

/// The sizes, ascending, with what was found there, as stretches. A single undecided size between
/// two that agree does not end a stretch.
pub(crate) fn stretches(points: &[(usize, Comparison)]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (index, (size, found)) in points.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| points[index].1.faster);
        let after = points.get(index + 1).map(|(_, after)| after.faster);
        let bridge = before.filter(|_| found.faster == Faster::Neither && before == after);
        let (faster, median) = (bridge.unwrap_or(found.faster), found.ratio.median);
        match stretches.last_mut() {
            Some(last) if last.faster == faster => {
                last.to = *size;
                if found.faster == faster {
                    last.ratios = (last.ratios.0.min(median), last.ratios.1.max(median));
                }
            }
            _ => {
                let ratios = (median, median);
                stretches.push(Stretch { faster, from: *size, to: *size, ratios });
            }
        }
    }
    stretches
}

/// A size below which one backend is faster, and above which the other is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Crossover {
    pub(crate) below: Faster,
    pub(crate) above: Faster,
    /// The last size that is surely below it, and the first that is surely above.
    pub(crate) between: (usize, usize),
    /// Where a line through the medians, drawn on logarithmic axes, crosses a ratio of 1.
    pub(crate) at: f64,
}

/// Where the lead changes hands, undecided sizes in between or not.
pub(crate) fn crossovers(points: &[(usize, Comparison)]) -> Vec<Crossover> {
    let mut leads = stretches(points);
    leads.retain(|stretch| stretch.faster != Faster::Neither);
    let changes = leads.windows(2).filter(|pair| pair[0].faster != pair[1].faster);
    changes
        .map(|pair| {
            let between = (pair[0].to, pair[1].from);
            let at = crossing(points, between);
            Crossover { below: pair[0].faster, above: pair[1].faster, between, at }
        })
        .collect()
}

/// The first place in `between` where the median ratio passes 1.
fn crossing(points: &[(usize, Comparison)], between: (usize, usize)) -> f64 {
    let logs: Vec<(f64, f64)> = points
        .iter()
        .filter(|(size, _)| (between.0..=between.1).contains(size))
        .map(|(size, found)| ((*size as f64).ln(), found.ratio.median.ln()))
        .collect();
    // At the ends the medians are on different sides, so there is such a pair.
    let crossed = logs.windows(2).find(|pair| pair[0].1.signum() != pair[1].1.signum());
    crossed.map_or(f64::NAN, |pair| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        (x0 + (x1 - x0) * y0 / (y0 - y1)).exp()
    })
}

/// The geometric mean: the one in which a ratio and its inverse cancel out.
pub(crate) fn geometric_mean(ratios: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for ratio in ratios {
        sum += ratio.ln();
        count += 1.0;
    }
    (count > 0.0).then(|| (sum / count).exp())
}
