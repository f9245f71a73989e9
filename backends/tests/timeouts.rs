//! A wait is never early and never a busy loop, whatever the timeout.
//!
//! Nothing here is an upper bound on the time that a wait takes: what a busy loop costs is counted
//! in sleeps and in processor time.
#![cfg(all(target_os = "linux", any(feature = "poll", feature = "select")))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Readiness};
use common::*;
use std::{
    io::Write,
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

on_each_backend! {
    three_hundred_microseconds_are_slept,
    nine_hundred_microseconds_are_slept,
    a_millisecond_and_a_fifth_is_slept,
    the_shortest_timeouts_are_not_early,
    whole_milliseconds_are_slept,
    a_probe_does_not_sleep,
    what_is_ready_is_told_without_sleeping,
    the_longest_timeouts_are_no_error,
    the_longest_timeouts_wait_for_a_byte,
    no_timeout_waits_for_a_byte,
    a_wait_ends_when_a_byte_comes,
}

#[track_caller]
fn slept<B: Backend + Default>(timeout: Duration, repetitions: i64) {
    let (idle, _peer) = pair();
    let mut empty = B::default();
    let mut watching: B = watching(&idle, READ | PRIORITY);
    for backend in [&mut empty, &mut watching] {
        let start = Instant::now();
        let ((), cost) = Cost::of(|| {
            for _ in 0..repetitions {
                let start = Instant::now();
                assert_eq!(wait(backend, Some(timeout)), []);
                let elapsed = start.elapsed();
                assert!(elapsed >= timeout, "{elapsed:?} is early");
            }
        });
        let elapsed = start.elapsed();
        // On a busy machine some timeouts pass before the thread is asleep.
        assert!(cost.sleeps >= repetitions / 2, "{} sleeps in {repetitions} waits", cost.sleeps);
        assert!(cost.busy < elapsed * 3 / 4, "busy for {:?} of {elapsed:?}", cost.busy);
    }
}

fn three_hundred_microseconds_are_slept<B: Backend + Default>() {
    slept::<B>(Duration::from_micros(300), 500);
}

fn nine_hundred_microseconds_are_slept<B: Backend + Default>() {
    slept::<B>(Duration::from_micros(900), 200);
}

fn a_millisecond_and_a_fifth_is_slept<B: Backend + Default>() {
    slept::<B>(Duration::from_micros(1200), 200);
}

fn whole_milliseconds_are_slept<B: Backend + Default>() {
    slept::<B>(Duration::from_millis(30), 2);
}

fn the_shortest_timeouts_are_not_early<B: Backend + Default>() {
    let mut backend = B::default();
    for nanos in [1, 999, 1_000, 1_001, 50_000, 999_999, 1_000_001] {
        for _ in 0..20 {
            let timeout = Duration::from_nanos(nanos);
            let start = Instant::now();
            assert_eq!(wait(&mut backend, Some(timeout)), []);
            assert!(start.elapsed() >= timeout, "{timeout:?}");
        }
    }
}

fn a_probe_does_not_sleep<B: Backend + Default>() {
    const PROBES: i64 = 1000;
    let (idle, _peer) = pair();
    let mut backend: B = watching(&idle, READ);
    let ((), cost) = Cost::of(|| (0..PROBES).for_each(|_| assert_eq!(probe(&mut backend), [])));
    // Memory that is not there yet may cost a few.
    assert!(cost.sleeps < PROBES / 10, "{} sleeps", cost.sleeps);
}

fn what_is_ready_is_told_without_sleeping<B: Backend + Default>() {
    const WAITS: i64 = 1000;
    let (a, _b) = pair();
    let mut backend: B = watching(&a, WRITE);
    for timeout in [None, Some(Duration::from_millis(5)), Some(Duration::MAX)] {
        let ((), cost) = Cost::of(|| {
            for _ in 0..WAITS {
                assert_eq!(wait(&mut backend, timeout), [(a.as_raw_fd(), Readiness::WRITE)]);
            }
        });
        assert!(cost.sleeps < WAITS / 10, "{} sleeps for {timeout:?}", cost.sleeps);
    }
}

/// Around every limit that a kernel or a library may have.
fn longest() -> impl Iterator<Item = Duration> {
    let seconds = [
        (1 << 31) / 1000,
        i32::MAX as u64 - 1,
        i32::MAX as u64,
        u32::MAX as u64,
        u32::MAX as u64 + 1,
        1 << 40,
        i64::MAX as u64 / 1_000_000_000,
        i64::MAX as u64,
        i64::MAX as u64 + 1,
        u64::MAX,
    ];
    seconds
        .into_iter()
        .flat_map(|seconds| [Duration::from_secs(seconds), Duration::new(seconds, 999_999_999)])
        .chain([Duration::MAX])
}

fn the_longest_timeouts_are_no_error<B: Backend + Default>() {
    let (a, _b) = pair();
    let mut backend: B = watching(&a, WRITE);
    for timeout in longest() {
        let events = wait(&mut backend, Some(timeout));
        assert_eq!(events, [(a.as_raw_fd(), Readiness::WRITE)], "{timeout:?}");
    }
}

fn the_longest_timeouts_wait_for_a_byte<B: Backend + Default>() {
    longest().for_each(|timeout| waits_for_a_byte::<B>(Some(timeout)));
}

fn no_timeout_waits_for_a_byte<B: Backend + Default>() {
    for _ in 0..20 {
        waits_for_a_byte::<B>(None);
    }
}

fn a_wait_ends_when_a_byte_comes<B: Backend + Default>() {
    for _ in 0..20 {
        waits_for_a_byte::<B>(Some(Duration::from_secs(3600)));
    }
}

fn waits_for_a_byte<B: Backend + Default>(timeout: Option<Duration>) {
    let (a, mut b) = pair();
    let mut backend: B = watching(&a, READ);
    let waiter = Sleeper::this_thread();
    let writer = thread::spawn(move || {
        waiter.until_asleep();
        b.write_all(b"x").unwrap();
        b
    });
    assert_eq!(wait(&mut backend, timeout), [(a.as_raw_fd(), Readiness::READ)], "{timeout:?}");
    writer.join().unwrap();
}
