//! I10: timeouts are never early, never truncated to a busy loop, and signals do not move them.

use crate::common::{HangGuard, Log, Probe, on_both_backends, pass, reactor, time_spent};
use asyncore::{Channel, LoopOptions};
use nix::sys::{
    pthread::{pthread_kill, pthread_self},
    signal::Signal,
};
use std::{
    io::Write,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// Sets it when it is dropped, be it by a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Tells whether a signal came. It stays: to take a handler away means to die of the next signal.
fn heard() -> Arc<AtomicBool> {
    let heard = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(Signal::SIGUSR1 as i32, Arc::clone(&heard)).unwrap();
    heard
}

/// Runs `work` while another thread interrupts this one as often as it can.
fn interrupted<R>(work: impl FnOnce() -> R) -> R {
    let (heard, done, target) = (heard(), AtomicBool::new(false), pthread_self());
    thread::scope(|scope| {
        let _ends = Ends(&done);
        scope.spawn(|| {
            while !done.load(SeqCst) {
                pthread_kill(target, Signal::SIGUSR1).unwrap();
                thread::yield_now();
            }
        });
        while !heard.load(SeqCst) {
            thread::yield_now();
        }
        work()
    })
}

on_both_backends! {
    fn i10_a_wait_is_never_early<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut reactor = reactor::<B>();
        let probe = Probe::new("a", &Log::default());
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        for nanos in [1, 999, 1_001, 100_000, 999_999, 1_000_001, 10_500_000] {
            let wait = Duration::from_nanos(nanos);
            let start = Instant::now();
            assert_eq!(reactor.poll(Some(wait)).unwrap(), 0);
            assert!(start.elapsed() >= wait, "{wait:?} took {:?}", start.elapsed());
        }
    }

    #[cfg(target_os = "linux")]
    fn i10_a_wait_of_less_than_a_millisecond_is_no_busy_loop<B>() {
        let mut reactor = reactor::<B>();
        let (start, spent, wait) = (Instant::now(), time_spent(), Duration::from_micros(900));
        for _ in 0..200 {
            reactor.poll(Some(wait)).unwrap();
        }
        assert!(start.elapsed() >= 200 * wait);
        // A busy loop would have spent all of it.
        let spent = time_spent() - spent;
        assert!(spent < 100 * wait, "{spent:?}");
    }

    fn i10_passes_that_are_counted_wait_in_full<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut reactor = reactor::<B>();
        let probe = Probe::new("a", &Log::default());
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let (start, wait) = (Instant::now(), Duration::from_millis(5));
        reactor.run_with(LoopOptions { timeout: Some(wait), count: Some(4) }).unwrap();
        assert!(start.elapsed() >= 4 * wait);
    }

    fn i10_a_huge_timeout_ends_with_the_first_event<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        for huge in [Duration::MAX, Duration::from_secs(1 << 40), Duration::from_secs(1 << 33)] {
            theirs.write_all(b"x").unwrap();
            assert_eq!(reactor.poll(Some(huge)).unwrap(), 1);
        }
        assert_eq!(log.take(), ["a.read x"; 3]);
    }

    fn i10_signals_neither_surface_nor_shorten_a_wait<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        interrupted(|| {
            for wait in [1, 20, 50].map(Duration::from_millis) {
                let start = Instant::now();
                assert_eq!(reactor.poll(Some(wait)).unwrap(), 0);
                assert!(start.elapsed() >= wait);
            }
        });
        assert_eq!(log.take(), [""; 0]);
    }

    /// If each signal started the wait anew, it would never end.
    fn i10_signals_do_not_lengthen_a_wait<B>() {
        let _guard = HangGuard::new();
        let mut reactor = reactor::<B>();
        interrupted(|| reactor.poll(Some(Duration::from_millis(50))).unwrap());
    }

    fn i10_a_wait_without_end_outlives_signals<B>() {
        let _guard = HangGuard::new();
        let mut reactor = reactor::<B>();
        let (remote, target, heard) = (reactor.remote().unwrap(), pthread_self(), heard());
        let other = thread::spawn(move || {
            for _ in 0..1000 {
                pthread_kill(target, Signal::SIGUSR1).unwrap();
                thread::yield_now();
            }
            remote.wake().unwrap();
        });
        assert_eq!(reactor.poll(None).unwrap(), 0);
        other.join().unwrap();
        assert!(heard.load(SeqCst));
    }

    fn i10_input_and_output_are_not_disturbed_by_signals<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log);
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let data = vec![b'x'; 4 << 20];
        let mut received = Vec::new();
        interrupted(|| {
            reactor.channel(key).unwrap().push(&data).unwrap();
            while received.len() < data.len() {
                crate::common::read_available(&theirs, &mut received);
                reactor.poll(Some(Duration::ZERO)).unwrap();
            }
            theirs.write_all(b"done").unwrap();
            pass(&mut reactor);
        });
        assert_eq!(log.take(), ["a.read done"]);
    }
}
