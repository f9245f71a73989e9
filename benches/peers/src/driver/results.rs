//! What the rounds gave, and the arithmetic on it.

use super::calls::Calls;
use crate::{
    outcome::Outcome,
    peers::{Entry, Kind},
    spec::Spec,
};
use std::time::Duration;

/// All of a run.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) rounds: usize,
    pub(crate) ms: u64,
    pub(crate) took: Duration,
    pub(crate) load_before: String,
    pub(crate) load_after: String,
    /// Each peer with its version, or why it was skipped.
    pub(crate) peers: Vec<(Entry, Result<String, String>)>,
    pub(crate) works: Vec<WorkResult>,
    /// Work that there was no time or were no descriptors for, and why.
    pub(crate) left_out: Vec<(Spec, String)>,
    pub(crate) calls: Vec<Calls>,
}

/// One work, for all peers.
#[derive(Debug)]
pub(crate) struct WorkResult {
    pub(crate) spec: Spec,
    pub(crate) load: String,
    pub(crate) rows: Vec<Row>,
}

/// One peer in one work.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) entry: Entry,
    /// One outcome for each round; or why there is none.
    pub(crate) outcomes: Result<Vec<Outcome>, String>,
}

/// The median of per-round values, with the least and the greatest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Results {
    pub(crate) fn work(&self, spec: Spec) -> Option<&WorkResult> {
        self.works.iter().find(|work| work.spec == spec)
    }
}

impl WorkResult {
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.measured().find(|row| row.entry.to_string() == name)
    }

    pub(crate) fn measured(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.outcomes.is_ok())
    }

    pub(crate) fn skipped(&self) -> impl Iterator<Item = (Entry, &str)> {
        self.rows.iter().filter_map(|row| Some((row.entry, row.outcomes.as_ref().err()?.as_str())))
    }

    /// The names of the figures, the first one first.
    pub(crate) fn figures(&self) -> Vec<&str> {
        let outcomes = self.measured().next().and_then(|row| row.outcomes.as_ref().ok());
        let first = outcomes.and_then(|outcomes| outcomes.first());
        first.map_or(Vec::new(), |outcome| {
            outcome.figures.iter().map(|(name, _)| name.as_str()).collect()
        })
    }

    /// The best of the other reactors on poll or select; bare loops and epoll do not count.
    pub(crate) fn best_peer(&self, figure: &str) -> Option<&Row> {
        let others = self.measured().filter(|row| {
            matches!(row.entry.kind, Kind::Peer | Kind::Python)
                && row.entry.method != crate::peer::Method::Epoll
        });
        others
            .filter_map(|row| Some((row, row.spread(figure)?.median)))
            .min_by(|(_, one), (_, other)| one.total_cmp(other))
            .map(|(row, _)| row)
    }
}

impl Row {
    fn values(&self, figure: &str) -> Option<Vec<f64>> {
        let outcomes = self.outcomes.as_ref().ok()?;
        outcomes.iter().map(|outcome| outcome.figure(figure)).collect()
    }

    pub(crate) fn spread(&self, figure: &str) -> Option<Spread> {
        Spread::of(self.values(figure)?)
    }

    /// This over `other`, round by round.
    pub(crate) fn ratio(&self, other: &Self, figure: &str) -> Option<Spread> {
        let (ours, others) = (self.values(figure)?, other.values(figure)?);
        // What is too small to be measured compares with nothing.
        let ratios = ours.iter().zip(&others).map(|(one, other)| one / other);
        Spread::of(ratios.collect()).filter(|spread| spread.most.is_finite())
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) && middle > 0 {
            (values[middle - 1] + values[middle]) / 2.0
        } else {
            *values.get(middle)?
        };
        Some(Self { least: *values.first()?, median, most: *values.last()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outcome::Counts, peers::ALL};

    fn row(values: &[f64]) -> Row {
        let outcome = |value: &f64| Outcome {
            samples: 1,
            counts: Counts::default(),
            figures: vec![("ns".into(), *value)],
        };
        Row { entry: ALL[0], outcomes: Ok(values.iter().map(outcome).collect()) }
    }

    #[test]
    fn ratios_are_those_of_rounds_and_not_of_medians() {
        let ratio = row(&[1.0, 20.0, 300.0]).ratio(&row(&[1.0, 10.0, 100.0]), "ns").unwrap();
        assert_eq!(ratio, Spread { least: 1.0, median: 2.0, most: 3.0 });
        assert_eq!(row(&[1.0]).ratio(&row(&[1.0]), "p99"), None);
        assert_eq!(row(&[1.0]).ratio(&row(&[0.0]), "ns"), None);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_two() {
        assert_eq!(row(&[4.0, 1.0, 2.0, 8.0]).spread("ns").unwrap().median, 3.0);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
