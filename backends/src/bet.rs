//! What may be tried, and how often.

/// A way to save time that may cost some. It spends what it has saved, and a little of what is
/// spent without it, so that it finds out again.
#[derive(Debug, Default)]
pub(crate) struct Bet {
    /// In nanoseconds.
    funds: f64,
}

impl Bet {
    /// What it may cost, in nanoseconds.
    pub(crate) fn funds(&self) -> f64 {
        self.funds
    }

    pub(crate) fn affords(&self, cost: f64) -> bool {
        self.funds >= cost
    }

    pub(crate) fn settle(&mut self, won: bool, saved: f64, cost: f64) {
        if won {
            self.win(saved, cost);
        } else {
            self.lose(cost);
        }
    }

    /// One that is won often may be lost a few times in a row.
    pub(crate) fn win(&mut self, saved: f64, cost: f64) {
        self.funds = (self.funds + saved).min((cost * 2.0).max(saved * 8.0));
    }

    pub(crate) fn lose(&mut self, cost: f64) {
        self.funds -= cost;
    }

    /// So much time was spent without it.
    pub(crate) fn earn(&mut self, spent: f64) {
        if self.funds < spent * 2.0 {
            self.funds += spent / 32.0;
        }
    }
}
