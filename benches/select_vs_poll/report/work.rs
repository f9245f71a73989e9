//! One measurement: so many passes of one load, on one backend.

use super::{
    plan::{Task, Work},
    sockets::{self, SPARE},
    stats::Figure,
    waker::{self, Waker},
};
use asyncore::{Backend, Channel, Context, Dispatcher, Interest, Key, Reactor, Scan};
use nix::{
    sys::resource::{UsageWho, getrusage},
    time::{ClockId, clock_gettime},
};
use std::{
    cell::Cell,
    collections::VecDeque,
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    time::{Duration, Instant},
};

/// How long a message is.
pub(crate) const MESSAGE: usize = 64;

/// What was done, counted where it is done.
#[derive(Debug, Default)]
struct Tally {
    reads: Cell<u64>,
    writes: Cell<u64>,
    bytes: Cell<u64>,
    lost: Cell<bool>,
}

impl Tally {
    fn events(&self, work: Work) -> u64 {
        if let Work::Toggle(_) = work { self.writes.get() } else { self.reads.get() }
    }
}

fn count(cell: &Cell<u64>, more: usize) {
    cell.update(|count| count + more as u64);
}

/// The dispatcher of every socket.
#[derive(Debug)]
struct Player {
    tally: Rc<Tally>,
    wants_to_write: bool,
    /// At the other end is the other process, which is to wait for so long before it sends.
    wakes_after: Option<Duration>,
}

impl Dispatcher for Player {
    fn writable(&self, _: &Channel) -> bool {
        self.wants_to_write
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; MESSAGE];
        let length = cx.recv(&mut buffer)?;
        count(&self.tally.reads, 1);
        count(&self.tally.bytes, length);
        if length == 0 {
            return Ok(());
        }
        match self.wakes_after {
            Some(delay) => cx.send(&waker::request(delay))?,
            None => cx.send(&buffer[..length])?,
        };
        Ok(())
    }

    fn handle_write(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        count(&self.tally.writes, 1);
        self.wants_to_write = false;
        Ok(())
    }

    fn handle_close(&mut self, _: &mut Context<'_>, _: Option<io::Error>) -> io::Result<()> {
        self.tally.lost.set(true);
        Ok(())
    }
}

/// The sockets of a task, which the backends use in turn.
#[derive(Debug)]
pub(crate) struct Arena {
    task: Task,
    /// While no reactor has them.
    channels: Vec<(Channel, Player)>,
    tally: Rc<Tally>,
    _waker: Option<Waker>,
    _unwatched: Vec<(UnixStream, Option<Duration>)>,
}

/// What a measurement has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    pub(crate) passes: u64,
    /// How many callbacks, how many bytes were read.
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// How often the process gave up the processor of its own accord.
    pub(crate) sleeps: u64,
    /// Nanoseconds for one pass.
    pub(crate) pass: f64,
    /// The time that went by for all of them.
    pub(crate) wall: Duration,
}

/// A measurement has so many laps of the same number of passes, so that what disturbs some does not
/// count.
pub(crate) const LAPS: u64 = 9;

/// The least number of passes before those that are measured: until a new channel that is quiet is
/// no more taken for one that will be busy soon.
pub(crate) fn warm_up(scan: Scan) -> u64 {
    if scan == Scan::Plain { 1 } else { 256 }
}

impl Arena {
    /// Opens them. `delay` is how long the other process waits before it sends.
    pub(crate) fn open(task: Task, delay: Duration) -> io::Result<Self> {
        let tally = Rc::new(Tally::default());
        let mut pairs = sockets::open(task.scenario.numbers, task.n + SPARE)?;
        let (mut watched, mut unwatched) = (VecDeque::new(), Vec::new());
        let mut waker = None;
        if task.scenario.work == Work::Sleep {
            let [ours, theirs] = pairs.remove(pairs.len() / 2);
            (&ours).write_all(&waker::request(delay))?;
            waker = Some(Waker::start(theirs)?);
            watched.push_back((ours, Some(delay)));
        }
        // Without the last pair, or, so that a single message is in the middle, without one socket
        // at each end.
        let is_ready = matches!(task.scenario.work, Work::Ready(_));
        let centred = is_ready && task.active == 1 && pairs.len() % 2 == 1;
        if is_ready {
            let used = if centred { pairs.len() } else { pairs.len() - 1 };
            send_messages(&mut pairs[..used], task.active)?;
        }
        watched.extend(pairs.into_iter().flatten().map(|socket| (socket, None)));
        if centred {
            unwatched.extend(watched.pop_front());
        }
        unwatched.extend(watched.drain(task.n..));
        let mut watched = Vec::from(watched);
        watched.sort_by_key(|(socket, _)| socket.as_raw_fd());
        assert_eq!(watched.len(), task.n);
        let channels = watched.into_iter().map(|(socket, wakes_after)| {
            let tally = Rc::clone(&tally);
            Ok((Channel::new(socket)?, Player { tally, wants_to_write: false, wakes_after }))
        });
        let channels = channels.collect::<io::Result<_>>()?;
        Ok(Self { task, channels, tally, _waker: waker, _unwatched: unwatched })
    }

    /// Measures laps of so many passes each, after one that is not measured.
    pub(crate) fn run<B: Backend>(&mut self, backend: B, passes: u64) -> io::Result<Run> {
        if let Work::Look { queues } = self.task.scenario.work {
            return self.look(backend, queues, passes);
        }
        let scan = self.task.scenario.scan();
        let mut reactor = Reactor::builder().backend(backend).scan(scan).build();
        let keys = self
            .channels
            .drain(..)
            .map(|(channel, player)| reactor.add_channel(channel, player))
            .collect::<io::Result<Vec<_>>>()?;
        let run = self.play(&mut reactor, &keys, passes)?;
        for key in keys {
            self.channels.extend(reactor.del_channel(key));
        }
        Ok(run)
    }

    fn play<B: Backend>(
        &self,
        reactor: &mut Reactor<B>,
        keys: &[Key<Player>],
        passes: u64,
    ) -> io::Result<Run> {
        let Task { scenario, active, .. } = self.task;
        let toggled: Vec<_> = match scenario.work {
            Work::Toggle(_) => spread(active, keys.len()).map(|index| keys[index]).collect(),
            _ => Vec::new(),
        };
        let events = || self.tally.events(scenario.work);
        let mut goal = events();
        let mut play = |passes| {
            for _ in 0..passes {
                for key in &toggled {
                    if let Some(player) = reactor.get_mut(*key) {
                        player.wants_to_write = true;
                    }
                }
                goal += active as u64;
                while events() < goal {
                    reactor.poll(None)?;
                    if self.tally.lost.get() {
                        return Err(io::Error::other("a connection was lost"));
                    }
                }
            }
            Ok(())
        };
        play(passes.max(warm_up(scenario.scan())))?;
        let (first_event, first_byte) = (events(), self.tally.bytes.get());
        let run = measure(scenario.work, passes, || play(passes))?;
        let (events, bytes) = (events() - first_event, self.tally.bytes.get() - first_byte);
        Ok(Run { events, bytes, ..run })
    }

    fn look<B: Backend>(&self, mut backend: B, queues: bool, passes: u64) -> io::Result<Run> {
        for (channel, _) in &self.channels {
            // As a reactor watches who reads.
            backend.add(channel.as_fd().as_raw_fd(), Interest::READ | Interest::PRIORITY)?;
        }
        // Not zero, and over before the kernel would sleep, if it has to be punctual.
        let timeout = Some(Duration::from_nanos(u64::from(queues)));
        set_timer_slack(1)?;
        let (mut ready, mut events) = (Vec::new(), 0);
        let mut lap = || {
            for _ in 0..passes {
                backend.wait(timeout, &mut ready)?;
                events += ready.len() as u64;
            }
            Ok(())
        };
        lap()?;
        let run = measure(self.task.scenario.work, passes, lap)?;
        set_timer_slack(0)?;
        Ok(Run { events, ..run })
    }
}

/// Times laps of so many passes each.
///
/// While nothing sleeps it is the time that goes by, of the fastest lap: others can only add to it.
/// A sleep must not count, so with one it is the time on the processor, of the median lap: where a
/// machine has not enough of them for everybody, that clock errs in both directions.
fn measure(work: Work, passes: u64, mut lap: impl FnMut() -> io::Result<()>) -> io::Result<Run> {
    let (mut walls, mut cpus) = ([0.0; LAPS as usize], [0.0; LAPS as usize]);
    let (sleeps_before, start) = (sleeps()?, Instant::now());
    for (wall, cpu) in walls.iter_mut().zip(&mut cpus) {
        let (wall_before, cpu_before) = (Instant::now(), cpu_time()?);
        lap()?;
        *cpu = (cpu_time()? - cpu_before).as_nanos() as f64 / passes as f64;
        *wall = wall_before.elapsed().as_nanos() as f64 / passes as f64;
    }
    Ok(Run {
        passes: passes * LAPS,
        events: 0,
        bytes: 0,
        sleeps: (sleeps()? - sleeps_before).unsigned_abs(),
        pass: if work == Work::Sleep { Figure::of(cpus).median } else { Figure::of(walls).least },
        wall: start.elapsed(),
    })
}

/// Sends a message to `active` sockets, no pair two before every pair has one.
fn send_messages(pairs: &mut [[UnixStream; 2]], active: usize) -> io::Result<()> {
    let firsts = active.min(pairs.len());
    for index in spread(firsts, pairs.len()) {
        pairs[index][1].write_all(&[0; MESSAGE])?;
    }
    for index in spread(active - firsts, pairs.len()) {
        pairs[index][0].write_all(&[0; MESSAGE])?;
    }
    Ok(())
}

/// `count` positions below `length`, evenly spread, and the same from either end: a backend may go
/// through its table in both directions.
fn spread(count: usize, length: usize) -> impl Iterator<Item = usize> {
    let from_below = move |index| (2 * index + 1) * length / (2 * count);
    (0..count).map(move |index| {
        let from_above = count - 1 - index;
        if index <= from_above { from_below(index) } else { length - 1 - from_below(from_above) }
    })
}

/// What this thread has used of the processor.
fn cpu_time() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Sets how many nanoseconds late a timeout of this thread may end; 0 is the kernel's default.
fn set_timer_slack(_nanoseconds: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_timerslack(_nanoseconds)?;
    Ok(())
}

fn sleeps() -> io::Result<i64> {
    Ok(getrusage(UsageWho::RUSAGE_SELF)?.voluntary_context_switches())
}
