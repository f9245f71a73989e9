//! Rows B36 to B47: reading, and every way a connection ends.
#![cfg_attr(not(target_os = "linux"), allow(unused_imports, reason = "some rows are Linux's"))]

use crate::common::{
    Log, Probe, assert_quiet, name_of, on_both_backends, poll_until, reactor, read_available,
    reset, tcp_pair, wait_for,
};
use asyncore::{Backend, Channel, Context, Interest, Reactor, State, file_dispatcher};
use nix::{
    poll::PollFlags,
    sys::socket::{setsockopt, sockopt},
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, UdpSocket},
    os::{
        fd::AsFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    time::Duration,
};

const PENDING: usize = 60_000;

/// Channels with so much unread whose other end has gone.
fn hung_up() -> [Channel; 5] {
    let (unix, mut peer_of_unix) = UnixStream::pair().unwrap();
    peer_of_unix.write_all(&[b'x'; PENDING]).unwrap();
    let (tcp, mut peer_of_tcp) = tcp_pair();
    peer_of_tcp.write_all(&[b'x'; PENDING]).unwrap();
    let pipe = || {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&[b'x'; PENDING]).unwrap();
        reader
    };
    let (ended, mut peer_of_ended) = UnixStream::pair().unwrap();
    peer_of_ended.write_all(&[b'x'; PENDING]).unwrap();
    peer_of_ended.shutdown(Shutdown::Both).unwrap();
    [
        Channel::new(unix).unwrap(),
        Channel::new(tcp).unwrap(),
        Channel::new(pipe()).unwrap(),
        file_dispatcher(pipe()).unwrap(),
        Channel::new(ended).unwrap(),
    ]
}

/// Reads with a buffer of this size, and writes down what came.
fn read_with(size: usize, log: &Log) -> impl FnMut(&mut Context<'_>) -> io::Result<()> + 'static {
    let log = log.clone();
    move |cx| {
        let mut buffer = vec![0; size];
        let count = cx.recv(&mut buffer)?;
        log.push(format!("a.read {}", buffer[..count].escape_ascii()));
        Ok(())
    }
}

/// What arrives at the peer until its end, with passes in between.
fn all_that_arrives<B: Backend>(reactor: &mut Reactor<B>, peer: &UnixStream) -> Vec<u8> {
    peer.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    poll_until(reactor, || read_available(peer, &mut bytes));
    bytes
}

on_both_backends! {
    fn b36_everything_is_read_before_a_hang_up_closes<B>() {
        for channel in hung_up() {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
            reactor.run().unwrap();
            assert_eq!(log.bytes_read("a").len(), PENDING);
            let entries = log.take();
            assert_eq!(entries[entries.len() - 3..], ["a.eof", "a.close", "a.drop"]);
        }
    }

    fn b36_everything_is_read_by_someone_who_writes_as_well<B>() {
        for channel in hung_up() {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
            reactor.run().unwrap();
            assert_eq!(log.bytes_read("a").len(), PENDING);
            assert_eq!(log.count("a.close"), 1);
        }
    }

    fn b36_everything_is_read_though_reading_was_paused<B>() {
        for channel in hung_up() {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let key = reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
            reactor.pause(key, Interest::READ);
            assert_quiet(&mut reactor);
            assert_eq!(log.take(), [""; 0]);
            reactor.resume(key, Interest::READ);
            // Paused again in the middle.
            reactor.poll(None).unwrap();
            reactor.pause(key, Interest::READ);
            assert_quiet(&mut reactor);
            assert_eq!(log.bytes_read("a").len(), 4096);
            reactor.resume(key, Interest::READ);
            reactor.run().unwrap();
            assert_eq!(log.bytes_read("a").len(), PENDING);
            assert_eq!(log.count("a.close"), 1);
        }
    }

    fn b36_everything_is_read_with_a_small_buffer<B>() {
        for channel in hung_up() {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log).on("read", read_with(100, &log));
            reactor.add_channel(channel, probe).unwrap();
            reactor.run().unwrap();
            assert_eq!(log.bytes_read("a").len(), PENDING);
            assert_eq!(log.count("a.close"), 1);
        }
    }

    #[cfg(target_os = "linux")]
    fn b36_everything_is_read_before_a_reset_closes<B>() {
        // Who closes with something unread resets the connection.
        let (tcp, mut peer_of_tcp) = tcp_pair();
        let (unix, mut peer_of_unix) = UnixStream::pair().unwrap();
        (&tcp).write_all(b"unread").unwrap();
        (&unix).write_all(b"unread").unwrap();
        wait_for(&peer_of_tcp, PollFlags::POLLIN);
        peer_of_tcp.write_all(&[b'x'; PENDING]).unwrap();
        peer_of_unix.write_all(&[b'x'; PENDING]).unwrap();
        let channels = [Channel::new(tcp).unwrap(), Channel::new(unix).unwrap()];
        drop((peer_of_tcp, peer_of_unix));
        for channel in channels {
            wait_for(&channel, PollFlags::POLLERR);
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(channel, Probe::new("a", &log).writable(true)).unwrap();
            reactor.run().unwrap();
            assert_eq!(log.bytes_read("a").len(), PENDING);
            let entries = log.take();
            assert_eq!(entries[entries.len() - 2..], ["a.close ECONNRESET", "a.drop"]);
        }
    }

    fn b36_everything_is_read_after_a_send_found_the_connection_broken<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[b'x'; PENDING]).unwrap();
        drop(theirs);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe =
            Probe::new("a", &log).writable(true).on("write", |cx| cx.send(b"x").map(drop));
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.bytes_read("a").len(), PENDING);
        assert_eq!(log.count("a.write"), 1, "nothing can be sent any more");
        let entries = log.take();
        assert_eq!(entries[entries.len() - 3..], ["a.eof", "a.close EPIPE", "a.drop"]);
    }

    fn b37_an_end_of_file_is_read_then_closed<B>() {
        let (tcp, peer_of_tcp) = tcp_pair();
        let (unix, peer_of_unix) = UnixStream::pair().unwrap();
        let (pipe, writer) = io::pipe().unwrap();
        drop((peer_of_tcp, peer_of_unix, writer));
        wait_for(&tcp, PollFlags::POLLIN);
        for channel in [Channel::new(tcp), Channel::new(unix), Channel::new(pipe)] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(channel.unwrap(), Probe::new("a", &log)).unwrap();
            assert_eq!(reactor.poll(None).unwrap(), 1);
            assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
            assert!(reactor.is_empty());
        }
    }

    fn b37_the_close_comes_after_the_callback_and_not_inside_recv<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("read", {
            let log = log.clone();
            move |cx| {
                assert_eq!(cx.recv(&mut [0; 8])?, 0);
                assert_eq!(cx.recv(&mut [0; 8])?, 0);
                assert_eq!(cx.state(), State::Connected);
                log.push("returned");
                Ok(())
            }
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.read", "returned", "a.close", "a.drop"]);
    }

    fn b37_a_read_into_no_buffer_is_no_end_of_file<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut reads = 0;
        let probe = Probe::new("a", &log).on("read", move |cx| {
            reads += 1;
            if reads == 1 {
                assert_eq!(cx.recv(&mut [])?, 0);
                assert_eq!(cx.recv_vectored(&mut [])?, 0);
                return Ok(());
            }
            cx.recv(&mut [0; 8]).map(drop)
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.poll(None).unwrap();
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.read", "a.read"]);
        assert_eq!(reactor.len(), 1);
    }

    fn b38_an_end_of_file_while_writable_is_not_followed_by_handle_write<B>() {
        let (tcp, peer_of_tcp) = tcp_pair();
        let (unix, peer_of_unix) = UnixStream::pair().unwrap();
        drop((peer_of_tcp, peer_of_unix));
        wait_for(&tcp, PollFlags::POLLIN);
        for channel in [Channel::new(tcp), Channel::new(unix)] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log).writable(true);
            reactor.add_channel(channel.unwrap(), probe).unwrap();
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
        }
    }

    fn b39_a_reset_closes_once_with_its_cause<B>() {
        for writable in [false, true] {
            let (ours, theirs) = tcp_pair();
            let channel = Channel::new(ours).unwrap();
            reset(theirs);
            wait_for(&channel, PollFlags::POLLERR);
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(channel, Probe::new("a", &log).writable(writable)).unwrap();
            assert_eq!(reactor.poll(None).unwrap(), 1);
            assert_eq!(log.take(), ["a.close ECONNRESET", "a.drop"]);
            assert!(reactor.is_empty());
        }
    }

    fn b39_a_reset_that_came_before_there_was_a_channel_closes_with_its_cause<B>() {
        let (ours, theirs) = tcp_pair();
        reset(theirs);
        wait_for(&ours, PollFlags::POLLERR);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.close ECONNRESET", "a.drop"]);
    }

    fn b39_a_reset_closes_with_its_cause_though_the_callback_swallows_it<B>() {
        let (ours, theirs) = tcp_pair();
        let channel = Channel::new(ours).unwrap();
        reset(theirs);
        wait_for(&channel, PollFlags::POLLERR);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).keep_on_error().on("read", |cx| {
            assert_eq!(name_of(&cx.recv(&mut [0; 8]).unwrap_err()), "ECONNRESET");
            Ok(())
        });
        reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.read", "a.close ECONNRESET", "a.drop"]);
    }

    fn b39_a_reset_closes_who_only_writes<B>() {
        let (ours, theirs) = tcp_pair();
        let channel = Channel::new(ours).unwrap();
        reset(theirs);
        wait_for(&channel, PollFlags::POLLERR);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log)
            .readable(false)
            .writable(true)
            .on("write", |cx| cx.send(b"x").map(drop));
        reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write", "a.close ECONNRESET", "a.drop"]);
    }

    fn b41_what_was_pushed_is_sent_before_an_end_of_file_closes<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("read", |cx| {
            assert_eq!(cx.recv(&mut [0; 8])?, 0);
            cx.push(b", goodbye")
        });
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let channel = reactor.channel(key).unwrap();
        channel.push(&vec![b'x'; 1 << 20]).unwrap();
        assert!(channel.queued() > 0);
        theirs.shutdown(Shutdown::Write).unwrap();
        // The peer takes nothing yet: neither a close nor a busy loop.
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.read"]);
        let received = all_that_arrives(&mut reactor, &theirs);
        assert_eq!(received.len(), (1 << 20) + 9);
        assert!(received.ends_with(b"xx, goodbye"));
        assert_eq!(log.take(), ["a.close", "a.drop"]);
    }

    fn b41_a_peer_that_resets_ends_the_wait_for_what_was_pushed<B>() {
        let (ours, theirs) = tcp_pair();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor
            .add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log))
            .unwrap();
        reactor.channel(key).unwrap().push(&vec![b'x'; 32 << 20]).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        poll_until(&mut reactor, || log.contains("a.eof"));
        assert_eq!(log.take(), ["a.eof"]);
        reset(theirs);
        reactor.run().unwrap();
        let cause = if cfg!(target_os = "linux") { "EPIPE" } else { "ECONNRESET" };
        assert_eq!(log.take(), [format!("a.close {cause}"), "a.drop".into()]);
    }

    fn b41_with_half_close_only_reading_ends<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.set_half_close(true);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.eof"]);
        assert_quiet(&mut reactor);
        let channel = reactor.channel(key).unwrap();
        channel.push(&vec![b'x'; 1 << 20]).unwrap();
        // The channel outlives an empty queue, but not the end of its own output.
        theirs.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        poll_until(&mut reactor, || {
            assert!(!read_available(&theirs, &mut received));
            received.len() == 1 << 20
        });
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
        let channel = reactor.channel(key).unwrap();
        channel.push(b"goodbye").unwrap();
        channel.shutdown(Shutdown::Write).unwrap();
        received.clear();
        poll_until(&mut reactor, || read_available(&theirs, &mut received) && log.contains("a.drop"));
        assert_eq!(received, b"goodbye");
        assert_eq!(log.take(), ["a.close", "a.drop"]);
    }

    fn b41_with_half_close_a_channel_may_go_on_writing<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.set_half_close(true);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log)
            .writable(true)
            .on("write", |cx| cx.send(b"x").map(drop));
        reactor.add_channel(channel, probe).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        reactor.poll(None).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.eof", "a.write", "a.write"]);
        drop(theirs);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write", "a.close EPIPE", "a.drop"]);
    }

    fn b41_with_half_close_an_own_end_before_the_peers_closes_at_the_peers<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.set_half_close(true);
        channel.shutdown(Shutdown::Write).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
        theirs.write_all(b"answer").unwrap();
        reactor.poll(None).unwrap();
        drop(theirs);
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.read answer", "a.eof", "a.close", "a.drop"]);
    }

    fn b41_an_own_end_without_half_close_still_reads_the_answer<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.shutdown(Shutdown::Write).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
        theirs.write_all(b"answer").unwrap();
        drop(theirs);
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.read answer", "a.eof", "a.close", "a.drop"]);
    }

    fn b42_the_reactor_closes_though_handle_close_does_not<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("close", |cx| {
            // It even tries to live on.
            cx.resume(Interest::READ);
            cx.set_half_close(true);
            Ok(())
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
        assert!(reactor.is_empty());
        assert_eq!((&theirs).read(&mut [0]).unwrap(), 0, "the descriptor is still open");
    }

    fn b42_a_close_in_handle_close_is_harmless<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("close", |cx| {
            cx.close();
            cx.close_channel(cx.key());
            Ok(())
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn b44_a_recv_that_would_block_is_not_an_error<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("read", |cx| {
            loop {
                cx.recv(&mut [0; 3])?;
            }
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        for _ in 0..2 {
            theirs.write_all(b"hello").unwrap();
            reactor.poll(None).unwrap();
            assert_quiet(&mut reactor);
        }
        assert_eq!(log.take(), ["a.read", "a.read"]);
        assert_eq!(reactor.len(), 1);
    }

    fn b44_nor_is_it_in_any_other_callback<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log)
            .writable(true)
            .on("write", |cx| cx.recv(&mut [0; 3]).map(drop));
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let error = reactor.channel(key).unwrap().recv(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        reactor.poll(None).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write", "a.write"]);
    }

    fn b45_a_send_on_a_closed_connection_closes_with_epipe<B>() {
        let (unix, peer_of_unix) = UnixStream::pair().unwrap();
        let (reader, pipe) = io::pipe().unwrap();
        drop((peer_of_unix, reader));
        for channel in [Channel::new(unix), Channel::new(pipe)] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log)
                .readable(false)
                .writable(true)
                .keep_on_error()
                .on("write", |cx| cx.send(b"x").map(drop));
            reactor.add_channel(channel.unwrap(), probe).unwrap();
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), ["a.write", "a.close EPIPE", "a.drop"]);
        }
    }

    #[cfg(target_os = "linux")]
    fn b45_a_connection_that_timed_out_closes_with_its_cause<B>() {
        let (ours, _theirs) = tcp_pair();
        setsockopt(&ours, sockopt::TcpUserTimeout, &1).unwrap();
        let channel = Channel::new(ours).unwrap();
        // The peer's window is full and stays so.
        while channel.send(&[0; 1 << 16]).is_ok() {}
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.close ETIMEDOUT", "a.drop"]);
    }

    fn b45_ebadf_is_a_bug_and_not_a_disconnect<B>() {
        // Open for writing only: reading is EBADF, and the connection is as good as before.
        let (_reader, pipe) = io::pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).keep_on_error().on("write", |cx| {
            cx.pause(Interest::WRITE);
            cx.recv(&mut [0]).map(drop)
        });
        let key = reactor.add_channel(Channel::new(pipe).unwrap(), probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write", "a.error EBADF"]);
        assert_quiet(&mut reactor);
        assert_eq!(reactor.channel(key).unwrap().send(b"x").unwrap(), 1);
    }

    fn b46_an_empty_datagram_is_data<B>() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (unix, unix_sender) =
            (UnixDatagram::bind(&path).unwrap(), UnixDatagram::unbound().unwrap());
        unix_sender.connect(&path).unwrap();
        let (udp, udp_sender) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        udp_sender.connect(udp.local_addr().unwrap()).unwrap();
        let send_udp = |data: &[u8]| udp_sender.send(data);
        let send_unix = |data: &[u8]| unix_sender.send(data);
        type Send<'a> = &'a dyn Fn(&[u8]) -> io::Result<usize>;
        let cases: [(_, Send<'_>); 2] =
            [(Channel::new(udp), &send_udp), (Channel::new(unix), &send_unix)];
        for (channel, send) in cases {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(channel.unwrap(), Probe::new("a", &log)).unwrap();
            for data in [b"".as_slice(), b"hello", b""] {
                send(data).unwrap();
                reactor.poll(None).unwrap();
            }
            assert_quiet(&mut reactor);
            // The probe takes 0 bytes for an end of file; the reactor must not.
            assert_eq!(log.take(), ["a.eof", "a.read hello", "a.eof"]);
            assert_eq!(reactor.len(), 1);
        }
    }

    fn b46_an_unreachable_port_is_an_error_that_the_socket_survives<B>() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Connected to itself, it takes nothing from others: the kernel refuses it for it.
        peer.connect(peer.local_addr().unwrap()).unwrap();
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let our_address = ours.local_addr().unwrap();
        ours.connect(peer.local_addr().unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor
            .add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log))
            .unwrap();
        for _ in 0..2 {
            let channel = reactor.channel(key).unwrap();
            channel.send(b"x").unwrap();
            wait_for(channel, PollFlags::POLLERR);
            reactor.poll(None).unwrap();
            assert_quiet(&mut reactor);
            assert_eq!(log.take(), ["a.error ECONNREFUSED"]);
        }
        peer.connect(our_address).unwrap();
        peer.send(b"hello").unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.read hello"]);
    }

    fn b46_an_unreachable_port_is_told_to_who_only_writes<B>() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.connect(peer.local_addr().unwrap()).unwrap();
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        ours.connect(peer.local_addr().unwrap()).unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.send(b"x").unwrap();
        wait_for(&channel, PollFlags::POLLERR);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log)
            .readable(false)
            .writable(true)
            .on("write", |cx| cx.send(b"x").map(drop));
        reactor.add_channel(channel, probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write", "a.error ECONNREFUSED"]);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write"]);
        assert_eq!(reactor.len(), 1);
    }

    fn b47_after_a_close_sending_and_receiving_are_errors_without_a_callback<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("read", |cx| {
            cx.push(b"dropped")?;
            cx.close();
            cx.close();
            assert_closed(cx);
            // To return it is no failure either.
            cx.send(b"y").map(drop)
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.read", "a.drop"]);
        assert!(reactor.is_empty());
    }

    fn b47_the_same_from_outside_of_a_callback<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true);
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let channel = reactor.channel(key).unwrap();
        channel.close();
        channel.close();
        assert_closed(channel);
        reactor.poll(Some(Duration::ZERO)).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.drop"]);
        assert!(reactor.channel(key).is_none());
        assert!(!reactor.close_channel(key));
    }

    fn b47_no_handle_close_comes_though_the_peer_had_closed_as_well<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("read", |cx| {
            assert_eq!(cx.recv(&mut [0])?, 0);
            cx.close();
            Ok(())
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.read", "a.drop"]);
    }
}

#[track_caller]
fn assert_closed(channel: &Channel) {
    assert_eq!(channel.state(), State::Closed);
    assert_eq!(channel.queued(), 0);
    let errors = [
        channel.recv(&mut [0]).map(drop),
        channel.recv_vectored(&mut [io::IoSliceMut::new(&mut [0])]).map(drop),
        channel.recv_from(&mut [0]).map(drop),
        channel.recv_oob(&mut [0]).map(drop),
        channel.send(b"x").map(drop),
        channel.send_vectored(&[io::IoSlice::new(b"x")]).map(drop),
        channel.send_to(b"x", "127.0.0.1:1").map(drop),
        channel.send_oob(b"x").map(drop),
        channel.push(b"x"),
        channel.shutdown(Shutdown::Both),
        channel.connect("127.0.0.1:1"),
        channel.listen(1),
        channel.accept().map(drop),
    ];
    for (index, result) in errors.into_iter().enumerate() {
        let kind = result.unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::NotConnected, "the call at {index}");
    }
    // It is only marked so far.
    let _ = channel.as_fd();
}
