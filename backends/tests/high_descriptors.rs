//! Numbers beyond `FD_SETSIZE`, in many words of select's sets. Linux takes them.
#![cfg(all(target_os = "linux", any(feature = "poll", feature = "select")))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Readiness};
use common::*;
use nix::poll::PollFlags;
use std::{
    fs::File,
    io::Write,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

const HIGH: i32 = 5001;

on_each_backend! {
    a_number_above_five_thousand_is_readable,
    a_number_above_five_thousand_is_writable,
    a_number_above_five_thousand_has_priority,
    a_number_above_five_thousand_wakes_a_wait_without_end,
    low_and_high_numbers_are_ready_side_by_side,
    the_edges_of_the_words_are_kept_apart,
    what_is_below_a_removed_highest_number_is_still_served,
    what_is_below_a_paused_highest_number_is_still_served,
    a_high_number_that_was_removed_and_closed_is_not_asked_about,
    random_numbers_in_many_words_are_reported_exactly,
}

/// Whether the process may open so many; says so if it may not.
fn can_open(count: i32) -> bool {
    let limit = raise_limit();
    if limit <= count {
        eprintln!("skipped, RLIMIT_NOFILE is {limit}");
    }
    limit > count
}

fn a_number_above_five_thousand_is_readable<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        let (a, mut b) = pair();
        let a = dup_from(HIGH, &a);
        assert!(a.as_raw_fd() >= HIGH);
        let mut backend: B = watching(&a, READ | PRIORITY);
        assert_eq!(probe(&mut backend), []);
        b.write_all(b"x").unwrap();
        assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::READ)]);
        drain(&a);
        assert_eq!(probe(&mut backend), []);
    }
}

fn a_number_above_five_thousand_is_writable<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        let (a, b) = pair();
        let a = dup_from(HIGH, &a);
        let mut backend: B = watching(&a, WRITE);
        assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)]);
        fill(&a);
        assert_eq!(probe(&mut backend), []);
        drain(&b);
        assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)]);
    }
}

fn a_number_above_five_thousand_has_priority<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        let (a, b) = tcp_pair();
        let a = dup_from(HIGH, &a);
        let mut backend: B = watching(&a, READ | PRIORITY);
        send_out_of_band(&b);
        settle(&a, PollFlags::POLLPRI);
        assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::PRIORITY)]);
    }
}

fn a_number_above_five_thousand_wakes_a_wait_without_end<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        let (a, mut b) = pair();
        let a = dup_from(HIGH, &a);
        let mut backend: B = watching(&a, READ);
        let waiter = Sleeper::this_thread();
        let writer = std::thread::spawn(move || {
            waiter.until_asleep();
            b.write_all(b"x").unwrap();
            b
        });
        assert_eq!(wait(&mut backend, None), [(a.as_raw_fd(), Readiness::READ)]);
        writer.join().unwrap();
    }
}

fn low_and_high_numbers_are_ready_side_by_side<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        let (low, mut peer) = pair();
        peer.write_all(b"x").unwrap();
        let high = dup_from(HIGH, &low);
        let mut backend: B = watching(&high, WRITE);
        backend.add(low.as_raw_fd(), READ).unwrap();
        assert_eq!(
            probe(&mut backend),
            [(low.as_raw_fd(), Readiness::READ), (high.as_raw_fd(), Readiness::WRITE)]
        );
    }
}

fn the_edges_of_the_words_are_kept_apart<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        // Numbers that other tests of this process may hold are stepped over.
        let starts = [63, 64, 127, 128, 191, 1023, 1024, 2047, 2048, 4095, 4096, HIGH];
        let mut ends: Vec<(OwnedFd, UnixStream)> = starts
            .into_iter()
            .map(|least| {
                let (a, b) = pair();
                (dup_from(least, &a), b)
            })
            .collect();
        ends.sort_unstable_by_key(|(fd, _)| fd.as_raw_fd());
        let mut backend = B::default();
        for (fd, _) in &ends {
            backend.add(fd.as_raw_fd(), READ).unwrap();
        }
        for (fd, peer) in &mut ends {
            assert_eq!(probe(&mut backend), []);
            peer.write_all(b"x").unwrap();
            assert_eq!(probe(&mut backend), [(fd.as_raw_fd(), Readiness::READ)]);
            drain(fd);
        }
        for (_, peer) in &mut ends {
            peer.write_all(b"x").unwrap();
        }
        let all: Vec<_> = ends.iter().map(|(fd, _)| fd.as_raw_fd()).collect();
        assert_eq!(numbers(probe(&mut backend)), all);
        for index in (0..ends.len()).rev() {
            backend.remove(all[index]);
            assert_eq!(numbers(probe(&mut backend)), all[..index]);
        }
    }
}

fn what_is_below_a_removed_highest_number_is_still_served<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        let (low, _peer) = pair();
        let (middle, high) = (dup_from(2000, &low), dup_from(HIGH, &low));
        let fds = [low.as_raw_fd(), middle.as_raw_fd(), high.as_raw_fd()];
        let mut backend = B::default();
        for fd in fds {
            backend.add(fd, WRITE).unwrap();
        }
        assert_eq!(numbers(probe(&mut backend)), fds);
        backend.remove(fds[2]);
        assert_eq!(numbers(probe(&mut backend)), fds[..2]);
        backend.remove(fds[1]);
        assert_eq!(numbers(probe(&mut backend)), fds[..1]);
        backend.remove(fds[0]);
        assert_eq!(probe(&mut backend), []);
        for end in 1..=3 {
            backend.add(fds[end - 1], WRITE).unwrap();
            assert_eq!(numbers(probe(&mut backend)), fds[..end], "it did not come back");
        }
    }
}

fn what_is_below_a_paused_highest_number_is_still_served<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        let (low, _peer) = pair();
        let high = dup_from(HIGH, &low);
        let mut backend: B = watching(&low, WRITE);
        backend.add(high.as_raw_fd(), NOTHING).unwrap();
        for _ in 0..3 {
            assert_eq!(numbers(probe(&mut backend)), [low.as_raw_fd()]);
            backend.modify(high.as_raw_fd(), WRITE);
            assert_eq!(numbers(probe(&mut backend)), [low.as_raw_fd(), high.as_raw_fd()]);
            backend.modify(high.as_raw_fd(), READ);
            assert_eq!(numbers(probe(&mut backend)), [low.as_raw_fd()]);
            backend.modify(high.as_raw_fd(), NOTHING);
        }
    }
}

fn a_high_number_that_was_removed_and_closed_is_not_asked_about<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        let (low, _peer) = pair();
        let high = dup_from(HIGH, &low);
        let mut backend: B = watching(&low, READ);
        backend.add(high.as_raw_fd(), WRITE).unwrap();
        backend.remove(high.as_raw_fd());
        drop(high);
        assert_eq!(wait(&mut backend, Some(Duration::from_millis(1))), []);
        backend.modify(low.as_raw_fd(), WRITE);
        assert_eq!(numbers(probe(&mut backend)), [low.as_raw_fd()]);
    }
}

fn random_numbers_in_many_words_are_reported_exactly<B: Backend + Default>() {
    if can_open(HIGH + 100) {
        let mut random = Random::new(11);
        let null = File::open("/dev/null").unwrap();
        let (idle, _peer) = pair();
        // The null device is always readable, the socket never.
        let mut fds: Vec<(OwnedFd, bool)> = (0..300)
            .map(|_| {
                let ready = random.below(2) == 0;
                let least = 10 + random.below(HIGH as usize) as i32;
                let fd = if ready { dup_from(least, &null) } else { dup_from(least, &idle) };
                (fd, ready)
            })
            .collect();
        random.shuffle(&mut fds);
        let mut backend = B::default();
        for (fd, _) in &fds {
            backend.add(fd.as_raw_fd(), READ).unwrap();
        }
        while !fds.is_empty() {
            let mut expected: Vec<_> =
                fds.iter().filter(|(_, ready)| *ready).map(|(fd, _)| fd.as_raw_fd()).collect();
            expected.sort_unstable();
            assert_eq!(numbers(probe(&mut backend)), expected);
            for _ in 0..7 {
                if let Some((fd, _)) = fds.pop() {
                    backend.remove(fd.as_raw_fd());
                }
            }
        }
    }
}
