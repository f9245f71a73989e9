//! A number for which the tables cannot grow is refused, and nothing has changed.
//!
//! The limit is the process's, so each test runs itself again in a child.
#![cfg(all(target_os = "linux", any(feature = "poll", feature = "select")))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Readiness};
use common::*;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    io::{ErrorKind, Write},
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

on_each_backend! {
    a_number_for_which_there_is_no_memory_is_refused_and_changes_nothing,
}

fn a_number_for_which_there_is_no_memory_is_refused_and_changes_nothing<B: Backend + Default>() {
    const FAR: RawFd = 1 << 30;
    const ROOM: u64 = 200 << 20;
    let name = "a_number_for_which_there_is_no_memory_is_refused_and_changes_nothing";
    in_a_child(&format!("{}::{name}", B::NAME), || {
        let (a, mut b) = pair();
        let (other, _other) = pair();
        let mut backend: B = watching(&a, READ | WRITE);
        let pages: u64 = std::fs::read_to_string("/proc/self/statm")
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let (_, hard) = getrlimit(Resource::RLIMIT_AS).unwrap();
        setrlimit(Resource::RLIMIT_AS, pages * 4096 + ROOM, hard).unwrap();

        for _ in 0..3 {
            let error = backend.add(FAR, READ).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
            backend.modify(FAR, READ);
            assert_eq!(probe(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)]);
        }
        b.write_all(b"x").unwrap();
        backend.add(other.as_raw_fd(), READ).unwrap();
        backend.modify(a.as_raw_fd(), READ);
        assert_eq!(wait(&mut backend, None), [(a.as_raw_fd(), Readiness::READ)]);
        backend.remove(a.as_raw_fd());
        assert_eq!(wait(&mut backend, Some(Duration::from_millis(1))), []);
    });
}
