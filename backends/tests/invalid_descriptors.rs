//! A number that is no longer an open descriptor costs itself alone.
//!
//! The tests close numbers behind the backend's back, so nobody else may open one meanwhile that
//! is as high as those: they run one after the other.
#![cfg(any(feature = "poll", feature = "select"))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Readiness};
use common::*;
use std::{
    io::Write,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

on_each_backend! {
    a_closed_number_is_invalid_once_and_then_forgotten,
    a_closed_number_is_invalid_whatever_was_wanted,
    a_closed_number_wakes_a_wait_without_end,
    a_closed_number_that_is_paused_is_not_told_of_until_it_is_resumed,
    a_closed_number_that_is_paused_is_not_told_of_when_another_is_invalid,
    a_closed_number_that_was_removed_is_not_told_of,
    the_others_are_served_in_the_same_wait,
    a_look_finds_it_and_the_others_in_two_rounds,
    exactly_the_closed_ones_of_many_are_invalid,
    the_highest_and_the_lowest_can_be_closed,
    all_can_be_closed,
    an_invalid_number_can_be_opened_and_added_again,
    the_pause_of_the_others_survives,
}

#[cfg(target_os = "linux")]
mod on_linux {
    use super::*;
    on_each_backend! {
        a_number_beyond_the_table_is_invalid_at_once,
        a_number_beyond_the_table_is_invalid_beside_a_ready_one,
        a_number_beyond_the_table_is_invalid_beside_a_closed_and_a_ready_one,
        a_number_beyond_the_table_is_invalid_when_the_wait_ends,
        a_descriptor_that_names_only_a_path_costs_nobody_else,
    }
}

#[cfg(target_os = "linux")]
mod just_beyond {
    use super::*;
    on_each_bare_backend! {
        the_first_beyond_the_table_are_invalid_once,
        a_look_calls_none_beyond_the_table_ready,
    }
}

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `count` sockets with reserved numbers, ascending, and their peers.
fn reserved<B: Backend>(count: usize) -> Vec<(OwnedFd, UnixStream)> {
    (0..count)
        .map(|_| {
            let (a, b) = pair();
            (dup_from(reserve::<B>(), &a), b)
        })
        .collect()
}

fn numbers_of(sockets: &[(OwnedFd, UnixStream)]) -> Vec<RawFd> {
    sockets.iter().map(|(fd, _)| fd.as_raw_fd()).collect()
}

const INVALID: Readiness = Readiness::INVALID;

fn a_closed_number_is_invalid_once_and_then_forgotten<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let mut sockets = reserved::<B>(1);
    let fd = sockets[0].0.as_raw_fd();
    let mut backend: B = watching(&fd, READ);
    assert_eq!(probe(&mut backend), []);
    sockets.clear();
    assert_eq!(probe(&mut backend), [(fd, INVALID)]);
    for _ in 0..3 {
        assert_eq!(probe(&mut backend), []);
    }
    backend.modify(fd, READ | WRITE);
    assert_eq!(probe(&mut backend), [], "it is known still");
}

fn a_closed_number_is_invalid_whatever_was_wanted<B: Backend + Default>() {
    let _guard = one_at_a_time();
    for interest in every_interest().filter(|interest| !interest.is_empty()) {
        let sockets = reserved::<B>(1);
        let fd = sockets[0].0.as_raw_fd();
        let mut backend: B = watching(&fd, interest);
        drop(sockets);
        assert_eq!(probe(&mut backend), [(fd, INVALID)], "{interest:?}");
        assert_eq!(probe(&mut backend), [], "{interest:?}");
    }
}

fn a_closed_number_wakes_a_wait_without_end<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let mut sockets = reserved::<B>(3);
    let fds = numbers_of(&sockets);
    let mut backend = B::default();
    for &fd in &fds {
        backend.add(fd, READ).unwrap();
    }
    sockets.remove(1);
    assert_eq!(wait(&mut backend, None), [(fds[1], INVALID)]);
    assert_eq!(wait(&mut backend, Some(Duration::from_millis(5))), []);
}

fn a_closed_number_that_is_paused_is_not_told_of_until_it_is_resumed<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let mut sockets = reserved::<B>(2);
    let fds = numbers_of(&sockets);
    let mut backend: B = watching(&fds[0], WRITE);
    backend.add(fds[1], WRITE).unwrap();
    backend.modify(fds[1], NOTHING);
    sockets.pop();
    for _ in 0..3 {
        assert_eq!(probe(&mut backend), [(fds[0], Readiness::WRITE)]);
    }
    backend.modify(fds[1], PRIORITY);
    assert_eq!(probe(&mut backend), [(fds[0], Readiness::WRITE), (fds[1], INVALID)]);
    assert_eq!(probe(&mut backend), [(fds[0], Readiness::WRITE)]);
}

fn a_closed_number_that_is_paused_is_not_told_of_when_another_is_invalid<B>()
where
    B: Backend + Default,
{
    let _guard = one_at_a_time();
    let mut sockets = reserved::<B>(3);
    let fds = numbers_of(&sockets);
    let mut backend: B = watching(&fds[0], WRITE);
    backend.add(fds[1], NOTHING).unwrap();
    backend.add(fds[2], READ).unwrap();
    sockets.truncate(1);
    assert_eq!(probe(&mut backend), [(fds[0], Readiness::WRITE), (fds[2], INVALID)]);
    assert_eq!(probe(&mut backend), [(fds[0], Readiness::WRITE)]);
    backend.modify(fds[1], READ);
    assert_eq!(probe(&mut backend), [(fds[0], Readiness::WRITE), (fds[1], INVALID)]);
}

fn a_closed_number_that_was_removed_is_not_told_of<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let mut sockets = reserved::<B>(3);
    let fds = numbers_of(&sockets);
    let mut backend: B = watching(&fds[0], WRITE);
    backend.add(fds[1], READ).unwrap();
    backend.add(fds[2], READ).unwrap();
    backend.remove(fds[1]);
    sockets.truncate(1);
    assert_eq!(probe(&mut backend), [(fds[0], Readiness::WRITE), (fds[2], INVALID)]);
    assert_eq!(probe(&mut backend), [(fds[0], Readiness::WRITE)]);
}

fn the_others_are_served_in_the_same_wait<B: Backend + Default>() {
    let _guard = one_at_a_time();
    for timeout in [Some(Duration::ZERO), Some(Duration::from_secs(60)), None] {
        let mut sockets = reserved::<B>(8);
        let fds = numbers_of(&sockets);
        let mut backend = B::default();
        for &fd in &fds {
            backend.add(fd, READ | PRIORITY).unwrap();
        }
        for ready in [0, 4, 7] {
            sockets[ready].1.write_all(b"x").unwrap();
        }
        for closed in [6, 3, 2] {
            sockets.remove(closed);
        }
        let expected = [
            (fds[0], Readiness::READ),
            (fds[2], INVALID),
            (fds[3], INVALID),
            (fds[4], Readiness::READ),
            (fds[6], INVALID),
            (fds[7], Readiness::READ),
        ];
        assert_eq!(wait(&mut backend, timeout), expected, "{timeout:?}");
        assert_eq!(numbers(wait(&mut backend, timeout)), [fds[0], fds[4], fds[7]]);
    }
}

fn a_look_finds_it_and_the_others_in_two_rounds<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let mut sockets = reserved::<B>(3);
    let numbers = numbers_of(&sockets);
    let mut backend = B::default();
    numbers.iter().for_each(|fd| backend.add(*fd, READ).unwrap());
    sockets[2].1.write_all(b"x").unwrap();
    drop(sockets.remove(1));
    let mut found = Vec::new();
    for _ in 0..2 {
        let mut position = backend.look(0, 64, &mut found).unwrap();
        while position > 0 {
            position = backend.look(position, 64, &mut found).unwrap();
        }
    }
    let mut found: Vec<_> = found.iter().map(|event| (event.fd, event.readiness)).collect();
    found.sort_by_key(|(fd, _)| *fd);
    found.dedup();
    assert_eq!(found, [(numbers[1], INVALID), (numbers[2], Readiness::READ)]);
}

fn exactly_the_closed_ones_of_many_are_invalid<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let mut random = Random::new(13);
    let mut open: Vec<Option<_>> = reserved::<B>(100).into_iter().map(Some).collect();
    let mut order: Vec<RawFd> = open.iter().flatten().map(|(fd, _)| fd.as_raw_fd()).collect();
    random.shuffle(&mut order);
    let mut backend = B::default();
    for fd in order {
        backend.add(fd, WRITE).unwrap();
    }
    while open.iter().any(Option::is_some) {
        let mut expected = Vec::new();
        for slot in &mut open {
            let Some((fd, _)) = slot else { continue };
            let fd = fd.as_raw_fd();
            if random.below(4) == 0 {
                *slot = None;
                expected.push((fd, INVALID));
            } else {
                expected.push((fd, Readiness::WRITE));
            }
        }
        assert_eq!(probe(&mut backend), expected);
        expected.retain(|&(_, readiness)| readiness != INVALID);
        assert_eq!(probe(&mut backend), expected);
    }
}

fn the_highest_and_the_lowest_can_be_closed<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let mut sockets = reserved::<B>(80);
    let fds = numbers_of(&sockets);
    let mut backend = B::default();
    for &fd in &fds {
        backend.add(fd, READ).unwrap();
    }
    backend.modify(fds[40], WRITE);
    sockets.pop();
    sockets.remove(0);
    let expected = [(fds[0], INVALID), (fds[40], Readiness::WRITE), (fds[79], INVALID)];
    assert_eq!(probe(&mut backend), expected);
    assert_eq!(probe(&mut backend), [(fds[40], Readiness::WRITE)]);
}

fn all_can_be_closed<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let sockets = reserved::<B>(5);
    let fds = numbers_of(&sockets);
    let mut backend = B::default();
    for &fd in &fds {
        backend.add(fd, READ).unwrap();
    }
    drop(sockets);
    let expected: Vec<_> = fds.into_iter().map(|fd| (fd, INVALID)).collect();
    assert_eq!(wait(&mut backend, None), expected);
    assert_eq!(wait(&mut backend, Some(Duration::from_millis(1))), []);
}

fn an_invalid_number_can_be_opened_and_added_again<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let (a, _b) = pair();
    let mut backend = B::default();
    for _ in 0..3 {
        let victim = dup_from(reserve::<B>(), &a);
        let fd = victim.as_raw_fd();
        backend.add(fd, WRITE).unwrap();
        assert_eq!(probe(&mut backend), [(fd, Readiness::WRITE)]);
        drop(victim);
        assert_eq!(probe(&mut backend), [(fd, INVALID)]);
        let next = dup_from(reserve::<B>(), &a);
        assert_eq!(next.as_raw_fd(), fd, "the number was reserved");
        assert_eq!(probe(&mut backend), [], "the new file is not what was watched");
    }
}

fn the_pause_of_the_others_survives<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let mut sockets = reserved::<B>(4);
    let fds = numbers_of(&sockets);
    let mut backend = B::default();
    for &fd in &fds {
        backend.add(fd, WRITE).unwrap();
    }
    backend.modify(fds[0], NOTHING);
    backend.modify(fds[3], NOTHING);
    sockets.remove(1);
    assert_eq!(probe(&mut backend), [(fds[1], INVALID), (fds[2], Readiness::WRITE)]);
    backend.modify(fds[3], READ | WRITE);
    backend.modify(fds[0], WRITE);
    assert_eq!(numbers(probe(&mut backend)), [fds[0], fds[2], fds[3]]);
}

/// A number that was never open, far above any that was.
#[cfg(target_os = "linux")]
fn beyond_the_table() -> RawFd {
    // Below the limit, as far as memory for the tables is no matter.
    (raise_limit() - 1).min(1 << 20)
}

#[cfg(target_os = "linux")]
fn a_number_beyond_the_table_is_invalid_at_once<B: Backend + Default>() {
    let _guard = one_at_a_time();
    for interest in every_interest().filter(|interest| !interest.is_empty()) {
        let mut backend: B = watching(&beyond_the_table(), interest);
        assert_eq!(probe(&mut backend), [(beyond_the_table(), INVALID)], "{interest:?}");
        assert_eq!(probe(&mut backend), [], "{interest:?}");
    }
}

#[cfg(target_os = "linux")]
fn a_number_beyond_the_table_is_invalid_beside_a_ready_one<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let (a, _b) = pair();
    let far = [beyond_the_table() - 100, beyond_the_table() - 1, beyond_the_table()];
    for timeout in [Some(Duration::ZERO), None] {
        let mut backend: B = watching(&a, WRITE);
        for fd in far {
            backend.add(fd, READ).unwrap();
        }
        let expected = [
            (a.as_raw_fd(), Readiness::WRITE),
            (far[0], INVALID),
            (far[1], INVALID),
            (far[2], INVALID),
        ];
        assert_eq!(wait(&mut backend, timeout), expected);
        assert_eq!(wait(&mut backend, timeout), [(a.as_raw_fd(), Readiness::WRITE)]);
    }
}

#[cfg(target_os = "linux")]
fn a_number_beyond_the_table_is_invalid_beside_a_closed_and_a_ready_one<B>()
where
    B: Backend + Default,
{
    let _guard = one_at_a_time();
    let mut sockets = reserved::<B>(3);
    let fds = numbers_of(&sockets);
    let far = beyond_the_table();
    let mut backend: B = watching(&fds[0], WRITE);
    for fd in [far, fds[1], fds[2]] {
        backend.add(fd, READ).unwrap();
    }
    sockets.remove(1);
    let expected = [(fds[0], Readiness::WRITE), (fds[1], INVALID), (far, INVALID)];
    assert_eq!(probe(&mut backend), expected);
    assert_eq!(probe(&mut backend), [(fds[0], Readiness::WRITE)]);
}

/// Runs `test` in a child, with the size of the process's table, which is as small as it can be.
#[cfg(target_os = "linux")]
fn beside_the_end_of_the_table<B: Backend>(name: &str, test: impl FnOnce(RawFd)) {
    let _guard = one_at_a_time();
    in_a_child(&format!("just_beyond::{}::{name}", B::NAME), || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        let size = size.trim().parse().unwrap();
        if size < 512 {
            test(size);
        } else {
            eprintln!("left out: a table of {size} ends too far from the numbers in use");
        }
    });
}

/// The kernel does not look at them, and leaves them in the answer of `select` as they were asked.
#[cfg(target_os = "linux")]
fn the_first_beyond_the_table_are_invalid_once<B: Backend + Default>() {
    beside_the_end_of_the_table::<B>("the_first_beyond_the_table_are_invalid_once", |first| {
        let (a, _b) = pair();
        for others in [&[first, first + 1][..], &[first, beyond_the_table()]] {
            let mut backend: B = watching(&a, WRITE);
            others.iter().for_each(|fd| backend.add(*fd, READ).unwrap());
            let expected =
                [(a.as_raw_fd(), Readiness::WRITE), (others[0], INVALID), (others[1], INVALID)];
            assert_eq!(probe(&mut backend), expected);
            assert_eq!(probe(&mut backend), expected[..1]);
        }
    });
}

#[cfg(target_os = "linux")]
fn a_look_calls_none_beyond_the_table_ready<B: Backend + Default>() {
    beside_the_end_of_the_table::<B>("a_look_calls_none_beyond_the_table_ready", |first| {
        let (a, _b) = pair();
        let mut backend: B = watching(&a, WRITE);
        backend.add(first, READ).unwrap();
        let mut found = Vec::new();
        backend.look(0, 64, &mut found).unwrap();
        found.retain(|event| event.readiness != INVALID);
        let found: Vec<_> = found.iter().map(|event| (event.fd, event.readiness)).collect();
        assert_eq!(found, [(a.as_raw_fd(), Readiness::WRITE)]);
    });
}

/// select cannot know before: the kernel does not look at it, and no owned descriptor is there.
#[cfg(target_os = "linux")]
fn a_number_beyond_the_table_is_invalid_when_the_wait_ends<B: Backend + Default>() {
    let _guard = one_at_a_time();
    let mut backend: B = watching(&beyond_the_table(), READ);
    let timeout = Some(Duration::from_millis(20));
    assert_eq!(wait(&mut backend, timeout), [(beyond_the_table(), INVALID)]);
}

/// It is open for `fcntl`, and not for `poll`. Newer kernels' `select` calls it ready for whatever
/// is asked, older ones for nothing; neither can be told from the real thing, and a read says
/// `EBADF`.
#[cfg(target_os = "linux")]
fn a_descriptor_that_names_only_a_path_costs_nobody_else<B: Backend + Default>() {
    use nix::{
        fcntl::{FcntlArg, OFlag, fcntl, open},
        sys::stat::Mode,
    };
    let _guard = one_at_a_time();
    let (a, _b) = pair();
    let path = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
    fcntl(&path, FcntlArg::F_GETFD).unwrap();
    for interest in every_interest().filter(|interest| !interest.is_empty()) {
        let mut backend: B = watching(&a, WRITE);
        backend.add(path.as_raw_fd(), interest).unwrap();
        for pass in 0..3 {
            let mut events = told(&mut backend);
            let of_path = events.extract_if(.., |(fd, _)| *fd == path.as_raw_fd()).next();
            assert_eq!(events, [(a.as_raw_fd(), Readiness::WRITE)], "{interest:?}");
            let all = Readiness::from_bits_truncate(interest.bits());
            match of_path {
                Some((_, INVALID)) => assert_eq!(pass, 0, "{interest:?}"),
                Some((_, readiness)) if B::NAME == "select" => assert_eq!(readiness, all),
                None => assert!(pass > 0 || B::NAME == "select", "{interest:?}"),
                other => panic!("{other:?} for {interest:?}"),
            }
        }
    }
}
