//! asynchat's input against a plain `memchr` pass over the same bytes.
//!
//! `cargo bench --bench chat`. Each round times every contestant once, one after the other, so that
//! what else the machine does hits all of them; a ratio is that of one round. What counts for a
//! channel is the time of the reactor's passes (wait, read, cut, call), not that of the peer, which
//! fills the socket between them.

use asyncore::{AsyncChat, Backend, Channel, Chat, ChatContext, Context, Dispatcher, Key, Reactor};
use std::{
    hint::black_box,
    io::{self, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

const BYTES: usize = 4 << 20;
const ROUNDS: usize = 21;
/// The time of a chat over that of `memchr`, at the most, for lines of one character.
const TARGET: f64 = 20.0;

/// Counts lines, and looks at no more of them than their length.
#[derive(Default)]
struct Counted {
    lines: usize,
    bytes: usize,
}

impl AsyncChat for Counted {
    fn collect_incoming_data(
        &mut self,
        _: &mut ChatContext<'_, '_>,
        data: &[u8],
    ) -> io::Result<()> {
        self.bytes += data.len();
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.lines += 1;
        Ok(())
    }
}

/// Takes each line as a vector of its own, as most handlers do.
#[derive(Default)]
struct Taken(Counted);

impl AsyncChat for Taken {
    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.0.lines += 1;
        self.0.bytes += black_box(cx.take_data()).len();
        Ok(())
    }
}

/// Reads as a chat does, and no more.
struct Read;

impl Dispatcher for Read {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        black_box(cx.recv(&mut buffer)?);
        Ok(())
    }
}

/// The time that a reactor spends on `input`, and what the dispatcher is then.
fn time<D: Dispatcher>(
    backend: impl Backend,
    input: &[u8],
    dispatcher: D,
    check: impl FnOnce(&D),
) -> Duration {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut reactor = Reactor::with_backend(backend);
    let key: Key<D> = reactor.add_channel(Channel::new(ours).unwrap(), dispatcher).unwrap();
    let (mut spent, mut rest) = (Duration::ZERO, input);
    loop {
        while let Ok(count @ 1..) = peer.write(rest) {
            rest = &rest[count..];
        }
        let start = Instant::now();
        let mut served = 0;
        while reactor.poll(Some(Duration::ZERO)).unwrap() > 0 {
            served += 1;
        }
        spent += start.elapsed();
        if served == 0 {
            break;
        }
    }
    check(reactor.get(key).unwrap());
    spent
}

/// Where each line ends.
fn memchr_pass(input: &[u8]) -> Duration {
    let start = Instant::now();
    for position in memchr::memchr_iter(b'\n', black_box(input)) {
        black_box(position);
    }
    start.elapsed()
}

/// One row: the median time, and the median, least and greatest ratio to `memchr`.
fn row(name: &str, times: &[Duration], memchr: &[Duration]) -> f64 {
    let mut ratios: Vec<_> =
        times.iter().zip(memchr).map(|(time, memchr)| time.div_duration_f64(*memchr)).collect();
    ratios.sort_by(f64::total_cmp);
    let mut sorted = times.to_vec();
    sorted.sort();
    let (median, ratio) = (sorted[ROUNDS / 2], ratios[ROUNDS / 2]);
    println!(
        "  {name:<34} {:>8.2} ms {ratio:>8.2} ({:.2} to {:.2})",
        median.as_secs_f64() * 1e3,
        ratios[0],
        ratios[ROUNDS - 1],
    );
    ratio
}

/// Every contestant on one input; returns the greatest ratio of one that counts lines.
fn compare(title: &str, input: &[u8]) -> f64 {
    let lines = memchr::memchr_iter(b'\n', input).count();
    let check = |counted: &Counted| {
        assert_eq!((counted.lines, counted.bytes), (lines, input.len() - lines));
    };
    let mut times: Vec<(String, Vec<Duration>)> = Vec::new();
    let mut memchr = Vec::new();
    let counted = || {
        let mut chat = Chat::new(Counted::default(), "\n");
        chat.set_input_limit(BYTES);
        chat
    };
    let taken = || {
        let mut chat = Chat::new(Taken::default(), "\n");
        chat.set_input_limit(BYTES);
        chat
    };
    for _ in 0..ROUNDS {
        memchr.push(memchr_pass(input));
        let mut entry = |name: String, time| {
            match times.iter_mut().find(|(known, _)| *known == name) {
                Some((_, times)) => times.push(time),
                None => times.push((name, vec![time])),
            };
        };
        macro_rules! on {
            ($backend:ty) => {
                let name = <$backend as Backend>::NAME;
                let backend = <$backend>::default;
                let time_counted = time(backend(), input, counted(), |chat| check(chat));
                entry(format!("{name}: lines counted"), time_counted);
                let time_taken = time(backend(), input, taken(), |chat| check(&chat.0));
                entry(format!("{name}: lines taken (take_data)"), time_taken);
                entry(format!("{name}: read alone"), time(backend(), input, Read, |_| {}));
            };
        }
        #[cfg(feature = "poll")]
        on!(asyncore::Poll);
        #[cfg(feature = "select")]
        on!(asyncore::Select);
    }
    println!("{title}");
    println!("  {:<34} {:>11} {:>8} (least to greatest)", "", "median", "ratio");
    row("memchr", &memchr, &memchr);
    let ratios = times.iter().map(|(name, times)| (name, row(name, times, &memchr)));
    ratios.filter(|(name, _)| name.ends_with("counted")).map(|(_, ratio)| ratio).fold(0.0, f64::max)
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches`: it is enough that this compiles.
        return;
    }
    let worst = compare("4 MiB of lines of one character", &b"x\n".repeat(BYTES / 2));
    println!(
        "  target: at most {TARGET} times memchr; {}",
        if worst <= TARGET { "met" } else { "MISSED" }
    );
    let mut line = vec![b'x'; BYTES - 1];
    line.push(b'\n');
    compare("4 MiB in one line", &line);
}
