//! How late timers are, and what they cost those who have some: `cargo bench --bench timers`.
//!
//! Lateness means something on an idle machine only. What timers cost is a ratio: each round runs
//! the same ping-pong once without and once with timers, timeouts and a remote handle in use.

use asyncore::{Backend, Channel, Context, Dispatcher, Reactor};
use std::{
    cell::Cell,
    io,
    os::unix::net::UnixStream,
    rc::Rc,
    time::{Duration, Instant},
};

const DELAYS: [Duration; 3] =
    [Duration::from_micros(300), Duration::from_micros(1200), Duration::from_micros(5700)];
const SAMPLES: usize = 301;
/// The median, on an idle machine.
const LATENESS: Duration = Duration::from_micros(150);

const ROUNDS: usize = 41;
const MESSAGES: usize = 20_000;
/// What is in use may take so many times as long.
const TARGET: f64 = 1.03;

/// Sends back what comes, and stops the reactor when there was enough.
struct Player {
    left: Rc<Cell<usize>>,
}

impl Dispatcher for Player {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 64];
        let count = cx.recv(&mut buffer)?;
        cx.send(&buffer[..count])?;
        self.left.set(self.left.get().wrapping_sub(1));
        if self.left.get() == 0 {
            cx.stop();
        }
        Ok(())
    }
}

/// Pairs that play ping-pong in one reactor.
struct Game<B> {
    reactor: Reactor<B>,
    left: Rc<Cell<usize>>,
}

impl<B: Backend + Default> Game<B> {
    fn new(pairs: usize, timeout: Option<Duration>) -> io::Result<Self> {
        let mut reactor = Reactor::with_backend(B::default());
        let left = Rc::new(Cell::new(usize::MAX));
        for _ in 0..pairs {
            let (one, other) = UnixStream::pair()?;
            let [one, other] = [Channel::new(one)?, Channel::new(other)?];
            one.send(&[0; 64])?;
            for channel in [one, other] {
                channel.set_timeout(timeout);
                reactor.add_channel(channel, Player { left: Rc::clone(&left) })?;
            }
        }
        Ok(Self { reactor, left })
    }

    fn play(&mut self) -> io::Result<f64> {
        self.left.set(MESSAGES);
        let begin = Instant::now();
        self.reactor.run()?;
        let time = begin.elapsed().as_nanos() as f64;
        // Those that were left in the batch have counted on from the top.
        Ok(time / MESSAGES as f64)
    }
}

fn cost<B: Backend + Default>(pairs: usize) -> io::Result<()> {
    let hour = Duration::from_secs(3600);
    let mut without = Game::<B>::new(pairs, None)?;
    let mut with = Game::<B>::new(pairs, Some(hour))?;
    let _remote = with.reactor.remote()?;
    for second in 0..1000 {
        with.reactor.call_later(hour + Duration::from_secs(second), |_| {});
    }
    let (mut ratios, mut times) = (Vec::new(), Vec::new());
    for _ in 0..=ROUNDS {
        let (plain, used) = (without.play()?, with.play()?);
        ratios.push(used / plain);
        times.push(plain);
    }
    // The first round warms up.
    ratios.remove(0);
    ratios.sort_by(f64::total_cmp);
    times.sort_by(f64::total_cmp);
    println!(
        "{:6} {pairs:3} pairs: {:.3} [{:.3} - {:.3}] of {:.0} ns per message; at most {TARGET}",
        B::NAME,
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1],
        times[ROUNDS / 2],
    );
    Ok(())
}

fn lateness<B: Backend + Default>(delay: Duration) -> io::Result<()> {
    let mut reactor = Reactor::with_backend(B::default());
    let (ours, _idle) = UnixStream::pair()?;
    reactor.add_channel(Channel::new(ours)?, Player { left: Rc::default() })?;
    let mut late = Vec::new();
    for _ in 0..SAMPLES {
        let called = Rc::new(Cell::new(None));
        let noted = Rc::clone(&called);
        let due = Instant::now() + delay;
        reactor.call_at(due, move |scope| {
            noted.set(Some(Instant::now()));
            scope.stop();
        });
        reactor.run()?;
        let called = called.get().expect("it was called");
        late.push(called.checked_duration_since(due).expect("never early"));
    }
    late.sort();
    println!(
        "{:6} {delay:>6?}: {:>8.1?} late at the median [{:.1?} - {:.1?}]; at most {LATENESS:?}",
        B::NAME,
        late[SAMPLES / 2],
        late[0],
        late[SAMPLES - 1],
    );
    Ok(())
}

fn main() -> io::Result<()> {
    // `cargo test --benches` runs this, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("Lateness, of {SAMPLES} timers each:");
    for delay in DELAYS {
        #[cfg(feature = "poll")]
        lateness::<asyncore::Poll>(delay)?;
        #[cfg(feature = "select")]
        lateness::<asyncore::Select>(delay)?;
    }
    println!();
    println!("Ping-pong, with 1000 timers, a timeout on each channel and a remote handle, over");
    println!("without, in {ROUNDS} interleaved rounds:");
    for pairs in [1, 10, 100] {
        #[cfg(feature = "poll")]
        cost::<asyncore::Poll>(pairs)?;
        #[cfg(feature = "select")]
        cost::<asyncore::Select>(pairs)?;
    }
    Ok(())
}
