//! What the kernel charges for what: taken apart from the calls that were made without a reactor.

use super::data::Series;
use serde::Serialize;

/// Nanoseconds, of poll and of select.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Price {
    pub(crate) of: &'static str,
    pub(crate) poll: f64,
    pub(crate) select: f64,
}

/// How many numbers a word of a bitmap has.
const WORD: f64 = usize::BITS as f64;

/// The price list; empty where too little was measured.
///
/// The slope is taken below 1000 descriptors, as long as everything fits the caches.
pub(crate) fn prices(series: &[Series]) -> Vec<Price> {
    list(series).unwrap_or_default()
}

fn list(series: &[Series]) -> Option<Vec<Price>> {
    let [look, queue, high, scattered] = ["look-low", "queue-low", "look-high", "look-scattered"]
        .map(|id| series.iter().find(|series| series.scenario.id == id));
    let [few, some] = [10, 1000];
    let at = |series: Option<&Series>, n| {
        let point = series?.points.iter().find(|point| point.descriptors == n)?;
        Some([point.poll.median, point.select.median])
    };
    let slope = |series| {
        let [first, last] = [at(series, few)?, at(series, some)?];
        Some([0, 1].map(|backend| (last[backend] - first[backend]) / (some - few) as f64))
    };
    let looks = slope(look)?;
    let first = at(look, few)?;
    let mut list = vec![
        ("a call, whatever it watches", [0, 1].map(|b| first[b] - looks[b] * few as f64)),
        ("each descriptor, looked at once", looks),
    ];
    if let Some(queues) = slope(queue) {
        list.push(("each descriptor of a wait that sleeps", queues));
    }
    if let Some(high) = at(high, few) {
        let words = super::sockets::HIGH as f64 / WORD;
        list.push((
            "each word of 64 unused numbers below the highest",
            [0, 1].map(|b| ((high[b] - first[b]) / words).max(0.0)),
        ));
        if let (Some(apart), Some(together)) = (at(scattered, 100), at(look, 100)) {
            let empty = (high[1] - first[1]) / words;
            let words = super::sockets::SPAN as f64 / WORD;
            let unused = [0.0, empty * words];
            list.push((
                "each word with a single descriptor in it",
                [0, 1].map(|b| ((apart[b] - together[b] - unused[b]) / 100.0).max(0.0)),
            ));
        }
    }
    Some(list.into_iter().map(|(of, [poll, select])| Price { of, poll, select }).collect())
}
