//! Changes of interest: what a channel is told, and what the backend hears of it before a wait.

use crate::{
    backends::{SCANS, on_each_backend, reactor},
    clock::Criterion,
    sockets,
    unasked::Unasked,
};
use asyncore::{Backend, Channel, Dispatcher, Interest, Key, Reactor, Scan};
use criterion::{BenchmarkId, Throughput};
use std::time::Duration;

const CHANNELS: usize = 1000;

struct Writer {
    writable: bool,
}

impl Dispatcher for Writer {
    fn writable(&self, _: &Channel) -> bool {
        self.writable
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    for (name, scan) in SCANS {
        on_each_backend!(bench_one(criterion, name, scan));
    }
}

fn bench_one<B: Backend>(criterion: &mut Criterion, scan_name: &str, scan: Scan) {
    let Some(pairs) = sockets::pairs::<B>("interest", CHANNELS / 2) else { return };
    let mut reactor = reactor::<Unasked<B>>(scan);
    let sockets = pairs.into_iter().flatten();
    let keys: Vec<_> = sockets
        .map(|socket| {
            let channel = Channel::new(socket).unwrap();
            reactor.add_channel(channel, Writer { writable: false }).unwrap()
        })
        .collect();
    let mut toggled = |name: &str, set: fn(&mut Reactor<Unasked<B>>, Key<Writer>, bool)| {
        let mut group = criterion.benchmark_group("interest");
        group.throughput(Throughput::Elements(2 * CHANNELS as u64));
        let id = BenchmarkId::new(format!("{name}/{}", B::NAME), scan_name);
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                for on in [true, false] {
                    keys.iter().for_each(|key| set(&mut reactor, *key, on));
                    reactor.poll(Some(Duration::ZERO)).unwrap();
                }
            });
        });
    };
    toggled("pause and resume", |reactor, key, on| {
        let change = if on { Reactor::pause } else { Reactor::resume };
        assert!(change(reactor, key, Interest::READ));
    });
    toggled("writable", |reactor, key, on| reactor.get_mut(key).unwrap().writable = on);
}
