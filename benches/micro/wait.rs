//! A backend alone: the system call, and the search of its answer for what is ready.

use crate::{backends::on_each_backend, clock::Criterion, sockets};
use asyncore::{Backend, Interest};
use criterion::{BenchmarkId, Throughput};
use std::{
    io::Write,
    os::{fd::AsRawFd, unix::net::UnixStream},
    time::Duration,
};

pub(crate) const SIZES: [usize; 3] = [10, 1000, 10_000];

pub(crate) fn bench(criterion: &mut Criterion) {
    for n in SIZES {
        on_each_backend!(bench_one(criterion, n));
    }
}

fn bench_one<B: Backend>(criterion: &mut Criterion, n: usize) {
    let Some(sockets) = sockets::pairs::<B>("wait", n / 2) else { return };
    let sockets: Vec<UnixStream> = sockets.into_iter().flatten().collect();
    let mut backend = B::default();
    for socket in &sockets {
        // As a reactor watches who reads.
        backend.add(socket.as_raw_fd(), Interest::READ | Interest::PRIORITY).unwrap();
    }
    let mut group = criterion.benchmark_group("wait");
    group.throughput(Throughput::Elements(n as u64));
    let (mut ready, mut expected) = (Vec::new(), 0);
    // In the middle the one is nobody's advantage.
    let (one, others) = (n / 2, (0..n).filter(|index| *index != n / 2));
    for (name, senders) in
        [("none ready", Vec::new()), ("one ready", vec![one]), ("all ready", others.collect())]
    {
        expected += senders.len();
        for index in senders {
            (&sockets[index]).write_all(b"x").unwrap();
        }
        group.bench_function(BenchmarkId::new(format!("{name}/{}", B::NAME), n), |bencher| {
            bencher.iter(|| backend.wait(Some(Duration::ZERO), &mut ready).unwrap());
            assert_eq!(ready.len(), expected);
        });
    }
}
