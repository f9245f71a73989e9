//! What `add`, `modify`, `remove` and `wait` promise, whatever the system call.
#![cfg(any(feature = "poll", feature = "select"))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Interest, Readiness};
use common::*;
use std::{
    io::{ErrorKind, Read, Write},
    os::fd::{AsRawFd, RawFd},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

on_each_backend! {
    the_backend_names_its_system_call,
    the_kernel_is_asked_about_what_is_wanted_and_that_is_counted,
    a_negative_number_is_a_bad_descriptor_and_changes_nothing,
    a_number_is_watched_only_once_and_keeps_its_first_interest,
    a_removed_number_can_be_added_again,
    nothing_happens_to_an_unknown_number,
    only_what_is_wanted_is_reported,
    a_paused_descriptor_is_never_reported_until_it_is_resumed,
    a_paused_descriptor_that_hung_up_is_never_reported_until_it_is_resumed,
    a_removed_descriptor_is_never_reported,
    a_removed_descriptor_that_hung_up_is_never_reported,
    readiness_is_reported_for_as_long_as_it_lasts,
    modify_replaces_the_interest_and_does_not_add_to_it,
    what_was_in_the_list_is_replaced_even_by_nothing,
    events_ascend_and_come_once_whatever_the_history,
    an_empty_backend_waits_for_its_timeout,
    two_numbers_of_one_open_file_are_two_descriptors,
    a_descriptor_of_two_backends_is_ready_on_both,
}

fn the_backend_names_its_system_call<B: Backend + Default>() {
    let debug = format!("{:?}", B::default()).to_lowercase();
    assert!(debug.contains(B::NAME), "{debug} is not {}", B::NAME);
    if cfg!(target_os = "linux") {
        assert_eq!(B::FD_LIMIT, None);
    }
}

fn the_kernel_is_asked_about_what_is_wanted_and_that_is_counted<B: Backend + Default>() {
    let pairs: Vec<_> = (0..20).map(|_| pair()).collect();
    let mut backend = B::default();
    let (mut random, mut wanted, mut expected) = (Random::new(1), vec![None; 20], (0, 0));
    for _ in 0..2000 {
        let index = random.below(20);
        let fd = pairs[index].0.as_raw_fd();
        let interest = random.interest();
        match (random.below(3), wanted[index]) {
            (0, _) => {
                backend.remove(fd);
                wanted[index] = None;
            }
            (_, Some(_)) => {
                backend.modify(fd, interest);
                wanted[index] = Some(interest);
            }
            (_, None) => {
                backend.add(fd, interest).unwrap();
                wanted[index] = Some(interest);
            }
        }
        probe(&mut backend);
        let watched = wanted.iter().flatten().filter(|interest| !interest.is_empty()).count();
        expected = (expected.0 + 1, expected.1 + watched as u64);
        assert_eq!((backend.calls().calls, backend.calls().descriptors), expected);
    }
    let (mut position, mut parts) = (0, 0);
    loop {
        position = backend.look(position, 3, &mut Vec::new()).unwrap();
        parts += 1;
        if position == 0 {
            break;
        }
    }
    let watched = wanted.iter().flatten().filter(|interest| !interest.is_empty()).count();
    expected = (expected.0 + parts, expected.1 + watched as u64);
    assert_eq!((backend.calls().calls, backend.calls().descriptors), expected);
}

fn a_negative_number_is_a_bad_descriptor_and_changes_nothing<B: Backend + Default>() {
    let (a, _b) = pair();
    let mut backend: B = watching(&a, WRITE);
    for negative in [-1, -2, !a.as_raw_fd(), RawFd::MIN] {
        for interest in every_interest() {
            let error = backend.add(negative, interest).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(nix::libc::EBADF), "{negative}: {error}");
        }
        backend.modify(negative, Interest::all());
        backend.remove(negative);
    }
    assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)]);
}

fn a_number_is_watched_only_once_and_keeps_its_first_interest<B: Backend + Default>() {
    let (a, _b) = pair();
    for first in [WRITE, NOTHING] {
        let mut backend: B = watching(&a, first);
        for interest in every_interest() {
            let error = backend.add(a.as_raw_fd(), interest).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
            assert!(error.to_string().contains(&a.as_raw_fd().to_string()), "{error}");
        }
        backend.remove(a.as_raw_fd());
        assert_eq!(probe(&mut backend), [], "one remove was not enough");
        let mut backend: B = watching(&a, first);
        backend.add(a.as_raw_fd(), READ).unwrap_err();
        let told: Vec<_> =
            probe(&mut backend).into_iter().map(|(_, readiness)| readiness).collect();
        assert_eq!(told, if first == WRITE { vec![Readiness::WRITE] } else { vec![] });
    }
}

fn a_removed_number_can_be_added_again<B: Backend + Default>() {
    let (a, _b) = pair();
    let mut backend = B::default();
    for _ in 0..3 {
        backend.add(a.as_raw_fd(), WRITE).unwrap();
        assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)]);
        backend.remove(a.as_raw_fd());
        assert_eq!(probe(&mut backend), []);
    }
    backend.add(a.as_raw_fd(), READ).unwrap();
    assert_eq!(probe(&mut backend), [], "the old interest came back");
}

fn nothing_happens_to_an_unknown_number<B: Backend + Default>() {
    let ((a, _b), (stranger, _c)) = (pair(), pair());
    let mut backend = B::default();
    backend.modify(0, Interest::all());
    backend.remove(0);
    backend.add(a.as_raw_fd(), WRITE).unwrap();
    for unknown in [stranger.as_raw_fd(), 0, a.as_raw_fd() + 64, 900, 1 << 20, RawFd::MAX] {
        backend.modify(unknown, Interest::all());
        assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)], "{unknown}");
        backend.remove(unknown);
        assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)], "{unknown}");
    }
    // A number that was known once is as unknown as any.
    backend.remove(a.as_raw_fd());
    backend.remove(a.as_raw_fd());
    backend.modify(a.as_raw_fd(), Interest::all());
    assert_eq!(probe(&mut backend), []);
}

fn only_what_is_wanted_is_reported<B: Backend + Default>() {
    let (a, mut b) = tcp_pair();
    b.write_all(b"x").unwrap();
    send_out_of_band(&b);
    settle(&a, nix::poll::PollFlags::POLLPRI);
    settle(&a, nix::poll::PollFlags::POLLIN);
    for interest in every_interest() {
        let mut backend: B = watching(&a, interest);
        let readiness = Readiness::from_bits_truncate(interest.bits());
        let expected = if interest.is_empty() { vec![] } else { vec![(a.as_raw_fd(), readiness)] };
        assert_eq!(probe(&mut backend), expected, "{interest:?}");
    }
}

fn a_paused_descriptor_is_never_reported_until_it_is_resumed<B: Backend + Default>() {
    let (a, mut b) = pair();
    b.write_all(b"x").unwrap();
    let mut backend: B = watching(&a, NOTHING);
    for interest in every_interest() {
        assert_eq!(probe(&mut backend), []);
        backend.modify(a.as_raw_fd(), interest);
        let readiness = Readiness::from_bits_truncate((interest - PRIORITY).bits());
        let expected = if readiness.is_empty() { vec![] } else { vec![(a.as_raw_fd(), readiness)] };
        assert_eq!(probe(&mut backend), expected, "{interest:?}");
        backend.modify(a.as_raw_fd(), NOTHING);
    }
}

fn a_paused_descriptor_that_hung_up_is_never_reported_until_it_is_resumed<B>()
where
    B: Backend + Default,
{
    let (a, b) = pair();
    let mut added: B = watching(&a, NOTHING);
    let mut modified: B = watching(&a, Interest::all());
    modified.modify(a.as_raw_fd(), NOTHING);
    drop(b);
    for backend in [&mut added, &mut modified] {
        for _ in 0..3 {
            assert_eq!(probe(backend), []);
        }
        backend.modify(a.as_raw_fd(), READ);
        assert_eq!(told(backend), [(a.as_raw_fd(), Readiness::READ)]);
    }
}

fn a_removed_descriptor_is_never_reported<B: Backend + Default>() {
    let ((a, _a), (b, _b), (c, _c)) = (pair(), pair(), pair());
    let all = [a.as_raw_fd(), b.as_raw_fd(), c.as_raw_fd()];
    for gone in all {
        let mut backend = B::default();
        for fd in all {
            backend.add(fd, WRITE).unwrap();
        }
        backend.remove(gone);
        let mut rest: Vec<_> = all.into_iter().filter(|&fd| fd != gone).collect();
        rest.sort_unstable();
        assert_eq!(numbers(probe(&mut backend)), rest);
    }
}

fn a_removed_descriptor_that_hung_up_is_never_reported<B: Backend + Default>() {
    let (a, b) = pair();
    let (busy, _busy) = pair();
    for interest in every_interest() {
        let mut backend: B = watching(&a, interest);
        backend.add(busy.as_raw_fd(), WRITE).unwrap();
        backend.remove(a.as_raw_fd());
        assert_eq!(numbers(probe(&mut backend)), [busy.as_raw_fd()]);
    }
    drop(b);
    for interest in every_interest() {
        let mut backend: B = watching(&a, interest);
        backend.add(busy.as_raw_fd(), WRITE).unwrap();
        probe(&mut backend);
        backend.remove(a.as_raw_fd());
        assert_eq!(numbers(probe(&mut backend)), [busy.as_raw_fd()]);
    }
}

fn readiness_is_reported_for_as_long_as_it_lasts<B: Backend + Default>() {
    let (mut a, mut b) = pair();
    let mut backend: B = watching(&a, READ);
    assert_eq!(probe(&mut backend), []);
    b.write_all(b"xy").unwrap();
    for _ in 0..3 {
        assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::READ)]);
    }
    a.read_exact(&mut [0]).unwrap();
    assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::READ)], "one byte is left");
    a.read_exact(&mut [0]).unwrap();
    assert_eq!(probe(&mut backend), []);

    backend.modify(a.as_raw_fd(), WRITE);
    assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)]);
    fill(&a);
    assert_eq!(probe(&mut backend), []);
    drain(&b);
    assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)]);
}

fn modify_replaces_the_interest_and_does_not_add_to_it<B: Backend + Default>() {
    let (a, mut b) = tcp_pair();
    b.write_all(b"x").unwrap();
    send_out_of_band(&b);
    settle(&a, nix::poll::PollFlags::POLLPRI);
    settle(&a, nix::poll::PollFlags::POLLIN);
    let mut backend: B = watching(&a, NOTHING);
    for from in every_interest() {
        for to in every_interest() {
            backend.modify(a.as_raw_fd(), from);
            backend.modify(a.as_raw_fd(), to);
            let readiness = Readiness::from_bits_truncate(to.bits());
            let expected = if to.is_empty() { vec![] } else { vec![(a.as_raw_fd(), readiness)] };
            assert_eq!(probe(&mut backend), expected, "{from:?} to {to:?}");
        }
    }
}

fn what_was_in_the_list_is_replaced_even_by_nothing<B: Backend + Default>() {
    let (a, _b) = pair();
    let mut backend: B = watching(&a, WRITE);
    let mut ready = Vec::new();
    for _ in 0..3 {
        backend.wait(None, &mut ready).unwrap();
        assert_eq!(ready.len(), 1);
    }
    backend.modify(a.as_raw_fd(), READ);
    backend.wait(Some(Duration::ZERO), &mut ready).unwrap();
    assert_eq!(ready, []);
}

fn events_ascend_and_come_once_whatever_the_history<B: Backend + Default>() {
    let mut random = Random::new(7);
    let pairs: Vec<(UnixStream, UnixStream)> = (0..70).map(|_| pair()).collect();
    let mut fds: Vec<RawFd> = pairs.iter().map(|(a, _)| a.as_raw_fd()).collect();
    let mut backend = B::default();
    let mut watched = Vec::new();
    for round in 0..30 {
        random.shuffle(&mut fds);
        for &fd in &fds {
            if watched.contains(&fd) {
                if random.below(3) == 0 {
                    backend.remove(fd);
                    watched.retain(|&other| other != fd);
                }
            } else if random.below(4) != 0 {
                backend.add(fd, READ | WRITE).unwrap();
                watched.push(fd);
            }
        }
        let mut expected = watched.clone();
        expected.sort_unstable();
        assert!(expected.len() > 10);
        let events = probe(&mut backend);
        assert!(events.iter().all(|&(_, readiness)| readiness == Readiness::WRITE));
        assert_eq!(numbers(events), expected, "round {round}");
    }
}

fn an_empty_backend_waits_for_its_timeout<B: Backend + Default>() {
    let mut backend = B::default();
    assert_eq!(probe(&mut backend), []);
    let start = Instant::now();
    assert_eq!(wait(&mut backend, Some(Duration::from_millis(20))), []);
    assert!(start.elapsed() >= Duration::from_millis(20), "early");
}

fn two_numbers_of_one_open_file_are_two_descriptors<B: Backend + Default>() {
    let (a, mut b) = pair();
    let again = a.try_clone().unwrap();
    let mut backend: B = watching(&a, READ);
    backend.add(again.as_raw_fd(), WRITE).unwrap();
    b.write_all(b"x").unwrap();
    let mut expected = [(a.as_raw_fd(), Readiness::READ), (again.as_raw_fd(), Readiness::WRITE)];
    expected.sort_unstable_by_key(|&(fd, _)| fd);
    assert_eq!(probe(&mut backend), expected);
    backend.remove(a.as_raw_fd());
    drop(a);
    assert_eq!(probe(&mut backend), [(again.as_raw_fd(), Readiness::WRITE)]);
}

fn a_descriptor_of_two_backends_is_ready_on_both<B: Backend + Default>() {
    let (a, mut b) = pair();
    let mut one: B = watching(&a, READ);
    let mut other: B = watching(&a, READ | WRITE);
    b.write_all(b"x").unwrap();
    assert_eq!(probe(&mut one), [(a.as_raw_fd(), Readiness::READ)]);
    assert_eq!(probe(&mut other), [(a.as_raw_fd(), Readiness::READ | Readiness::WRITE)]);
    assert_eq!(probe(&mut one), [(a.as_raw_fd(), Readiness::READ)]);
}
