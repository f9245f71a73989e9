//! How much of the time goes to those that are not busy.

/// A share of the time: what was set, and more as long as some of them turn out to be busy.
#[derive(Debug)]
pub(crate) struct ColdShare {
    least: f64,
    now: f64,
    /// How many rounds over them have ended since one was found ready. At the beginning nobody is
    /// known to be quiet, and they get some rounds as well.
    quiet_rounds: u32,
}

/// Unless set.
const LEAST: f64 = 1.0 / 16.0;

/// It is up to so many times as large while some turn out to be busy; but not more than half.
const MORE: f64 = 3.8;

/// Nor is it more than what a round over all of them needs that ends in so long, in nanoseconds, or
/// in as long as so many looks at everything. Were everything looked at each time, they would wait
/// for one such look.
const ROUND: f64 = 1_000_000.0;
const LOOKS: f64 = 10.0;

/// They are busy no more when so many rounds have found nobody: a single one may by chance.
const QUIET_ROUNDS: u32 = 5;
/// Or the first ones so many.
const FIRST_ROUNDS: u32 = 2;

impl Default for ColdShare {
    fn default() -> Self {
        Self { least: LEAST, now: LEAST, quiet_rounds: QUIET_ROUNDS - FIRST_ROUNDS }
    }
}

impl ColdShare {
    /// What is no number changes nothing.
    pub(crate) fn set_least(&mut self, share: f64) {
        if !share.is_nan() {
            self.least = share.clamp(0.01, 0.9);
            self.now = self.least;
        }
    }

    /// What they are owed of so much time.
    pub(crate) fn of(&self, passed: f64) -> f64 {
        passed * self.now
    }

    /// After a slice, with what a round of slices costs, and one look at everything.
    pub(crate) fn settle(&mut self, found: bool, ends_round: bool, round: f64, look: f64) {
        if found {
            self.quiet_rounds = 0;
        } else if ends_round {
            self.quiet_rounds = self.quiet_rounds.saturating_add(1);
        }
        self.now = if self.quiet_rounds < QUIET_ROUNDS {
            let most = (MORE * self.least).min(0.5).max(self.least);
            (round / ROUND.max(LOOKS * look)).clamp(self.least, most)
        } else {
            self.least
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In nanoseconds: ten looks are longer than a millisecond.
    const LOOK: f64 = 500_000.0;

    /// The share after a slice that was the last of its round.
    fn after_round(share: &mut ColdShare, found: bool, round: f64, look: f64) -> f64 {
        share.settle(found, true, round, look);
        share.of(1.0)
    }

    #[test]
    fn it_is_larger_until_some_rounds_have_found_nobody() {
        let mut share = ColdShare::default();
        for rounds in [FIRST_ROUNDS, QUIET_ROUNDS, QUIET_ROUNDS] {
            for _ in 1..rounds {
                share.settle(false, false, LOOK, LOOK);
                assert_eq!(after_round(&mut share, false, LOOK, LOOK), 0.1);
            }
            assert_eq!(after_round(&mut share, false, LOOK, LOOK), LEAST);
            assert_eq!(after_round(&mut share, false, LOOK, LOOK), LEAST);
            assert_eq!(after_round(&mut share, true, LOOK, LOOK), 0.1);
        }
    }

    #[test]
    fn a_round_need_not_end_sooner_than_some_looks_take_or_a_millisecond() {
        let mut share = ColdShare::default();
        assert_eq!(after_round(&mut share, true, 2.0 * LOOK, LOOK), 0.2);
        assert_eq!(after_round(&mut share, true, 100_000.0, 1000.0), 0.1);
    }

    #[test]
    fn it_is_neither_less_than_set_nor_more_than_some_times_that_or_half() {
        for (least, most) in [(LEAST, MORE * LEAST), (0.25, 0.5), (0.8, 0.8)] {
            let mut share = ColdShare::default();
            share.set_least(least);
            assert_eq!(share.of(1.0), least);
            assert_eq!(after_round(&mut share, true, 0.0, LOOK), least);
            assert_eq!(after_round(&mut share, true, 100.0 * LOOK, LOOK), most);
        }
    }

    #[test]
    fn what_is_set_leaves_some_time_for_either_and_is_a_number() {
        let mut share = ColdShare::default();
        for (set, is) in [(0.0, 0.01), (7.0, 0.9), (f64::NAN, 0.9)] {
            share.set_least(set);
            assert_eq!(share.of(1.0), is);
        }
    }
}
