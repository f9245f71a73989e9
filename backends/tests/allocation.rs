//! Once the tables have grown, no wait and no change of interest allocates.
//!
//! The allocator is the process's and counts for each thread apart.
#![cfg(any(feature = "poll", feature = "select"))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Event, Interest, Readiness};
use common::*;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::Write,
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call goes to the system's allocator as it came; the counter beside it is a
// thread-local without destructor and initialiser, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocated.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

on_each_backend! {
    the_allocations_are_counted,
    passes_with_changing_interest_allocate_nothing,
    passes_in_which_all_become_ready_allocate_nothing,
    coming_and_going_allocates_nothing,
    waits_that_time_out_allocate_nothing,
    a_hang_up_that_is_not_wanted_allocates_nothing,
}

const PASSES: usize = 1000;

fn sockets() -> Vec<(UnixStream, UnixStream)> {
    (0..200).map(|_| pair()).collect()
}

fn fds(sockets: &[(UnixStream, UnixStream)]) -> Vec<RawFd> {
    sockets.iter().map(|(a, _)| a.as_raw_fd()).collect()
}

fn grown<B: Backend + Default>(fds: &[RawFd], interest: Interest) -> (B, Vec<Event>) {
    let mut backend = B::default();
    for &fd in fds {
        backend.add(fd, interest).unwrap();
    }
    let mut ready = Vec::with_capacity(fds.len());
    backend.wait(Some(Duration::ZERO), &mut ready).unwrap();
    (backend, ready)
}

fn the_allocations_are_counted<B: Backend + Default>() {
    let (a, _b) = pair();
    let grown = allocations(|| drop(watching::<B>(&a, READ)));
    assert!(grown > 0);
}

fn passes_with_changing_interest_allocate_nothing<B: Backend + Default>() {
    let sockets = sockets();
    let fds = fds(&sockets);
    let (mut backend, mut ready) = grown::<B>(&fds, READ);
    let mut random = Random::new(3);
    let mut passes = || {
        for _ in 0..PASSES {
            for _ in 0..20 {
                backend.modify(fds[random.below(fds.len())], random.interest());
            }
            backend.wait(Some(Duration::ZERO), &mut ready).unwrap();
            assert!(ready.iter().all(|event| event.readiness == Readiness::WRITE));
        }
    };
    // A hot set grows with the number of those that are busy at the same time, up to a bound.
    let counts = [(); 8].map(|()| allocations(&mut passes));
    assert!(counts.contains(&0), "{counts:?}");
    assert!(!ready.is_empty());
}

fn passes_in_which_all_become_ready_allocate_nothing<B: Backend + Default>() {
    let sockets = sockets();
    let fds = fds(&sockets);
    let (mut backend, mut ready) = grown::<B>(&fds, Interest::all());
    for (_, peer) in &sockets {
        (&*peer).write_all(b"x").unwrap();
    }
    let count = allocations(|| {
        for _ in 0..PASSES {
            backend.wait(None, &mut ready).unwrap();
            assert_eq!(ready.len(), fds.len());
        }
    });
    assert_eq!(count, 0);
}

fn coming_and_going_allocates_nothing<B: Backend + Default>() {
    let sockets = sockets();
    let fds = fds(&sockets);
    let (mut backend, mut ready) = grown::<B>(&fds, WRITE);
    let mut random = Random::new(5);
    let count = allocations(|| {
        for _ in 0..PASSES {
            let fd = fds[random.below(fds.len())];
            backend.remove(fd);
            backend.wait(None, &mut ready).unwrap();
            assert_eq!(ready.len(), fds.len() - 1);
            backend.add(fd, WRITE).unwrap();
        }
    });
    assert_eq!(count, 0);
}

fn waits_that_time_out_allocate_nothing<B: Backend + Default>() {
    let sockets = sockets();
    let (mut backend, mut ready) = grown::<B>(&fds(&sockets), READ);
    let count = allocations(|| {
        for _ in 0..PASSES {
            backend.wait(Some(Duration::from_micros(20)), &mut ready).unwrap();
            assert_eq!(ready, []);
        }
    });
    assert_eq!(count, 0);
}

fn a_hang_up_that_is_not_wanted_allocates_nothing<B: Backend + Default>() {
    let (a, b) = pair();
    drop(b);
    let (mut backend, mut ready) = grown::<B>(&[a.as_raw_fd()], PRIORITY);
    let count = allocations(|| {
        for _ in 0..PASSES {
            backend.modify(a.as_raw_fd(), PRIORITY);
            backend.wait(Some(Duration::ZERO), &mut ready).unwrap();
            assert_eq!(ready, []);
            backend.modify(a.as_raw_fd(), READ);
            backend.wait(Some(Duration::ZERO), &mut ready).unwrap();
            assert_eq!(ready.len(), 1);
        }
    });
    assert_eq!(count, 0);
}
