//! What is pushed to a peer that does not read: into the queue, and out of it when the peer does.

use crate::{
    backends::{on_each_backend, reactor},
    clock::{self, Criterion},
    sockets,
};
use asyncore::{Backend, Channel, Dispatcher, Interest, Scan};
use criterion::{BatchSize, BenchmarkId, Throughput};
use std::{io::Read, os::unix::net::UnixStream, time::Duration};

const BYTES: usize = 1 << 20;
const PIECES: [usize; 3] = [64, 4 << 10, 64 << 10];

struct Talker;

impl Dispatcher for Talker {
    fn writable(&self, _: &Channel) -> bool {
        false
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    for piece in PIECES {
        bench_push(criterion, piece);
    }
    on_each_backend!(bench_flush(criterion));
}

/// No backend is asked.
fn bench_push(criterion: &mut Criterion, piece: usize) {
    let piece = vec![b'x'; piece];
    let full = || {
        let (socket, peer) = UnixStream::pair().unwrap();
        sockets::fill(&socket);
        (Channel::new(socket).unwrap(), peer)
    };
    let mut group = criterion.benchmark_group("output");
    group.throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function(BenchmarkId::new("push", piece.len()), |bencher| {
        let push = |(channel, _peer): &mut (Channel, _)| {
            for _ in 0..BYTES / piece.len() {
                channel.push(&piece).unwrap();
            }
            assert_eq!(channel.queued(), BYTES);
        };
        bencher.iter_batched_ref(full, push, BatchSize::PerIteration);
    });
}

/// The time of the passes, not that of the peer, which reads between them.
fn bench_flush<B: Backend>(criterion: &mut Criterion) {
    let (socket, mut peer) = UnixStream::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut reactor = reactor::<B>(Scan::Plain);
    let key = reactor.add_channel(Channel::new(socket).unwrap(), Talker).unwrap();
    let (data, mut buffer) = (vec![b'x'; BYTES], vec![0; BYTES]);
    let mut group = criterion.benchmark_group("output");
    group.throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function(BenchmarkId::new("flush", B::NAME), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                // Nothing goes out before the time counts.
                reactor.pause(key, Interest::WRITE);
                reactor.channel(key).unwrap().push(&data).unwrap();
                reactor.resume(key, Interest::WRITE);
                while reactor.channel(key).unwrap().queued() > 0 {
                    while peer.read(&mut buffer).is_ok() {}
                    spent += clock::time(|| {
                        reactor.poll(Some(Duration::ZERO)).unwrap();
                    });
                }
            }
            spent
        });
    });
}
