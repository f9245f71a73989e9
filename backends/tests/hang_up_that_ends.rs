//! A hang-up can end, or something else can join it: a fresh socket gets connected, a slave is
//! opened again, a buffer is emptied. Who wants that hears of it, though not of the hang-up.
#![cfg(all(target_os = "linux", any(feature = "poll", feature = "select")))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Readiness};
use common::*;
use nix::poll::PollFlags;
use std::{
    net::Shutdown,
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

on_each_backend! {
    an_out_of_band_byte_is_heard_though_the_socket_was_watched_before_its_connect,
    room_is_heard_of_though_the_socket_was_shut_down_while_full,
    room_is_heard_of_by_who_sleeps_already,
}

fn an_out_of_band_byte_is_heard_though_the_socket_was_watched_before_its_connect<B>()
where
    B: Backend + Default,
{
    let (listener, address) = address_that_refuses();
    start_to_listen(&listener);
    let socket = fresh_tcp();
    let mut backend: B = watching(&socket, PRIORITY);
    assert_eq!(probe(&mut backend), []);
    start_to_connect(&socket, address);
    settle(&listener, PollFlags::POLLIN);
    let (peer, _) = asyncore_backends::accept(std::os::fd::AsFd::as_fd(&listener)).unwrap();
    send_out_of_band(&peer);
    settle(&socket, PollFlags::POLLPRI);
    assert_eq!(told(&mut backend), [(socket.as_raw_fd(), Readiness::PRIORITY)]);
}

fn room_is_heard_of_though_the_socket_was_shut_down_while_full<B: Backend + Default>() {
    let (a, b) = pair();
    fill(&a);
    let mut backend: B = watching(&a, WRITE);
    b.shutdown(Shutdown::Both).unwrap();
    assert_eq!(probe(&mut backend), []);
    drain(&b);
    settle(&a, PollFlags::POLLOUT);
    assert_eq!(told(&mut backend), [(a.as_raw_fd(), Readiness::WRITE)]);
}

fn room_is_heard_of_by_who_sleeps_already<B: Backend + Default>() {
    let (a, b) = pair();
    fill(&a);
    let mut backend: B = watching(&a, WRITE);
    b.shutdown(Shutdown::Both).unwrap();
    let waiter = Sleeper::this_thread();
    let reader = thread::spawn(move || {
        waiter.until_asleep();
        drain(&b);
        b
    });
    let (timeout, start) = (Duration::from_secs(5), Instant::now());
    let events = wait(&mut backend, Some(timeout));
    assert_eq!(without_hints(events), [(a.as_raw_fd(), Readiness::WRITE)]);
    assert!(start.elapsed() < timeout, "it was heard of only after the timeout");
    reader.join().unwrap();
}
