//! The table of the crate's front page: what each kind of descriptor is reported as, for each
//! interest, on both backends. The kernel's answers are Linux's.
#![cfg(all(target_os = "linux", any(feature = "poll", feature = "select")))]

#[macro_use]
mod common;

use asyncore_backends::{Backend, Readiness};
use common::*;
use nix::{
    poll::PollFlags,
    sys::eventfd::{EfdFlags, EventFd},
    sys::socket::{setsockopt, sockopt},
};
use std::{
    fs::File,
    io::{Read, Write},
    net::{Shutdown, SocketAddrV4, TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd},
};

const R: Readiness = Readiness::READ;
const W: Readiness = Readiness::WRITE;
const P: Readiness = Readiness::PRIORITY;
const HUP: Readiness = Readiness::HANG_UP;
const ERR: Readiness = Readiness::ERROR;
const NONE: Readiness = Readiness::empty();

on_each_backend! {
    an_idle_socket_is_writable,
    a_socket_with_data_is_readable,
    a_full_socket_is_nothing,
    a_full_socket_with_data_is_readable,
    a_pipe_with_data_is_readable,
    a_pipe_whose_writer_is_gone_is_readable,
    a_pipe_whose_writer_is_gone_is_readable_while_it_has_data,
    a_pipe_whose_reader_is_gone_is_readable_and_writable,
    a_full_pipe_whose_reader_is_gone_is_readable_and_writable,
    a_unix_socket_whose_peer_closed_is_readable_and_writable,
    a_unix_socket_whose_peer_stopped_to_write_is_readable_and_writable,
    a_full_unix_socket_whose_peer_shut_down_is_readable,
    a_fresh_tcp_socket_is_readable_and_writable,
    a_refused_connect_is_readable_and_writable,
    a_finished_connect_is_writable,
    a_reset_connection_is_readable_and_writable,
    a_tcp_socket_whose_peer_closed_is_readable_and_writable,
    a_tcp_socket_that_was_shut_down_both_ways_is_readable_and_writable,
    an_out_of_band_byte_is_priority,
    an_out_of_band_byte_after_data_is_priority_and_readable,
    an_out_of_band_byte_in_the_stream_is_priority_and_readable,
    an_out_of_band_byte_before_a_reset_is_priority_and_readable_and_writable,
    a_listener_with_a_client_is_readable,
    a_listener_without_a_client_is_nothing,
    a_regular_file_is_readable_and_writable,
    a_regular_file_at_its_end_is_readable_and_writable,
    the_null_device_is_readable_and_writable,
    an_eventfd_is_readable_when_counted_and_writable_until_full,
    a_pty_with_nothing_to_say_is_writable,
    a_pty_master_with_data_is_readable,
    a_pty_master_whose_slave_closed_is_readable_and_writable,
    a_pty_slave_whose_master_closed_is_readable_and_writable,
}

/// `fd` is reported as the wanted part of `readiness`; with it come the hints, if the backend can
/// tell. So it is for each interest, however the descriptor came to it, and as long as it lasts.
#[track_caller]
fn check<B: Backend + Default>(fd: impl AsFd, readiness: Readiness, hints: Readiness) {
    let fd = fd.as_fd().as_raw_fd();
    let hints = if B::NAME == "poll" { hints } else { NONE };
    let mut kept = B::default();
    kept.add(fd, NOTHING).unwrap();
    for interest in every_interest() {
        let wanted = readiness.wanted(interest);
        let expected = if wanted.is_empty() { vec![] } else { vec![(fd, wanted | hints)] };
        let mut fresh = B::default();
        fresh.add(fd, interest).unwrap();
        kept.modify(fd, interest);
        for pass in 0..3 {
            assert_eq!(probe(&mut fresh), expected, "added for {interest:?}, pass {pass}");
            assert_eq!(probe(&mut kept), expected, "modified to {interest:?}, pass {pass}");
        }
    }
}

fn an_idle_socket_is_writable<B: Backend + Default>() {
    let (a, _b) = pair();
    check::<B>(&a, W, NONE);
    let (a, _b) = tcp_pair();
    check::<B>(&a, W, NONE);
}

fn a_socket_with_data_is_readable<B: Backend + Default>() {
    let (a, mut b) = pair();
    b.write_all(b"x").unwrap();
    check::<B>(&a, R | W, NONE);
    let (a, mut b) = tcp_pair();
    b.write_all(b"x").unwrap();
    settle(&a, PollFlags::POLLIN);
    check::<B>(&a, R | W, NONE);
}

fn a_full_socket_is_nothing<B: Backend + Default>() {
    let (a, _b) = pair();
    fill(&a);
    check::<B>(&a, NONE, NONE);
}

fn a_full_socket_with_data_is_readable<B: Backend + Default>() {
    let (a, mut b) = pair();
    fill(&a);
    b.write_all(b"x").unwrap();
    check::<B>(&a, R, NONE);
}

fn a_pipe_with_data_is_readable<B: Backend + Default>() {
    let (reader, mut writer) = pipe();
    check::<B>(&reader, NONE, NONE);
    check::<B>(&writer, W, NONE);
    writer.write_all(b"x").unwrap();
    check::<B>(&reader, R, NONE);
}

fn a_pipe_whose_writer_is_gone_is_readable<B: Backend + Default>() {
    let (reader, writer) = pipe();
    drop(writer);
    check::<B>(&reader, R, HUP);
}

fn a_pipe_whose_writer_is_gone_is_readable_while_it_has_data<B: Backend + Default>() {
    let (mut reader, mut writer) = pipe();
    writer.write_all(b"x").unwrap();
    drop(writer);
    check::<B>(&reader, R, HUP);
    reader.read_exact(&mut [0]).unwrap();
    check::<B>(&reader, R, HUP);
}

fn a_pipe_whose_reader_is_gone_is_readable_and_writable<B: Backend + Default>() {
    let (reader, writer) = pipe();
    drop(reader);
    check::<B>(&writer, R | W, ERR);
}

fn a_full_pipe_whose_reader_is_gone_is_readable_and_writable<B: Backend + Default>() {
    let (reader, writer) = pipe();
    set_nonblocking(&writer);
    fill(&writer);
    check::<B>(&writer, NONE, NONE);
    drop(reader);
    check::<B>(&writer, R | W, ERR);
}

fn a_unix_socket_whose_peer_closed_is_readable_and_writable<B: Backend + Default>() {
    let (a, b) = pair();
    drop(b);
    check::<B>(&a, R | W, HUP);
}

fn a_unix_socket_whose_peer_stopped_to_write_is_readable_and_writable<B: Backend + Default>() {
    let (a, b) = pair();
    b.shutdown(Shutdown::Write).unwrap();
    check::<B>(&a, R | W, NONE);
}

fn a_full_unix_socket_whose_peer_shut_down_is_readable<B: Backend + Default>() {
    let (a, b) = pair();
    fill(&a);
    b.shutdown(Shutdown::Both).unwrap();
    check::<B>(&a, R, HUP);
}

fn a_fresh_tcp_socket_is_readable_and_writable<B: Backend + Default>() {
    check::<B>(fresh_tcp(), R | W, HUP);
}

fn a_refused_connect_is_readable_and_writable<B: Backend + Default>() {
    let (_keeper, address) = address_that_refuses();
    let socket = fresh_tcp();
    start_to_connect(&socket, address);
    settle(&socket, PollFlags::POLLERR);
    check::<B>(&socket, R | W, HUP | ERR);
}

fn a_finished_connect_is_writable<B: Backend + Default>() {
    let (listener, address) = address_that_refuses();
    start_to_listen(&listener);
    let socket = fresh_tcp();
    start_to_connect(&socket, address);
    settle(&socket, PollFlags::POLLOUT);
    check::<B>(&socket, W, NONE);
}

fn a_reset_connection_is_readable_and_writable<B: Backend + Default>() {
    let (a, b) = tcp_pair();
    reset(b);
    settle(&a, PollFlags::POLLERR);
    check::<B>(&a, R | W, HUP | ERR);
}

fn a_tcp_socket_whose_peer_closed_is_readable_and_writable<B: Backend + Default>() {
    let (a, b) = tcp_pair();
    drop(b);
    settle(&a, PollFlags::POLLIN);
    check::<B>(&a, R | W, NONE);
}

fn a_tcp_socket_that_was_shut_down_both_ways_is_readable_and_writable<B: Backend + Default>() {
    let (a, b) = tcp_pair();
    b.shutdown(Shutdown::Write).unwrap();
    settle(&a, PollFlags::POLLIN);
    a.shutdown(Shutdown::Write).unwrap();
    settle(&a, PollFlags::POLLHUP);
    check::<B>(&a, R | W, HUP);
}

fn an_out_of_band_byte_is_priority<B: Backend + Default>() {
    let (a, b) = tcp_pair();
    send_out_of_band(&b);
    settle(&a, PollFlags::POLLPRI);
    check::<B>(&a, W | P, NONE);
    fill(&a);
    settle_full::<B>(&a);
    check::<B>(&a, P, NONE);
}

/// TCP moves what it took to the peer until that one is full as well.
fn settle_full<B: Backend + Default>(a: &TcpStream) {
    while !probe(&mut watching::<B>(a, WRITE)).is_empty() {
        fill(a);
    }
}

fn an_out_of_band_byte_after_data_is_priority_and_readable<B: Backend + Default>() {
    let (a, mut b) = tcp_pair();
    b.write_all(b"x").unwrap();
    send_out_of_band(&b);
    settle(&a, PollFlags::POLLPRI);
    settle(&a, PollFlags::POLLIN);
    check::<B>(&a, R | W | P, NONE);
}

fn an_out_of_band_byte_in_the_stream_is_priority_and_readable<B: Backend + Default>() {
    let (a, b) = tcp_pair();
    setsockopt(&a, sockopt::OobInline, &true).unwrap();
    send_out_of_band(&b);
    settle(&a, PollFlags::POLLPRI);
    settle(&a, PollFlags::POLLIN);
    check::<B>(&a, R | W | P, NONE);
}

fn an_out_of_band_byte_before_a_reset_is_priority_and_readable_and_writable<B>()
where
    B: Backend + Default,
{
    let (a, b) = tcp_pair();
    send_out_of_band(&b);
    settle(&a, PollFlags::POLLPRI);
    reset(b);
    settle(&a, PollFlags::POLLERR);
    check::<B>(&a, R | W | P, HUP | ERR);
}

fn a_listener_with_a_client_is_readable<B: Backend + Default>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    settle(&listener, PollFlags::POLLIN);
    check::<B>(&listener, R, NONE);
}

fn a_listener_without_a_client_is_nothing<B: Backend + Default>() {
    let listener = TcpListener::bind(SocketAddrV4::new([127, 0, 0, 1].into(), 0)).unwrap();
    check::<B>(&listener, NONE, NONE);
}

fn a_regular_file_is_readable_and_writable<B: Backend + Default>() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"x").unwrap();
    check::<B>(File::open(file.path()).unwrap(), R | W, NONE);
}

fn a_regular_file_at_its_end_is_readable_and_writable<B: Backend + Default>() {
    check::<B>(tempfile::tempfile().unwrap(), R | W, NONE);
}

fn the_null_device_is_readable_and_writable<B: Backend + Default>() {
    check::<B>(File::open("/dev/null").unwrap(), R | W, NONE);
    check::<B>(File::create("/dev/null").unwrap(), R | W, NONE);
}

fn an_eventfd_is_readable_when_counted_and_writable_until_full<B: Backend + Default>() {
    let counter = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap();
    check::<B>(&counter, W, NONE);
    counter.write(1).unwrap();
    check::<B>(&counter, R | W, NONE);
    counter.write(u64::MAX - 2).unwrap();
    check::<B>(&counter, R, NONE);
}

fn a_pty_with_nothing_to_say_is_writable<B: Backend + Default>() {
    let pty = nix::pty::openpty(None, None).unwrap();
    check::<B>(&pty.master, W, NONE);
    check::<B>(&pty.slave, W, NONE);
}

fn a_pty_master_with_data_is_readable<B: Backend + Default>() {
    let pty = nix::pty::openpty(None, None).unwrap();
    nix::unistd::write(&pty.slave, b"x").unwrap();
    settle(&pty.master, PollFlags::POLLIN);
    check::<B>(&pty.master, R | W, NONE);
}

fn a_pty_master_whose_slave_closed_is_readable_and_writable<B: Backend + Default>() {
    let pty = nix::pty::openpty(None, None).unwrap();
    drop(pty.slave);
    settle(&pty.master, PollFlags::POLLHUP);
    check::<B>(&pty.master, R | W, HUP);
}

fn a_pty_slave_whose_master_closed_is_readable_and_writable<B: Backend + Default>() {
    let pty = nix::pty::openpty(None, None).unwrap();
    drop(pty.master);
    settle(&pty.slave, PollFlags::POLLHUP);
    check::<B>(&pty.slave, R | W, HUP | ERR);
}
