//! A hang-up or an error comes unasked. Where it is not wanted, no backend tells of it, and none
//! spins on it.
#![cfg(all(target_os = "linux", any(feature = "poll", feature = "select")))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Interest, Readiness};
use common::*;
use nix::poll::PollFlags;
use std::{
    io::Write,
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

on_each_backend! {
    a_pipe_whose_writer_is_gone_is_quiet_for_who_only_writes,
    a_pipe_whose_reader_is_gone_is_quiet_for_who_only_wants_priority,
    a_full_unix_socket_whose_peer_shut_down_is_quiet_for_who_only_writes,
    a_unix_socket_whose_peer_closed_is_quiet_for_who_only_wants_priority,
    a_fresh_tcp_socket_is_quiet_for_who_only_wants_priority,
    a_reset_connection_is_quiet_for_who_only_wants_priority,
    a_pty_master_whose_slave_closed_is_quiet_for_who_only_wants_priority,
    who_only_wants_priority_sleeps_beside_it,
    others_are_served_beside_it,
    a_wait_without_end_still_wakes_for_the_others,
    a_hang_up_during_the_wait_neither_wakes_nor_spins,
    other_descriptors_coming_and_going_do_not_disturb_it,
    it_can_be_removed_and_added_again,
}

/// Nothing is reported of `fd` for these interests, no wait is early or spins, and who wants to
/// read hears of it at once.
#[track_caller]
fn check<B: Backend + Default>(fd: &impl AsRawFd, quiet: &[Interest]) {
    const TIMEOUT: Duration = Duration::from_millis(30);
    let heard = |backend: &mut B| {
        backend.modify(fd.as_raw_fd(), READ);
        for _ in 0..2 {
            assert_eq!(told(backend), [(fd.as_raw_fd(), Readiness::READ)]);
        }
    };
    let mut kept: B = watching(fd, READ);
    for &interest in quiet {
        let mut fresh: B = watching(fd, interest);
        kept.modify(fd.as_raw_fd(), interest);
        for backend in [&mut fresh, &mut kept] {
            assert_eq!(probe(backend), [], "{interest:?}");
            for _ in 0..2 {
                let start = Instant::now();
                let (events, cost) = Cost::of(|| wait(backend, Some(TIMEOUT)));
                assert_eq!(events, [], "{interest:?}");
                assert!(start.elapsed() >= TIMEOUT, "early");
                assert!(cost.busy < TIMEOUT / 2, "{interest:?} was busy for {:?}", cost.busy);
            }
            heard(backend);
        }
    }
}

fn a_pipe_whose_writer_is_gone_is_quiet_for_who_only_writes<B: Backend + Default>() {
    let (reader, writer) = pipe();
    drop(writer);
    check::<B>(&reader, &[WRITE, PRIORITY, WRITE | PRIORITY]);
}

fn a_pipe_whose_reader_is_gone_is_quiet_for_who_only_wants_priority<B: Backend + Default>() {
    let (reader, writer) = pipe();
    drop(reader);
    check::<B>(&writer, &[PRIORITY]);
}

fn a_full_unix_socket_whose_peer_shut_down_is_quiet_for_who_only_writes<B: Backend + Default>() {
    let (a, b) = pair();
    fill(&a);
    b.shutdown(std::net::Shutdown::Both).unwrap();
    check::<B>(&a, &[WRITE, PRIORITY, WRITE | PRIORITY]);
}

fn a_unix_socket_whose_peer_closed_is_quiet_for_who_only_wants_priority<B: Backend + Default>() {
    let (a, b) = pair();
    drop(b);
    check::<B>(&a, &[PRIORITY]);
}

fn a_fresh_tcp_socket_is_quiet_for_who_only_wants_priority<B: Backend + Default>() {
    check::<B>(&fresh_tcp(), &[PRIORITY]);
}

fn a_reset_connection_is_quiet_for_who_only_wants_priority<B: Backend + Default>() {
    let (a, b) = tcp_pair();
    reset(b);
    settle(&a, PollFlags::POLLERR);
    check::<B>(&a, &[PRIORITY]);
}

fn a_pty_master_whose_slave_closed_is_quiet_for_who_only_wants_priority<B: Backend + Default>() {
    let pty = nix::pty::openpty(None, None).unwrap();
    drop(pty.slave);
    settle(&pty.master, PollFlags::POLLHUP);
    check::<B>(&pty.master, &[PRIORITY]);
}

/// There is nothing to look for again.
fn who_only_wants_priority_sleeps_beside_it<B: Backend + Default>() {
    let (a, b) = pair();
    drop(b);
    let mut backend: B = watching(&a, PRIORITY);
    for _ in 0..2 {
        let wait = || wait(&mut backend, Some(Duration::from_millis(100)));
        let (events, cost) = Cost::of(wait);
        assert_eq!(events, []);
        assert!(cost.sleeps <= 3, "it slept {} times", cost.sleeps);
    }
}

fn others_are_served_beside_it<B: Backend + Default>() {
    let (dead, writer) = pipe();
    let ((low, _low), (high, _high)) = (pair(), pair());
    let high = OwnedFd::from(high);
    drop(writer);
    let mut backend: B = watching(&low, WRITE);
    backend.add(dead.as_raw_fd(), PRIORITY).unwrap();
    backend.add(high.as_raw_fd(), WRITE).unwrap();
    let mut expected = [low.as_raw_fd(), high.as_raw_fd()];
    expected.sort_unstable();
    for _ in 0..3 {
        assert_eq!(numbers(probe(&mut backend)), expected);
    }
}

fn a_wait_without_end_still_wakes_for_the_others<B: Backend + Default>() {
    let (dead, dead_writer) = pipe();
    drop(dead_writer);
    let (a, mut b) = pair();
    let mut backend: B = watching(&dead, WRITE | PRIORITY);
    backend.add(a.as_raw_fd(), READ).unwrap();
    let waiter = Sleeper::this_thread();
    let writer = thread::spawn(move || {
        waiter.until_asleep();
        b.write_all(b"x").unwrap();
        b
    });
    assert_eq!(wait(&mut backend, None), [(a.as_raw_fd(), Readiness::READ)]);
    writer.join().unwrap();
}

fn a_hang_up_during_the_wait_neither_wakes_nor_spins<B: Backend + Default>() {
    const TIMEOUT: Duration = Duration::from_millis(60);
    let (reader, writer) = pipe();
    let mut backend: B = watching(&reader, WRITE | PRIORITY);
    let waiter = Sleeper::this_thread();
    let closer = thread::spawn(move || {
        waiter.until_asleep();
        drop(writer);
    });
    let start = Instant::now();
    let (events, cost) = Cost::of(|| wait(&mut backend, Some(TIMEOUT)));
    assert_eq!(events, []);
    assert!(start.elapsed() >= TIMEOUT, "early");
    assert!(cost.busy < TIMEOUT / 2, "busy for {:?}", cost.busy);
    closer.join().unwrap();
    backend.modify(reader.as_raw_fd(), READ);
    assert_eq!(told(&mut backend), [(reader.as_raw_fd(), Readiness::READ)]);
}

fn other_descriptors_coming_and_going_do_not_disturb_it<B: Backend + Default>() {
    let (dead, writer) = pipe();
    drop(writer);
    let ((first, _first), (last, _last)) = (pair(), pair());
    let mut backend: B = watching(&first, WRITE);
    backend.add(dead.as_raw_fd(), PRIORITY).unwrap();
    assert_eq!(numbers(probe(&mut backend)), [first.as_raw_fd()]);
    // The table of poll moves its last entry to where one was removed.
    backend.remove(first.as_raw_fd());
    assert_eq!(probe(&mut backend), []);
    backend.add(last.as_raw_fd(), WRITE).unwrap();
    assert_eq!(numbers(probe(&mut backend)), [last.as_raw_fd()]);
    backend.modify(dead.as_raw_fd(), READ);
    let mut expected = [(dead.as_raw_fd(), Readiness::READ), (last.as_raw_fd(), Readiness::WRITE)];
    expected.sort_unstable_by_key(|&(fd, _)| fd);
    assert_eq!(told(&mut backend), expected);
    backend.remove(dead.as_raw_fd());
    assert_eq!(numbers(probe(&mut backend)), [last.as_raw_fd()]);
}

fn it_can_be_removed_and_added_again<B: Backend + Default>() {
    let (dead, writer) = pipe();
    drop(writer);
    let mut backend: B = watching(&dead, PRIORITY);
    assert_eq!(probe(&mut backend), []);
    assert!(backend.add(dead.as_raw_fd(), READ).is_err(), "it is watched still");
    backend.remove(dead.as_raw_fd());
    backend.add(dead.as_raw_fd(), READ).unwrap();
    assert_eq!(told(&mut backend), [(dead.as_raw_fd(), Readiness::READ)]);
}
