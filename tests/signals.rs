//! Row B9: a signal neither surfaces nor changes how long a pass waits.
//!
//! Handlers are the process's, so these tests have one to themselves.
#![cfg(target_os = "linux")]

mod common;

use asyncore::Channel;
use common::{HangGuard, Log, Probe, Sleeper, on_both_backends, reactor};
use nix::sys::{
    pthread::{Pthread, pthread_kill, pthread_self},
    signal::Signal,
};
use std::{
    io::Write,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// The handler cannot tell which thread it runs on, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A thread that signals are sent to, and whether the last one was handled.
struct Target {
    _guard: HangGuard,
    thread: Pthread,
    sleeper: Sleeper,
    handled: Arc<AtomicBool>,
    id: signal_hook::SigId,
    _alone: MutexGuard<'static, ()>,
}

impl Target {
    fn this_thread() -> Self {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let handled = Arc::new(AtomicBool::new(false));
        let id = signal_hook::flag::register(signal_hook::consts::SIGUSR1, handled.clone());
        let (thread, sleeper) = (pthread_self(), Sleeper::this_thread());
        let _guard = HangGuard::new();
        Self { _guard, thread, sleeper, handled, id: id.unwrap(), _alone }
    }

    /// Sends one signal to the thread in its sleep, and waits until it was handled.
    fn hit(&self, stop: &AtomicBool) {
        self.sleeper.until_asleep();
        self.handled.store(false, SeqCst);
        pthread_kill(self.thread, Signal::SIGUSR1).unwrap();
        while !self.handled.load(SeqCst) && !stop.load(SeqCst) {
            thread::yield_now();
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.id);
    }
}

on_both_backends! {
    fn b09_a_timeout_is_neither_shortened_nor_started_anew_by_signals<B>() {
        let target = Target::this_thread();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        let (stop, hits) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            let storm = scope.spawn(|| {
                // If each signal started the timeout anew, a pass would last as long as this.
                let start = Instant::now();
                while !stop.load(SeqCst) && start.elapsed() < common::PATIENCE / 4 {
                    target.hit(&stop);
                    hits.fetch_add(1, SeqCst);
                }
            });
            let mut interrupted = 0;
            while interrupted < 20 && !storm.is_finished() {
                for timeout in [Duration::from_millis(50), Duration::from_micros(700)] {
                    let (start, before) = (Instant::now(), hits.load(SeqCst));
                    assert_eq!(reactor.poll(Some(timeout)).unwrap(), 0);
                    assert!(start.elapsed() >= timeout, "early");
                    interrupted += hits.load(SeqCst) - before;
                }
            }
            assert!(!storm.is_finished(), "the signals made the pass longer");
            stop.store(true, SeqCst);
        });
        assert_eq!(log.take(), [""; 0]);
    }

    fn b09_a_wait_without_end_goes_on_after_signals<B>() {
        for timeout in [None, Some(Duration::MAX), Some(Duration::from_secs(3600))] {
            let target = Target::this_thread();
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..200 {
                        target.hit(&over);
                        assert!(!over.load(SeqCst), "a signal ended the wait");
                    }
                    target.sleeper.until_asleep();
                    theirs.write_all(b"x").unwrap();
                });
                let served = reactor.poll(timeout);
                over.store(true, SeqCst);
                assert_eq!(served.unwrap(), 1);
            });
            assert_eq!(log.take(), ["a.read x"]);
        }
    }
}
