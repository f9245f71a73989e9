//! Timers among others that are pending: set and cancel, move, set and call.

use crate::{
    backends::{on_each_backend, reactor},
    clock::Criterion,
};
use asyncore::{Backend, Scan};
use criterion::BenchmarkId;
use std::time::Duration;

const PENDING: [usize; 2] = [1000, 1_000_000];

pub(crate) fn bench(criterion: &mut Criterion) {
    for pending in PENDING {
        // The backend has no part in it.
        bench_tables(criterion, pending);
    }
    on_each_backend!(bench_call(criterion));
}

fn bench_tables(criterion: &mut Criterion, pending: usize) {
    let mut reactor = reactor::<asyncore::DefaultBackend>(Scan::Plain);
    let second = Duration::from_secs(1);
    // In an order that is none.
    let mut delays = (0..).map(|n: u32| second * (n.wrapping_mul(2_654_435_769) >> 12));
    let timers: Vec<_> =
        delays.by_ref().take(pending).map(|delay| reactor.call_later(delay, |_| {})).collect();
    let mut group = criterion.benchmark_group("timers");
    group.bench_function(BenchmarkId::new("set and cancel", pending), |bencher| {
        bencher.iter(|| {
            let timer = reactor.call_later(delays.next().unwrap(), |_| {});
            assert!(reactor.cancel(timer));
        });
    });
    let mut index = 0;
    group.bench_function(BenchmarkId::new("move", pending), |bencher| {
        bencher.iter(|| {
            index = (index + 7919) % pending;
            assert!(reactor.reschedule(timers[index], delays.next().unwrap()));
        });
    });
}

fn bench_call<B: Backend>(criterion: &mut Criterion) {
    let mut reactor = reactor::<B>(Scan::Plain);
    let mut group = criterion.benchmark_group("timers");
    group.bench_function(BenchmarkId::new(B::NAME, "set, wait and call"), |bencher| {
        bencher.iter(|| {
            reactor.call_later(Duration::ZERO, |_| {});
            reactor.poll(None).unwrap();
        });
    });
}
