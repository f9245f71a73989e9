//! From an event to its callback: everything is ready, and stays so, as nobody reads.
//!
//! The wait is in it; `wait/all ready` is what that takes.

use crate::{
    backends::{on_each_backend, reactor},
    clock::Criterion,
    sockets,
    wait::SIZES,
};
use asyncore::{Backend, Channel, Context, Dispatcher, Scan};
use criterion::{BenchmarkId, Throughput};
use std::{io, io::Write, time::Duration};

struct Idle;

impl Dispatcher for Idle {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    for n in SIZES {
        on_each_backend!(bench_one(criterion, n));
    }
}

fn bench_one<B: Backend>(criterion: &mut Criterion, n: usize) {
    let Some(sockets) = sockets::pairs::<B>("dispatch", n / 2) else { return };
    let mut reactor = reactor::<B>(Scan::Plain);
    for mut socket in sockets.into_iter().flatten() {
        socket.write_all(b"x").unwrap();
        reactor.add_channel(Channel::new(socket).unwrap(), Idle).unwrap();
    }
    let mut group = criterion.benchmark_group("dispatch");
    group.throughput(Throughput::Elements(n as u64));
    group.bench_function(BenchmarkId::new(B::NAME, n), |bencher| {
        bencher.iter(|| {
            let served = reactor.poll(Some(Duration::ZERO)).unwrap();
            assert_eq!(served, n);
        });
    });
}
