//! Adding and removing channels that were made before and are not closed.

use crate::{
    backends::{SCANS, on_each_backend, reactor},
    clock::{self, Criterion},
    sockets,
    unasked::Unasked,
};
use asyncore::{Backend, Channel, DefaultBackend, Dispatcher, Key, Reactor, Scan};
use criterion::{BenchmarkId, Throughput};
use std::time::Duration;

const CHANNELS: usize = 1000;

struct Silent;

impl Dispatcher for Silent {}

pub(crate) fn bench(criterion: &mut Criterion) {
    bench_slab(criterion);
    for (name, scan) in SCANS {
        on_each_backend!(bench_one(criterion, name, scan));
    }
}

/// Without a pass: no backend hears of it.
fn bench_slab(criterion: &mut Criterion) {
    let Some(mut channels) = Channels::new::<DefaultBackend>() else { return };
    let mut reactor = Reactor::new();
    let mut group = criterion.benchmark_group("channels");
    group.throughput(Throughput::Elements(CHANNELS as u64));
    for (name, timed) in [("add_channel", 0), ("del_channel", 1)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = [Duration::ZERO; 2];
                for _ in 0..iterations {
                    spent[0] += clock::time(|| channels.add_to(&mut reactor));
                    spent[1] += clock::time(|| channels.remove_from(&mut reactor));
                }
                spent[timed]
            });
        });
    }
}

/// With what the backend hears of it before a wait.
fn bench_one<B: Backend>(criterion: &mut Criterion, scan_name: &str, scan: Scan) {
    let Some(mut channels) = Channels::new::<B>() else { return };
    let mut reactor = reactor::<Unasked<B>>(scan);
    let mut group = criterion.benchmark_group("channels");
    group.throughput(Throughput::Elements(2 * CHANNELS as u64));
    let id = BenchmarkId::new(format!("added, watched and removed/{}", B::NAME), scan_name);
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            channels.add_to(&mut reactor);
            reactor.poll(Some(Duration::ZERO)).unwrap();
            channels.remove_from(&mut reactor);
            reactor.poll(Some(Duration::ZERO)).unwrap();
        });
    });
}

/// Channels, in a reactor or not.
struct Channels {
    outside: Vec<Channel>,
    inside: Vec<Key<Silent>>,
}

impl Channels {
    fn new<B: Backend>() -> Option<Self> {
        let sockets = sockets::pairs::<B>("channels", CHANNELS / 2)?.into_iter().flatten();
        let outside = sockets.map(|socket| Channel::new(socket).unwrap()).collect();
        Some(Self { outside, inside: Vec::with_capacity(CHANNELS) })
    }

    fn add_to(&mut self, reactor: &mut Reactor<impl Backend>) {
        let channels = self.outside.drain(..);
        self.inside.extend(channels.map(|channel| reactor.add_channel(channel, Silent).unwrap()));
    }

    fn remove_from(&mut self, reactor: &mut Reactor<impl Backend>) {
        let keys = self.inside.drain(..);
        self.outside.extend(keys.map(|key| reactor.del_channel(key).unwrap().0));
    }
}
