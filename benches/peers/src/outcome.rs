//! What one round of one peer has to say, and how it says it to the driver: one line.

use std::{fmt, ops, str::FromStr};

/// What was done; the same for everybody, or the row is not comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Calls of recv, those that found nothing included.
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    /// Reads that brought a whole message.
    pub(crate) messages: u64,
}

impl ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            writes: self.writes + other.writes,
            messages: self.messages + other.messages,
        }
    }
}

impl ops::Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            reads: self.reads - other.reads,
            writes: self.writes - other.writes,
            messages: self.messages - other.messages,
        }
    }
}

/// The result of one round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) samples: u64,
    pub(crate) counts: Counts,
    /// By name; less is better. The first is what the work is about.
    pub(crate) figures: Vec<(String, f64)>,
}

impl Outcome {
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, counts: Counts { reads, writes, messages }, figures } = self;
        write!(f, "{samples} {reads} {writes} {messages}")?;
        figures.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let parse = || {
            let mut words = line.split_whitespace();
            let mut number = || words.next()?.parse().ok();
            let samples = number()?;
            let counts = Counts { reads: number()?, writes: number()?, messages: number()? };
            let figures = words.map(|word| {
                let (name, value) = word.split_once('=')?;
                Some((name.to_string(), value.parse().ok()?))
            });
            Some(Self { samples, counts, figures: figures.collect::<Option<_>>()? })
        };
        parse().ok_or_else(|| format!("not an outcome: {line:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let counts = Counts { reads: 3, writes: 2, messages: 1 };
        let figures = vec![("ns".into(), 1.5), ("p99".into(), 7e6)];
        let outcome = Outcome { samples: 4, counts, figures };
        assert_eq!(outcome.to_string().parse(), Ok(outcome));
        assert!("1 2 3".parse::<Outcome>().is_err());
        assert!("1 2 3 4 ns".parse::<Outcome>().is_err());
        assert!("1 2 3 4 ns=x".parse::<Outcome>().is_err());
    }
}
