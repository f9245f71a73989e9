//! A process may lower its `RLIMIT_NOFILE` below the number of descriptors that it watches. Then
//! Linux's `poll` refuses the array as a whole; nobody is the worse for it.
//!
//! The limit is the process's, so each test runs itself again in a child.
#![cfg(all(target_os = "linux", any(feature = "poll", feature = "select")))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Readiness};
use common::*;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    fs::File,
    io::Write,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    thread,
    time::{Duration, Instant},
};

on_each_backend! {
    what_is_ready_in_any_part_is_told_of,
    what_is_ready_in_several_parts_is_told_of_at_once_and_in_order,
    a_wait_without_end_wakes_for_one_in_any_part,
    a_timeout_is_not_early_and_not_a_busy_loop,
    who_is_paused_counts_as_well,
    a_closed_number_in_any_part_is_invalid_once,
    an_unwanted_hang_up_in_any_part_is_quiet,
    a_limit_that_is_raised_again_leaves_no_trace,
}

#[cfg(feature = "poll")]
mod only_poll {
    #[test]
    fn a_limit_of_zero_is_an_error_and_nothing_is_lost() {
        super::a_limit_of_zero_is_an_error_and_nothing_is_lost();
    }
}

const LIMIT: u64 = 64;
const COUNT: usize = 300;

/// Runs `test`, the one of this name, in a child process of its own.
#[track_caller]
fn on_its_own<B: Backend>(name: &str, test: impl FnOnce()) {
    in_a_child(&format!("{}::{name}", B::NAME), test);
}

fn limit_to(soft: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
}

/// A backend that watches many quiet descriptors.
struct Crowd<B> {
    backend: B,
    fds: Vec<RawFd>,
    ends: Vec<(OwnedFd, UnixStream)>,
}

impl<B: Backend + Default> Crowd<B> {
    /// Watched for `READ | PRIORITY`; then the limit is lowered.
    fn new() -> Self {
        raise_limit();
        // Some numbers below the limit stay free, for what the tests themselves open.
        let spare: Vec<File> = (0..16).map(|_| File::open("/dev/null").unwrap()).collect();
        let ends: Vec<(OwnedFd, UnixStream)> =
            (0..COUNT).map(|_| pair()).map(|(a, b)| (a.into(), b)).collect();
        let fds: Vec<RawFd> = ends.iter().map(|(a, _)| a.as_raw_fd()).collect();
        let mut backend = B::default();
        for &fd in &fds {
            backend.add(fd, READ | PRIORITY).unwrap();
        }
        drop(spare);
        limit_to(LIMIT);
        Self { backend, fds, ends }
    }

    /// One of the first part, some of the middle ones, and some of the last.
    fn places() -> [usize; 7] {
        let part = LIMIT as usize;
        [0, part - 1, part, COUNT / 2, COUNT / part * part - 1, COUNT / part * part, COUNT - 1]
    }

    fn make_ready(&mut self, place: usize) {
        self.ends[place].1.write_all(b"x").unwrap();
    }

    /// Closes a number that is too high to be opened again.
    fn close(&mut self, place: usize) {
        assert!(self.fds[place] as u64 >= LIMIT, "it could be opened again");
        self.ends[place].0 = File::open("/dev/null").unwrap().into();
    }
}

fn what_is_ready_in_any_part_is_told_of<B: Backend + Default>() {
    on_its_own::<B>("what_is_ready_in_any_part_is_told_of", || {
        let mut crowd = Crowd::<B>::new();
        for place in Crowd::<B>::places() {
            for timeout in [Some(Duration::ZERO), Some(Duration::from_secs(60)), None] {
                assert_eq!(probe(&mut crowd.backend), []);
                crowd.make_ready(place);
                let expected = [(crowd.fds[place], Readiness::READ)];
                assert_eq!(wait(&mut crowd.backend, timeout), expected, "{place}, {timeout:?}");
                assert_eq!(wait(&mut crowd.backend, timeout), expected, "{place}, {timeout:?}");
                drain(&crowd.ends[place].0);
            }
        }
    });
}

fn what_is_ready_in_several_parts_is_told_of_at_once_and_in_order<B: Backend + Default>() {
    let name = "what_is_ready_in_several_parts_is_told_of_at_once_and_in_order";
    on_its_own::<B>(name, || {
        let mut crowd = Crowd::<B>::new();
        for place in Crowd::<B>::places() {
            crowd.make_ready(place);
        }
        let mut expected = Crowd::<B>::places().map(|place| crowd.fds[place]);
        expected.sort_unstable();
        for timeout in [Some(Duration::ZERO), Some(Duration::from_secs(60)), None] {
            assert_eq!(numbers(wait(&mut crowd.backend, timeout)), expected);
        }
        for &fd in &crowd.fds {
            crowd.backend.modify(fd, WRITE);
        }
        assert_eq!(numbers(wait(&mut crowd.backend, None)), crowd.fds);
    });
}

fn a_wait_without_end_wakes_for_one_in_any_part<B: Backend + Default>() {
    on_its_own::<B>("a_wait_without_end_wakes_for_one_in_any_part", || {
        let mut crowd = Crowd::<B>::new();
        for place in Crowd::<B>::places() {
            for timeout in [None, Some(Duration::from_secs(60)), Some(Duration::MAX)] {
                let waiter = Sleeper::this_thread();
                let mut peer = &crowd.ends[place].1;
                let expected = [(crowd.fds[place], Readiness::READ)];
                thread::scope(|scope| {
                    scope.spawn(move || {
                        waiter.until_asleep();
                        peer.write_all(b"x").unwrap();
                    });
                    let events = wait(&mut crowd.backend, timeout);
                    assert_eq!(events, expected, "{place}, {timeout:?}");
                });
                drain(&crowd.ends[place].0);
            }
        }
    });
}

fn a_timeout_is_not_early_and_not_a_busy_loop<B: Backend + Default>() {
    on_its_own::<B>("a_timeout_is_not_early_and_not_a_busy_loop", || {
        let mut crowd = Crowd::<B>::new();
        for micros in [300, 1200, 9_999, 10_001, 35_000, 100_000] {
            let timeout = Duration::from_micros(micros);
            let start = Instant::now();
            let (events, cost) = Cost::of(|| wait(&mut crowd.backend, Some(timeout)));
            assert_eq!(events, []);
            let elapsed = start.elapsed();
            assert!(elapsed >= timeout, "{elapsed:?} is early");
            if micros > 20_000 {
                assert!(cost.sleeps > 0, "never slept in {timeout:?}");
                assert!(cost.busy < timeout / 2, "busy for {:?} of {timeout:?}", cost.busy);
            }
        }
    });
}

fn who_is_paused_counts_as_well<B: Backend + Default>() {
    on_its_own::<B>("who_is_paused_counts_as_well", || {
        let mut crowd = Crowd::<B>::new();
        for (place, &fd) in crowd.fds.iter().enumerate() {
            let interest = if Crowd::<B>::places().contains(&place) { READ } else { NOTHING };
            crowd.backend.modify(fd, interest);
        }
        assert_eq!(wait(&mut crowd.backend, Some(Duration::from_millis(5))), []);
        for place in 0..COUNT {
            crowd.make_ready(place);
        }
        let mut expected = Crowd::<B>::places().map(|place| crowd.fds[place]);
        expected.sort_unstable();
        for timeout in [Some(Duration::ZERO), None] {
            assert_eq!(numbers(wait(&mut crowd.backend, timeout)), expected);
        }
    });
}

fn a_closed_number_in_any_part_is_invalid_once<B: Backend + Default>() {
    on_its_own::<B>("a_closed_number_in_any_part_is_invalid_once", || {
        let mut crowd = Crowd::<B>::new();
        let part = LIMIT as usize;
        let last = COUNT - 1;
        crowd.make_ready(3);
        crowd.make_ready(last);
        for closed in [part, COUNT / 2, last - 1] {
            crowd.close(closed);
        }
        let mut expected = vec![
            (crowd.fds[3], Readiness::READ),
            (crowd.fds[part], Readiness::INVALID),
            (crowd.fds[COUNT / 2], Readiness::INVALID),
            (crowd.fds[last - 1], Readiness::INVALID),
            (crowd.fds[last], Readiness::READ),
        ];
        assert_eq!(wait(&mut crowd.backend, None), expected);
        expected.retain(|(_, readiness)| *readiness == Readiness::READ);
        assert_eq!(wait(&mut crowd.backend, None), expected);
    });
}

fn an_unwanted_hang_up_in_any_part_is_quiet<B: Backend + Default>() {
    on_its_own::<B>("an_unwanted_hang_up_in_any_part_is_quiet", || {
        let mut crowd = Crowd::<B>::new();
        for place in Crowd::<B>::places() {
            crowd.backend.modify(crowd.fds[place], PRIORITY);
            crowd.ends[place].1.shutdown(std::net::Shutdown::Both).unwrap();
        }
        let timeout = Duration::from_millis(60);
        let start = Instant::now();
        let (events, cost) = Cost::of(|| wait(&mut crowd.backend, Some(timeout)));
        assert_eq!(events, []);
        assert!(start.elapsed() >= timeout, "early");
        assert!(cost.busy < timeout / 2, "busy for {:?}", cost.busy);
        for place in Crowd::<B>::places() {
            crowd.backend.modify(crowd.fds[place], READ);
            let expected = [(crowd.fds[place], Readiness::READ)];
            assert_eq!(told(&mut crowd.backend), expected);
            crowd.backend.remove(crowd.fds[place]);
        }
    });
}

fn a_limit_that_is_raised_again_leaves_no_trace<B: Backend + Default>() {
    on_its_own::<B>("a_limit_that_is_raised_again_leaves_no_trace", || {
        let mut crowd = Crowd::<B>::new();
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        for (round, place) in Crowd::<B>::places().into_iter().enumerate() {
            crowd.make_ready(place);
            let expected = [(crowd.fds[place], Readiness::READ)];
            assert_eq!(wait(&mut crowd.backend, None), expected);
            limit_to(if round % 2 == 0 { hard } else { 1 + round as u64 });
            assert_eq!(wait(&mut crowd.backend, None), expected);
            drain(&crowd.ends[place].0);
        }
    });
}

#[cfg(feature = "poll")]
fn a_limit_of_zero_is_an_error_and_nothing_is_lost() {
    let name = "a_limit_of_zero_is_an_error_and_nothing_is_lost";
    in_a_child(&format!("only_poll::{name}"), || {
        let mut crowd = Crowd::<asyncore_backends::Poll>::new();
        for place in [1, COUNT - 1] {
            crowd.make_ready(place);
        }
        limit_to(0);
        let mut ready = Vec::new();
        for timeout in [Some(Duration::ZERO), Some(Duration::from_secs(60)), None] {
            let error = crowd.backend.wait(timeout, &mut ready).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::EINVAL), "{error}");
            assert_eq!(ready, []);
        }
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        for limit in [LIMIT, hard] {
            limit_to(limit);
            let expected = [crowd.fds[1], crowd.fds[COUNT - 1]];
            assert_eq!(numbers(wait(&mut crowd.backend, None)), expected);
        }
        crowd.backend.add(crowd.fds[0], READ).unwrap_err();
    });
}
