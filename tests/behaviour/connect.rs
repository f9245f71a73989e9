//! Rows B23 to B35: connecting, and every way it fails.

use crate::common::{
    Log, Probe, assert_quiet, name_of, on_both_backends, poll_until, reactor, reset, wait_for,
};
use asyncore::{Channel, Family, Interest, State, Type};
use nix::{
    poll::PollFlags,
    sys::socket::{MsgFlags, getsockopt, send, sockopt::SocketError},
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
    time::Duration,
};

const REFUSED: [&str; 3] = ["a.error ECONNREFUSED", "a.close ECONNREFUSED", "a.drop"];

fn stream() -> Channel {
    Channel::create_socket(Family::Inet, Type::Stream).unwrap()
}

/// A channel whose connect is under way, or done as far as the kernel is concerned.
fn connecting_to(address: SocketAddr) -> Channel {
    let channel = stream();
    channel.connect(address).unwrap();
    assert_eq!(channel.state(), State::Connecting);
    channel
}

/// A channel that the kernel has connected, and the peer that accepted it.
fn connecting() -> (Channel, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let channel = connecting_to(listener.local_addr().unwrap());
    let (peer, _) = listener.accept().unwrap();
    peer.set_nodelay(true).unwrap();
    (channel, peer)
}

/// A socket that holds a port and does not listen, and a channel that was refused there.
fn refused() -> (Channel, Channel) {
    let holder = stream();
    holder.bind("127.0.0.1:0").unwrap();
    let channel = connecting_to(holder.local_addr().unwrap().as_inet().unwrap());
    wait_for(&channel, PollFlags::POLLOUT);
    (channel, holder)
}

/// A listener without room, who fills it, and a channel whose connect does not come to an end.
#[cfg(target_os = "linux")]
fn unanswered() -> (Channel, Channel, Vec<Channel>) {
    let listener = stream();
    listener.bind("127.0.0.1:0").unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_inet().unwrap();
    let filling = (0..3).map(|_| connecting_to(address)).collect();
    (connecting_to(address), listener, filling)
}

fn unix_listener() -> (UnixListener, PathBuf, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    (UnixListener::bind(&path).unwrap(), path, directory)
}

on_both_backends! {
    fn b23_a_connect_that_ends_is_told_then_there_is_room_to_write<B>() {
        let (channel, _peer) = connecting();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("connect", |cx| {
            assert_eq!(cx.state(), State::Connected);
            assert!(cx.peer_addr().is_ok());
            Ok(())
        });
        reactor.add_channel(channel, probe).unwrap();
        assert_eq!(log.take(), [""; 0]);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.connect", "a.write"]);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write"]);
    }

    fn b23_who_does_not_want_to_write_any_more_is_not_called<B>() {
        let (channel, _peer) = connecting();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("connect", |cx| {
            cx.pause(Interest::WRITE);
            Ok(())
        });
        reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.connect"]);
    }

    #[cfg(target_os = "linux")]
    fn b23_nothing_is_told_while_the_connect_is_under_way<B>() {
        let (channel, _listener, _filling) = unanswered();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
    }

    fn b23_what_was_pushed_while_connecting_is_sent_after_handle_connect<B>() {
        let (channel, mut peer) = connecting();
        channel.push(b"hello").unwrap();
        channel.shutdown(Shutdown::Write).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("connect", |cx| {
            assert_eq!(cx.queued(), 5);
            Ok(())
        });
        reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.connect"]);
        let mut received = String::new();
        peer.read_to_string(&mut received).unwrap();
        assert_eq!(received, "hello");
    }

    fn b24_data_that_is_there_already_comes_after_handle_connect_in_one_event<B>() {
        let (channel, mut peer) = connecting();
        peer.write_all(b"hello").unwrap();
        wait_for(&channel, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_eq!(log.take(), ["a.connect", "a.read hello", "a.write"]);
        peer.write_all(b"more").unwrap();
        poll_until(&mut reactor, || log.contains("a.read more"));
        assert_eq!(log.count("a.connect"), 0);
    }

    fn b24_an_end_of_file_that_is_there_already_comes_after_handle_connect<B>() {
        let (channel, mut peer) = connecting();
        peer.write_all(b"hello").unwrap();
        drop(peer);
        wait_for(&channel, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.connect", "a.read hello", "a.eof", "a.close", "a.drop"]);
    }

    fn b25_who_wants_nothing_is_told_that_it_is_connected<B>() {
        let (channel, mut peer) = connecting();
        channel.pause(Interest::READ | Interest::WRITE);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log).readable(false)).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.connect"]);
        peer.write_all(b"hello").unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
    }

    fn b25_who_does_not_want_to_write_is_told_that_it_is_connected<B>() {
        let (channel, _peer) = connecting();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.connect"]);
    }

    fn b25_who_wants_nothing_is_told_that_it_was_refused<B>() {
        let (channel, _holder) = refused();
        channel.pause(Interest::READ | Interest::WRITE);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log).readable(false)).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), REFUSED);
    }

    fn b26_a_connect_that_succeeds_at_once_is_told_in_the_next_pass<B>() {
        let (_listener, path, _directory) = unix_listener();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (family, kind, address) in [
            (Family::Unix, Type::Stream, path.to_str().unwrap().to_string()),
            (Family::Inet, Type::Datagram, udp.local_addr().unwrap().to_string()),
        ] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let channel = Channel::create_socket(family, kind).unwrap();
            let key = reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
            assert_quiet(&mut reactor);
            let channel = reactor.channel(key).unwrap();
            channel.connect(address).unwrap();
            assert_eq!(channel.state(), State::Connecting);
            assert_eq!(log.take(), [""; 0]);
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), ["a.connect"]);
            assert_eq!(reactor.channel(key).unwrap().state(), State::Connected);
            assert_quiet(&mut reactor);
        }
    }

    fn b26_a_connect_in_a_callback_is_told_in_the_next_pass<B>() {
        let (_listener, path, _directory) = unix_listener();
        let (starter, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("write", {
            let log = log.clone();
            move |cx| {
                let channel = Channel::create_socket(Family::Unix, Type::Stream)?;
                channel.connect(&path)?;
                cx.add_channel(channel, Probe::new("b", &log).writable(true))?;
                cx.pause(Interest::WRITE);
                log.push("connect returned");
                Ok(())
            }
        });
        reactor.add_channel(Channel::new(starter).unwrap(), probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write", "connect returned"]);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["b.connect", "b.write"]);
    }

    fn b26_a_datagram_that_nobody_took_is_no_failed_connect<B>() {
        let held = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Connected to itself, it takes nothing from others: the kernel refuses it for it.
        held.connect(held.local_addr().unwrap()).unwrap();
        let channel = Channel::create_socket(Family::Inet, Type::Datagram).unwrap();
        channel.connect(held.local_addr().unwrap()).unwrap();
        // Sent past the channel, which sends nothing before handle_connect.
        send(channel.as_fd().as_raw_fd(), b"hello", MsgFlags::empty()).unwrap();
        wait_for(&channel, PollFlags::POLLERR);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.connect", "a.error ECONNREFUSED"]);
        assert_eq!(reactor.len(), 1);
    }

    fn b28_a_refused_connect_is_an_error_then_a_close_and_nothing_else<B>() {
        let (channel, _holder) = refused();
        channel.push(b"never sent").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_eq!(log.take(), REFUSED);
        assert!(reactor.is_empty());
    }

    fn b28_a_foreign_socket_that_was_refused_is_an_error_then_a_close<B>() {
        for readable in [true, false] {
            let (channel, _holder) = refused();
            let channel = Channel::new(channel.into_fd().unwrap()).unwrap();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log).readable(readable);
            reactor.add_channel(channel, probe).unwrap();
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), REFUSED);
        }
    }

    fn b28_a_refusal_that_comes_later_is_told_then<B>() {
        let holder = stream();
        holder.bind("127.0.0.1:0").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = stream();
        let key = reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        assert_quiet(&mut reactor);
        let address = holder.local_addr().unwrap();
        reactor.channel(key).unwrap().connect(address).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), REFUSED);
    }

    fn b30_a_reset_before_handle_connect_is_an_error_then_a_close<B>() {
        for data in [&b""[..], b"lost"] {
            let (channel, mut peer) = connecting();
            peer.write_all(data).unwrap();
            reset(peer);
            wait_for(&channel, PollFlags::POLLERR);
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), ["a.error ECONNRESET", "a.close ECONNRESET", "a.drop"]);
            assert!(reactor.is_empty());
        }
    }

    fn b31_a_failed_connect_is_final_whatever_handle_error_says<B>() {
        let (channel, _holder) = refused();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).keep_on_error();
        reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), REFUSED);
        assert!(reactor.is_empty());
        assert_quiet(&mut reactor);
    }

    fn b31_what_handle_error_gives_up_with_is_the_cause<B>() {
        let (channel, _holder) = refused();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("error", |_| Err(io::Error::other("mine")));
        reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.error ECONNREFUSED", "a.close mine", "a.drop"]);
    }

    fn b31_sending_and_receiving_while_connecting_do_not_take_the_failure_away<B>() {
        let (channel, _holder) = refused();
        for result in [
            channel.send(b"x"),
            channel.send_vectored(&[io::IoSlice::new(b"x")]),
            channel.recv(&mut [0]),
            channel.recv_vectored(&mut [io::IoSliceMut::new(&mut [0])]),
            channel.recv_oob(&mut [0]),
            channel.send_oob(b"x"),
        ] {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), REFUSED);
    }

    fn b31_a_failure_that_somebody_else_took_is_still_a_failed_connect<B>() {
        let (channel, _holder) = refused();
        assert_ne!(getsockopt(&channel, SocketError).unwrap(), 0);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.error ENOTCONN", "a.close ENOTCONN", "a.drop"]);
    }

    #[cfg(target_os = "linux")]
    fn b32_a_full_unix_backlog_is_an_error_at_connect<B>() {
        let (path, directory) = {
            let directory = tempfile::tempdir().unwrap();
            (directory.path().join("socket"), directory)
        };
        let unix = || Channel::create_socket(Family::Unix, Type::Stream).unwrap();
        let listener = unix();
        listener.bind(&path).unwrap();
        listener.listen(0).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(unix(), Probe::new("a", &log)).unwrap();
        let mut filling = Vec::new();
        let error = loop {
            let channel = unix();
            match channel.connect(&path) {
                Ok(()) => filling.push(channel),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let channel = reactor.channel(key).unwrap();
        assert_eq!(name_of(&channel.connect(&path).unwrap_err()), "EAGAIN");
        assert_eq!(channel.state(), State::Unconnected);
        assert_quiet(&mut reactor);
        // As soon as there is room, the same channel connects.
        while listener.accept().unwrap().is_some() {}
        reactor.channel(key).unwrap().connect(&path).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.connect"]);
        drop(directory);
    }

    fn b33_a_connect_that_fails_at_once_leaves_the_channel_as_it_was<B>() {
        let missing = tempfile::tempdir().unwrap().path().join("missing");
        let missing = missing.to_str().unwrap();
        let cases = [
            (Family::Inet, "224.0.0.1:1", "ENETUNREACH"),
            (Family::Inet, "[::1]:1", "EAFNOSUPPORT"),
            (Family::Unix, missing, "ENOENT"),
            (Family::Inet, "no address", "\"no address\" is neither IP:PORT nor a path with a slash"),
        ];
        for (family, address, expected) in cases {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let channel = Channel::create_socket(family, Type::Stream).unwrap();
            let error = channel.connect(address).unwrap_err();
            if cfg!(target_os = "linux") {
                assert_eq!(name_of(&error), expected, "{address}");
            }
            assert_eq!(channel.state(), State::Unconnected);
            assert_eq!(name_of(&channel.peer_addr().unwrap_err()), "ENOTCONN");
            reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
            assert_quiet(&mut reactor);
            assert_eq!(log.take(), [""; 0]);
        }
    }

    fn b33_after_a_connect_that_failed_at_once_another_may_succeed<B>() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(stream(), Probe::new("a", &log)).unwrap();
        let channel = reactor.channel(key).unwrap();
        channel.connect("224.0.0.1:1").unwrap_err();
        channel.connect(listener.local_addr().unwrap()).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.connect"]);
    }

    fn b33_a_callback_may_return_the_error<B>() {
        let (_listener, path, _directory) = unix_listener();
        let (starter, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let missing = path.with_file_name("missing");
        let probe = Probe::new("a", &log).writable(true).keep_on_error().on("write", move |cx| {
            cx.pause(Interest::WRITE);
            let channel = Channel::create_socket(Family::Unix, Type::Stream)?;
            channel.connect(&missing)
        });
        reactor.add_channel(Channel::new(starter).unwrap(), probe).unwrap();
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.write", "a.error ENOENT"]);
        assert_eq!(reactor.len(), 1);
    }

    fn b34_a_second_connect_is_an_error_and_changes_nothing<B>() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = connecting_to(address);
        assert_eq!(name_of(&channel.connect(address).unwrap_err()), "EALREADY");
        assert_eq!(channel.state(), State::Connecting);
        let probe = Probe::new("a", &log).on("connect", move |cx| {
            assert_eq!(name_of(&cx.connect(address).unwrap_err()), "EISCONN");
            Ok(())
        });
        let key = reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        let channel = reactor.channel(key).unwrap();
        assert_eq!(name_of(&channel.connect(address).unwrap_err()), "EISCONN");
        assert_eq!(channel.state(), State::Connected);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.connect"]);
        let listening = Channel::new(listener).unwrap();
        assert_eq!(name_of(&listening.connect(address).unwrap_err()), "EINVAL");
        assert_eq!(listening.state(), State::Listening);
    }

    fn b35_nothing_comes_after_a_close_in_handle_connect<B>() {
        let (channel, mut peer) = connecting();
        peer.write_all(b"hello").unwrap();
        wait_for(&channel, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("connect", |cx| {
            cx.push(b"never sent")?;
            cx.close();
            Ok(())
        });
        reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.connect", "a.drop"]);
        assert!(reactor.is_empty());
    }

    fn b35_nothing_but_the_close_comes_after_a_failure_in_handle_connect<B>() {
        let (channel, mut peer) = connecting();
        peer.write_all(b"hello").unwrap();
        wait_for(&channel, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log)
            .writable(true)
            .on("connect", |_| Err(io::Error::other("mine")));
        reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.connect", "a.error mine", "a.close mine", "a.drop"]);
        assert!(reactor.is_empty());
    }

    #[cfg(target_os = "linux")]
    fn b35_nothing_comes_after_a_close_while_connecting<B>() {
        let (channel, _listener, _filling) = unanswered();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        assert_quiet(&mut reactor);
        reactor.channel(key).unwrap().close();
        reactor.poll(Some(Duration::ZERO)).unwrap();
        assert_quiet(&mut reactor);
        assert!(reactor.is_empty());
        assert_eq!(log.take(), ["a.drop"]);
    }

    #[cfg(target_os = "linux")]
    fn b35_a_shutdown_leaves_a_connect_under_way_alone<B>() {
        let (channel, _listener, _filling) = unanswered();
        channel.push(b"later").unwrap();
        for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
            channel.shutdown(how).unwrap();
        }
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        assert_quiet(&mut reactor);
        let channel = reactor.channel(key).unwrap();
        assert_eq!((channel.state(), channel.queued()), (State::Connecting, 5));
    }

    #[cfg(target_os = "linux")]
    fn b35_with_nothing_to_send_close_when_sent_does_not_wait_for_the_connect<B>() {
        let (channel, _listener, _filling) = unanswered();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        assert_quiet(&mut reactor);
        reactor.channel(key).unwrap().close_when_sent();
        reactor.poll(Some(Duration::ZERO)).unwrap();
        assert_eq!(log.take(), ["a.close", "a.drop"]);
    }

    fn b35_an_unconnected_idle_stream_socket_is_not_watched<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let bound = stream();
        bound.bind("127.0.0.1:0").unwrap();
        let unix = Channel::create_socket(Family::Unix, Type::Stream).unwrap();
        for channel in [stream(), bound, unix] {
            assert_eq!(channel.state(), State::Unconnected);
            reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
        }
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
        assert_eq!(reactor.len(), 3);
    }
}
