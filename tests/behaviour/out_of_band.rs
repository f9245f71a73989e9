//! Rows B48 to B52: out-of-band data.

use crate::common::{
    Log, Probe, assert_quiet, name_of, on_both_backends, pass, poll_until, reactor, reset, run_out,
    tcp_pair, wait_for,
};
use asyncore::{Channel, Context, Dispatcher};
use nix::{
    poll::PollFlags,
    sys::socket::{MsgFlags, send, setsockopt, sockopt},
};
use std::{
    io::{self, Write},
    net::TcpStream,
    os::{fd::AsRawFd, unix::net::UnixStream},
};

/// Sends one urgent byte past the stream.
fn send_urgent(stream: &impl AsRawFd, byte: u8) -> nix::Result<usize> {
    send(stream.as_raw_fd(), &[byte], MsgFlags::MSG_OOB)
}

/// A connection on whose first end `before` and then an urgent `!` have arrived.
fn tcp_with_urgent_byte(before: &[u8]) -> (TcpStream, TcpStream) {
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(before).unwrap();
    send_urgent(&theirs, b'!').unwrap();
    wait_for(&ours, PollFlags::POLLPRI);
    (ours, theirs)
}

/// A hook that takes the urgent byte and writes down which one it was.
fn take_urgent(log: &Log) -> impl FnMut(&mut Context<'_>) -> io::Result<()> + 'static {
    let log = log.clone();
    move |cx| {
        let mut byte = [0; 8];
        let count = cx.recv_oob(&mut byte)?;
        log.push(format!("urgent {}", byte[..count].escape_ascii()));
        Ok(())
    }
}

/// Takes urgent bytes, and leaves everything else to the defaults.
struct OnlyExpt(Log);

impl Dispatcher for OnlyExpt {
    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        take_urgent(&self.0)(cx)
    }
}

on_both_backends! {
    fn b48_an_urgent_byte_is_told_by_handle_expt_which_takes_it<B>() {
        let (ours, _theirs) = tcp_with_urgent_byte(b"");
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("expt", take_urgent(&log));
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.expt", "urgent !"]);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
    }

    /// The client of CPython's `test_handle_expt` overrides nothing else.
    fn b48_who_handles_nothing_else_hears_of_an_urgent_byte<B>() {
        for before in [&b""[..], b"ab"] {
            let (ours, mut theirs) = tcp_pair();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let channel = Channel::new(ours).unwrap();
            let key = reactor.add_channel(channel, OnlyExpt(log.clone())).unwrap();
            theirs.write_all(before).unwrap();
            wait_for(reactor.channel(key).unwrap(), PollFlags::POLLIN | PollFlags::POLLOUT);
            pass(&mut reactor);
            send_urgent(&theirs, b'!').unwrap();
            poll_until(&mut reactor, || log.contains("urgent !"));
            assert_quiet(&mut reactor);
            assert_eq!(log.take(), ["urgent !"]);
        }
    }

    fn b48_every_urgent_byte_that_is_taken_is_followed_by_the_next<B>() {
        let (ours, theirs) = tcp_with_urgent_byte(b"");
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("expt", take_urgent(&log));
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        send_urgent(&theirs, b'?').unwrap();
        poll_until(&mut reactor, || log.contains("urgent ?"));
        assert_eq!(log.take(), ["a.expt", "urgent !", "a.expt", "urgent ?"]);
        assert_quiet(&mut reactor);
    }

    fn b48_an_urgent_byte_that_nobody_takes_does_not_spin<B>() {
        let (ours, mut theirs) = tcp_with_urgent_byte(b"");
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.expt"]);
        // Reading goes past the mark, so the next urgent byte is news again.
        theirs.write_all(b"cd").unwrap();
        poll_until(&mut reactor, || log.contains("a.read cd"));
        send_urgent(&theirs, b'?').unwrap();
        poll_until(&mut reactor, || log.contains("a.expt"));
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.read cd", "a.expt"]);
    }

    fn b48_without_an_urgent_byte_taking_it_would_block<B>() {
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(b"x").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let seen = log.clone();
        let probe = Probe::new("a", &log).on("read", move |cx| {
            assert_eq!(cx.recv(&mut [0; 8])?, 1);
            let error = cx.recv_oob(&mut [0; 8]).unwrap_err();
            seen.push(error.kind().to_string());
            Err(error)
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.read", &io::ErrorKind::WouldBlock.to_string()]);
        assert_quiet(&mut reactor);
    }

    fn b48_a_channel_sends_urgent_bytes_itself_but_never_past_its_queue<B>() {
        let (ours, theirs) = tcp_pair();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key =
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        assert_eq!(reactor.channel(key).unwrap().send_oob(b"!").unwrap(), 1);
        wait_for(&theirs, PollFlags::POLLPRI);

        reactor.channel(key).unwrap().push(&vec![b'x'; 16 << 20]).unwrap();
        let error = reactor.channel(key).unwrap().send_oob(b"?").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    /// A Unix socket's urgent byte makes it readable as well, and a read that finds nothing else
    /// throws it away; so this one does not read.
    #[cfg(target_os = "linux")]
    fn b48_an_urgent_byte_comes_over_a_unix_socket<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        if send_urgent(&theirs, b'!').is_err() {
            return; // A kernel without CONFIG_AF_UNIX_OOB.
        }
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false).writable(true);
        let probe = probe.on("expt", take_urgent(&log));
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.write", "a.expt", "urgent !"]);
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.write"]);
    }

    fn b49_reading_stops_at_the_mark_and_goes_on_behind_it<B>() {
        let (ours, mut theirs) = tcp_with_urgent_byte(b"ab");
        theirs.write_all(b"cd").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("expt", take_urgent(&log));
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        poll_until(&mut reactor, || log.contains("a.read cd"));
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.read ab", "a.expt", "urgent !", "a.read cd"]);
    }

    fn b49_an_ignored_urgent_byte_is_missing_from_the_stream<B>() {
        let (ours, mut theirs) = tcp_with_urgent_byte(b"ab");
        theirs.write_all(b"cd").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        poll_until(&mut reactor, || log.contains("a.read cd"));
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.read ab", "a.expt", "a.read cd"]);
    }

    #[cfg(target_os = "linux")]
    fn b49_reading_stops_at_the_mark_of_a_unix_socket<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"ab").unwrap();
        if send_urgent(&theirs, b'!').is_err() {
            return; // A kernel without CONFIG_AF_UNIX_OOB.
        }
        theirs.write_all(b"cd").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("expt", take_urgent(&log));
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        poll_until(&mut reactor, || log.contains("a.read cd"));
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.read ab", "a.expt", "urgent !", "a.read cd"]);
    }

    fn b50_inline_the_byte_is_in_the_stream_and_handle_expt_tells_of_it<B>() {
        let (ours, theirs) = tcp_pair();
        setsockopt(&ours, sockopt::OobInline, &true).unwrap();
        (&theirs).write_all(b"ab").unwrap();
        send_urgent(&theirs, b'!').unwrap();
        wait_for(&ours, PollFlags::POLLPRI);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        poll_until(&mut reactor, || log.contains("a.read !"));
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["a.read ab", "a.expt", "a.read !"]);
        (&theirs).write_all(b"cd").unwrap();
        poll_until(&mut reactor, || log.contains("a.read cd"));
        assert_eq!(log.take(), ["a.read cd"]);
    }

    fn b52_an_error_beside_an_urgent_byte_closes_once<B>() {
        let (ours, theirs) = tcp_with_urgent_byte(b"");
        reset(theirs);
        wait_for(&ours, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.close ECONNRESET", "a.drop"]);
    }

    fn b52_an_error_beside_an_urgent_byte_closes_who_only_writes_once<B>() {
        let (ours, theirs) = tcp_with_urgent_byte(b"");
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = Channel::new(ours).unwrap();
        reset(theirs);
        wait_for(&channel, PollFlags::POLLIN);
        let seen = log.clone();
        let probe = Probe::new("a", &log).readable(false).writable(true).on("write", move |cx| {
            let error = cx.send(b"x").unwrap_err();
            seen.push(name_of(&error));
            Err(error)
        });
        reactor.add_channel(channel, probe).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.write", "ECONNRESET", "a.close ECONNRESET", "a.drop"]);
    }
}
