//! Input that is read and cut at terminators.
//!
//! What it takes against a `memchr` pass over the same bytes is another bench: `chat`.

use crate::{
    backends::{on_each_backend, reactor},
    clock::{self, Criterion},
};
use asyncore::{AsyncChat, Backend, Channel, Chat, ChatContext, Scan, Terminator};
use criterion::{BenchmarkId, Throughput};
use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

/// No more than a socket takes while nobody reads.
const BYTES: usize = 64 << 10;

/// Counts what was found, and looks at no more of it.
struct Counter {
    found: usize,
    /// A terminator that has to be set again each time.
    length: Option<usize>,
}

impl AsyncChat for Counter {
    fn collect_incoming_data(&mut self, _: &mut ChatContext<'_, '_>, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.found += 1;
        if let Some(length) = self.length {
            cx.set_terminator(length);
        }
        Ok(())
    }
}

/// What ends a line, and a line with its end.
struct Case {
    name: &'static str,
    terminator: Terminator,
    line: Vec<u8>,
}

fn cases() -> [Case; 7] {
    let case = |name, terminator, line| Case { name, terminator, line };
    let of_bytes = |name, length, byte, end: &'static str| {
        let line = [&vec![byte; length - end.len()], end.as_bytes()].concat();
        case(name, end.into(), line)
    };
    [
        case("none", Terminator::None, vec![b'x'; 64]),
        case("a length of 64", Terminator::Length(64), vec![b'x'; 64]),
        of_bytes("a character, lines of 2", 2, b'x', "\n"),
        of_bytes("a character, lines of 64", 64, b'x', "\n"),
        of_bytes("CRLF, lines of 64", 64, b'x', "\r\n"),
        of_bytes("32 bytes, lines of 64", 64, b'x', "\r\n----------------------------\r\n"),
        // Each byte may be where it begins.
        of_bytes("32 bytes, in the like of it", 64, b'-', "-------------------------------\n"),
    ]
}

pub(crate) fn bench(criterion: &mut Criterion) {
    for case in cases() {
        on_each_backend!(bench_one(criterion, &case));
    }
}

/// The time of the passes, not that of the peer, which writes between them.
fn bench_one<B: Backend>(criterion: &mut Criterion, case: &Case) {
    let (socket, mut peer) = UnixStream::pair().unwrap();
    let mut reactor = reactor::<B>(Scan::Plain);
    let length = match case.terminator {
        Terminator::Length(length) => Some(length),
        _ => None,
    };
    let chat = Chat::new(Counter { found: 0, length }, case.terminator.clone());
    let key = reactor.add_channel(Channel::new(socket).unwrap(), chat).unwrap();
    let input = case.line.repeat(BYTES / case.line.len());
    let lines = if case.terminator == Terminator::None { 0 } else { BYTES / case.line.len() };
    let mut group = criterion.benchmark_group("chat");
    group.throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function(BenchmarkId::new(case.name, B::NAME), |bencher| {
        bencher.iter_custom(|iterations| {
            let before = reactor.get(key).unwrap().found;
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                peer.write_all(&input).unwrap();
                spent += clock::time(|| while reactor.poll(Some(Duration::ZERO)).unwrap() > 0 {});
            }
            assert_eq!(reactor.get(key).unwrap().found - before, lines * iterations as usize);
            spent
        });
    });
}
