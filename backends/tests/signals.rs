//! A signal neither ends a wait nor makes it shorter or longer.
//!
//! The handler is the process's, so this crate has nothing but these tests. It is installed
//! without `SA_RESTART`; `select` and `poll` would not restart anyway.
#![cfg(all(target_os = "linux", target_env = "gnu", any(feature = "poll", feature = "select")))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Readiness};
use common::*;
use nix::{
    sys::{
        pthread::{Pthread, pthread_kill, pthread_self},
        signal::{
            SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction,
        },
        time::{TimeSpec, TimeValLike},
        timer::{Expiration, Timer, TimerSetTimeFlags},
    },
    time::ClockId,
};
use std::{
    cell::Cell,
    io::Write,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

on_each_backend! {
    a_timeout_is_neither_shorter_nor_endless_in_a_storm_of_signals,
    a_probe_finds_what_is_ready_in_a_storm_of_signals,
    a_wait_without_end_survives_until_a_byte_comes,
    a_long_wait_survives_until_a_byte_comes,
    room_on_a_socket_that_hung_up_is_heard_of_in_a_storm_of_signals,
}

thread_local! {
    /// Where the handler counts what this thread got.
    static CAUGHT: Cell<*const AtomicU64> = const { Cell::new(std::ptr::null()) };
}

extern "C" fn count(_: nix::libc::c_int) {
    let counter = CAUGHT.get();
    if !counter.is_null() {
        // SAFETY: `Target` leaks the counter that it puts there, so it lives for ever. The handler
        // only reads a thread-local of constant initialisation without a destructor and touches an
        // atomic, which is safe in the middle of anything.
        unsafe { (*counter).fetch_add(1, SeqCst) };
    }
}

/// The calling thread, as one that signals are sent to.
#[derive(Clone, Copy)]
struct Target {
    thread: Pthread,
    caught: &'static AtomicU64,
}

impl Target {
    fn this_thread() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let handler = SigHandler::Handler(count);
            let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
            // SAFETY: the handler is async-signal-safe: see there.
            unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
        });
        // Kept where a search for leaks finds it.
        static KEPT: Mutex<Vec<&AtomicU64>> = Mutex::new(Vec::new());
        let caught: &AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        KEPT.lock().unwrap().push(caught);
        CAUGHT.set(caught);
        Self { thread: pthread_self(), caught }
    }

    /// Sends one signal and waits until it was handled.
    fn hit(self) {
        let before = self.caught.load(SeqCst);
        pthread_kill(self.thread, Signal::SIGUSR1).unwrap();
        while self.caught.load(SeqCst) == before {
            thread::yield_now();
        }
    }
}

/// A signal every 200 microseconds, sent by the kernel, until this is dropped or the time is up.
struct Storm {
    stop: Option<Sender<()>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Storm {
    fn on_this_thread() -> Self {
        let notify = SigevNotify::SigevThreadId {
            signal: Signal::SIGUSR1,
            thread_id: nix::unistd::gettid().as_raw(),
            si_value: 0,
        };
        let interval = Expiration::Interval(TimeSpec::nanoseconds(200_000));
        let (stop, stopped) = channel::<()>();
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let over = over.clone();
            move || {
                let event = SigEvent::new(notify);
                let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, event).unwrap();
                timer.set(interval, TimerSetTimeFlags::empty()).unwrap();
                let _ = stopped.recv_timeout(Duration::from_secs(5));
                over.store(true, SeqCst);
            }
        });
        Self { stop: Some(stop), over, thread: Some(thread) }
    }

    fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn a_timeout_is_neither_shorter_nor_endless_in_a_storm_of_signals<B: Backend + Default>() {
    let (idle, _peer) = pair();
    let mut backend: B = watching(&idle, READ);
    let target = Target::this_thread();
    let storm = Storm::on_this_thread();
    let mut interruptions = 0;
    while interruptions < 50 {
        for timeout in [Duration::from_millis(50), Duration::from_micros(700)] {
            let before = target.caught.load(SeqCst);
            let start = Instant::now();
            assert_eq!(wait(&mut backend, Some(timeout)), []);
            assert!(start.elapsed() >= timeout, "early");
            interruptions += target.caught.load(SeqCst) - before;
        }
        // If each signal started the timeout anew, the wait would last as long as the storm.
        assert!(!storm.is_over(), "the signals made the wait longer");
    }
}

fn a_probe_finds_what_is_ready_in_a_storm_of_signals<B: Backend + Default>() {
    let (a, _b) = pair();
    let (idle, _peer) = pair();
    let mut ready: B = watching(&a, WRITE);
    let mut waiting: B = watching(&idle, READ);
    let target = Target::this_thread();
    let storm = Storm::on_this_thread();
    let mut probes = 0;
    while target.caught.load(SeqCst) < 500 && !storm.is_over() {
        assert_eq!(probe(&mut ready), [(a.as_raw_fd(), Readiness::WRITE)]);
        assert_eq!(probe(&mut waiting), []);
        probes += 1;
    }
    assert!(probes > 0);
}

fn a_wait_without_end_survives_until_a_byte_comes<B: Backend + Default>() {
    survives::<B>(None);
}

fn a_long_wait_survives_until_a_byte_comes<B: Backend + Default>() {
    survives::<B>(Some(Duration::from_secs(3600)));
    survives::<B>(Some(Duration::MAX));
}

fn survives<B: Backend + Default>(timeout: Option<Duration>) {
    const SIGNALS: u64 = 500;
    let (a, mut b) = pair();
    let mut backend: B = watching(&a, READ);
    let target = Target::this_thread();
    let waiter = Sleeper::this_thread();
    thread::scope(|scope| {
        scope.spawn(|| {
            waiter.until_asleep();
            for _ in 0..SIGNALS {
                target.hit();
            }
            waiter.until_asleep();
            b.write_all(b"x").unwrap();
        });
        assert_eq!(wait(&mut backend, timeout), [(a.as_raw_fd(), Readiness::READ)]);
        assert!(target.caught.load(SeqCst) >= SIGNALS, "it was over before the byte came");
    });
}

/// A hang-up that is not wanted must be looked at again now and then, for what may join it. Signals
/// that come more often must not put that off for ever.
fn room_on_a_socket_that_hung_up_is_heard_of_in_a_storm_of_signals<B: Backend + Default>() {
    let (a, b) = pair();
    fill(&a);
    b.shutdown(std::net::Shutdown::Both).unwrap();
    let mut backend: B = watching(&a, WRITE);
    let target = Target::this_thread();
    let storm = Storm::on_this_thread();
    thread::scope(|scope| {
        scope.spawn(|| {
            while target.caught.load(SeqCst) < 20 {
                thread::yield_now();
            }
            drain(&b);
        });
        let events = wait(&mut backend, None);
        assert_eq!(without_hints(events), [(a.as_raw_fd(), Readiness::WRITE)]);
        assert!(!storm.is_over(), "it was put off until there were no more signals");
    });
}
