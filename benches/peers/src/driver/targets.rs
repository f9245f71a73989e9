//! What asyncore-rs means to reach, and whether it does.

use super::results::{Results, Row, Spread, WorkResult};
use crate::{
    peer::Method,
    peers::{HALF, HOT, OURS, PLAIN},
    spec::Spec,
};

/// One bound on one figure of one work.
#[derive(Debug)]
pub(crate) struct Target {
    work: &'static str,
    figure: &'static str,
    /// Which of our rows it is about.
    ours: &'static str,
    against: Against,
    at_most: f64,
}

#[derive(Debug, Clone, Copy)]
enum Against {
    /// The bare loop on the same system call.
    Limit,
    /// The same of ours without the hot set.
    Plain,
    Named(&'static str),
    /// The best of the other reactors on poll or select.
    BestPeer,
    /// Nobody: the figure itself is bounded.
    Nobody,
    /// Nobody: the system calls of an operation are bounded.
    Calls,
}

use Against::{BestPeer, Calls, Limit, Named, Nobody};

const fn target(
    work: &'static str,
    figure: &'static str,
    ours: &'static str,
    against: Against,
    at_most: f64,
) -> Target {
    Target { work, figure, ours, against, at_most }
}

const MIO: Against = Named("mio epoll");
const EPOLL: Against = Named("bare epoll");

/// "At least 0.9 of its messages" is at most 1/0.9 of its time.
const TARGETS: &[Target] = &[
    target("ring(1000,100)", "ns", PLAIN, Limit, 1.05),
    target("dense(10)", "ns", PLAIN, Limit, 1.05),
    target("dense(100)", "ns", PLAIN, Limit, 1.05),
    target("dense(1000)", "ns", PLAIN, Limit, 1.05),
    target("dense(4000)", "ns", PLAIN, Limit, 1.05),
    target("ring(1000,1)", "ns", OURS, BestPeer, 0.6),
    target("cascade(1000)", "ns", OURS, BestPeer, 0.6),
    target("sparse(9000,10)", "ns", OURS, EPOLL, 1.15),
    target("sparse(9000,10)", "ns", OURS, BestPeer, 1.0 / 60.0),
    target("sparse(9000,100)", "ns", OURS, EPOLL, 1.15),
    target("sparse(9000,100)", "ns", OURS, BestPeer, 0.1),
    target("sparse(100,10)", "ns", OURS, BestPeer, 1.0),
    target("sparse(0,10)", "ns", OURS, BestPeer, 1.0),
    target("echo(8000,50)", "ns", OURS, MIO, 1.0 / 0.9),
    target("echo(8000,50)", "ns", OURS, BestPeer, 0.2),
    target("echo(8000,50)", "p99", OURS, MIO, 2.0),
    target("echo(8000,1)", "ns", OURS, MIO, 1.0 / 0.9),
    target("echo(8000,1)", "p99", OURS, MIO, 2.0),
    target("echo(1000,1)", "ns", OURS, MIO, 1.0 / 0.9),
    target("echo(1000,1)", "p99", OURS, MIO, 2.0),
    target("ring(1000,1)", "ns", OURS, Against::Plain, 1.05),
    target("ring(1000,100)", "ns", OURS, Against::Plain, 1.05),
    target("change(1000,10)", "ns", OURS, Against::Plain, 1.05),
    target("echo(0,50)", "ns", OURS, MIO, 1.0),
    target("cold(8000,10)", "p50", OURS, Named("bare poll"), 10.0),
    target("cold(8000,10)", "p99", OURS, Named("bare poll"), 10.0),
    target("cold(8000,10)", "ns", OURS, EPOLL, 1.0 / 0.85),
    target("cold(8000,10)", "p50", HALF, Named("bare poll"), 3.0),
    target("cold(8000,10)", "ns", HALF, BestPeer, 0.1),
    target("dense(1000)", "ns", PLAIN, MIO, 1.0 / 1.15),
    target("churn(1000,channels)", "ns", PLAIN, MIO, 0.2),
    target("churn(1000,channels)", "ns", PLAIN, Named("polling poll"), 0.2),
    target("churn(1000,writing)", "ns", PLAIN, Nobody, 30.0),
    target("churn(1000,writing)", "calls", PLAIN, Calls, 0.0),
    target("memory(10000)", "bytes", OURS, Nobody, 200.0),
];

/// One target and one of our rows.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) spec: Spec,
    pub(crate) figure: &'static str,
    pub(crate) ours: String,
    pub(crate) against: String,
    pub(crate) at_most: f64,
    pub(crate) reached: Spread,
    pub(crate) limit: Option<Bound>,
}

/// A bare loop that shows what can be reached.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) bare: String,
    /// We, compared with it.
    pub(crate) ours: Spread,
    /// It, compared with what the target is about.
    pub(crate) reaches: Spread,
}

impl Judgement {
    pub(crate) fn is_met(&self) -> bool {
        self.reached.median <= self.at_most
    }

    /// Whether the limit misses it too, and we are as near to that as a reactor can come.
    pub(crate) fn is_at_the_limit(&self) -> bool {
        let is_near =
            |limit: &Bound| limit.reaches.median > self.at_most && limit.ours.median <= 1.05;
        !self.is_met() && self.limit.as_ref().is_some_and(is_near)
    }
}

/// Work in which every descriptor has to be asked about in every call: no reactor can do it in less
/// than the bare loop. In the cascade the first descriptor that is watched is the one that is
/// ready, so that a call which may block queues nowhere, and a probe saves nothing.
const LIMITED: &[&str] = &["cascade(1000)", "dense(1000)", "echo(0,50)", "sparse(0,10)"];

/// Work in which few of many are busy. Whoever knows which, and asks about the others no more than
/// they are promised, cannot serve the busy ones in less than the bare loop that does just that.
const LIMITED_BY_THE_BUSY: &[&str] = &["sparse(9000,10)", "sparse(9000,100)", "cold(8000,10)"];

/// Every target that the results can judge.
pub(crate) fn judge(results: &Results) -> Vec<Judgement> {
    let mut judgements = Vec::new();
    for target in TARGETS {
        let spec: Spec = target.work.parse().expect("targets name work that there is");
        let Some(work) = results.work(spec) else { continue };
        for row in work.measured().filter(|row| row.entry.library == target.ours) {
            let Some((against, reached)) = target.compare(results, work, row) else { continue };
            judgements.push(Judgement {
                spec,
                figure: target.figure,
                ours: row.entry.to_string(),
                against,
                at_most: target.at_most,
                reached,
                limit: target.limit(work, row),
            });
        }
    }
    judgements
}

impl Target {
    fn limit(&self, work: &WorkResult, row: &Row) -> Option<Bound> {
        let method = row.entry.method;
        let bare = if LIMITED.contains(&self.work) {
            work.row(&format!("bare {method}"))?
        } else if LIMITED_BY_THE_BUSY.contains(&self.work) && self.figure == "ns" {
            work.row(&format!("{HOT} {method}"))?
        } else {
            return None;
        };
        let other = self.other(work, method)?;
        Some(Bound {
            bare: bare.entry.to_string(),
            ours: row.ratio(bare, self.figure)?,
            reaches: bare.ratio(other, self.figure)?,
        })
    }

    /// The row that ours is compared with.
    fn other<'a>(&self, work: &'a WorkResult, method: Method) -> Option<&'a Row> {
        match self.against {
            Nobody | Calls => None,
            BestPeer => work.best_peer(self.figure),
            Named(name) => work.row(name),
            Limit => work.row(&format!("bare {method}")),
            Against::Plain => work.row(&format!("{PLAIN} {method}")),
        }
    }

    fn compare(&self, results: &Results, work: &WorkResult, row: &Row) -> Option<(String, Spread)> {
        let other = match self.against {
            Nobody => return Some(("itself".into(), row.spread(self.figure)?)),
            Calls => {
                let found = |calls: &&super::calls::Calls| {
                    calls.spec == work.spec && calls.entry == row.entry
                };
                let each = results.calls.iter().find(found)?.per_operation();
                let spread = Spread { least: each, median: each, most: each };
                return Some(("itself".into(), spread));
            }
            _ => self.other(work, row.entry.method)?,
        };
        if other.entry == row.entry {
            return None;
        }
        Some((other.entry.to_string(), row.ratio(other, self.figure)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_about_work_that_there_is() {
        for target in TARGETS {
            assert!(target.work.parse::<Spec>().is_ok(), "{target:?}");
        }
        for work in LIMITED.iter().chain(LIMITED_BY_THE_BUSY) {
            assert!(TARGETS.iter().any(|target| target.work == *work), "{work}");
        }
    }
}
