//! I6: who wants nothing is not watched, and what nobody handles is not watched for long.

use crate::common::{
    Log, Probe, assert_quiet, on_both_backends, pass, reactor, reset, run_out, tcp_pair, wait_for,
};
use asyncore::{Channel, Context, Dispatcher, Interest};
use nix::{
    poll::PollFlags,
    sys::socket::{MsgFlags, send},
};
use std::{
    cell::Cell,
    io::{self, Write, pipe},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    rc::Rc,
};

/// Handles nothing but the end, and everything is wanted.
struct Forgetful(Log);

impl Dispatcher for Forgetful {
    fn handle_close(&mut self, _: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        self.0.push(if cause.is_some() { "broken" } else { "close" });
        Ok(())
    }
}

on_both_backends! {
    fn i06_no_hang_up_of_any_kind_spins_on_who_wants_nothing<B>() {
        let (unix, unix_peer) = UnixStream::pair().unwrap();
        let (tcp, tcp_peer) = tcp_pair();
        let (broken, broken_peer) = tcp_pair();
        let (reader, reader_peer) = pipe().unwrap();
        let (writer_peer, writer) = pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let all: [OwnedFd; 5] =
            [unix.into(), tcp.into(), broken.into(), reader.into(), writer.into()];
        for fd in all {
            let probe = Probe::new("a", &log).readable(false);
            reactor.add_channel(Channel::new(fd).unwrap(), probe).unwrap();
        }
        drop((unix_peer, tcp_peer, reader_peer, writer_peer));
        reset(broken_peer);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
        assert_eq!(reactor.len(), 5);
    }

    /// A hang-up that its owner does not want to read, while he waits for room that never comes.
    fn i06_a_hang_up_does_not_spin_on_who_only_waits_for_room<B>() {
        let (ours, theirs) = tcp_pair();
        let channel = Channel::new(ours).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false);
        let key = reactor.add_channel(channel, probe).unwrap();
        reactor.channel(key).unwrap().push(&vec![0; 32 << 20]).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for(reactor.channel(key).unwrap(), PollFlags::POLLIN);
        while reactor.poll(Some(std::time::Duration::from_millis(10))).unwrap() > 0 {}
        assert_quiet(&mut reactor);
        assert!(reactor.channel(key).unwrap().queued() > 0);
        assert_eq!(log.take(), [""; 0]);
    }

    fn i06_what_nobody_handles_is_served_once<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = Channel::new(ours).unwrap();
        let key = reactor.add_channel(channel, Forgetful(log.clone())).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_quiet(&mut reactor);
        for interest in [Interest::READ, Interest::WRITE] {
            reactor.resume(key, interest);
            assert_eq!(pass(&mut reactor), 1);
            assert_quiet(&mut reactor);
        }
    }

    fn i06_urgent_data_that_nobody_handles_is_served_once<B>() {
        let (ours, theirs) = tcp_pair();
        send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        wait_for(&ours, PollFlags::POLLPRI);
        /// Reads, so that it is watched, and forgets `handle_expt`.
        struct Reads;
        impl Dispatcher for Reads {
            fn writable(&self, _: &Channel) -> bool {
                false
            }
            fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
                cx.recv(&mut [0; 8]).map(drop)
            }
        }
        let mut reactor = reactor::<B>();
        let key = reactor.add_channel(Channel::new(ours).unwrap(), Reads).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_quiet(&mut reactor);
        // Not even when something was read meanwhile.
        (&theirs).write_all(b"x").unwrap();
        assert_eq!(pass(&mut reactor), 1);
        send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        wait_for(reactor.channel(key).unwrap(), PollFlags::POLLPRI);
        assert_quiet(&mut reactor);
        reactor.resume(key, Interest::PRIORITY);
        assert_eq!(pass(&mut reactor), 1);
        assert_quiet(&mut reactor);
    }

    fn i06_an_end_that_nobody_reads_closes_all_the_same<B>() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Forgetful(log.clone())).unwrap();
        drop(theirs);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["close"]);
    }

    fn i06_a_reset_that_nobody_reads_closes_all_the_same<B>() {
        let (ours, theirs) = tcp_pair();
        let channel = Channel::new(ours).unwrap();
        reset(theirs);
        wait_for(&channel, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Forgetful(log.clone())).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["broken"]);
    }

    /// It answers "no" from its first callback on, so there is no second one.
    fn i06_an_answer_that_a_callback_changed_holds_in_the_next_pass<B>() {
        struct Once(Rc<Cell<bool>>, u32);
        impl Dispatcher for Once {
            fn readable(&self, _: &Channel) -> bool {
                self.0.get()
            }
            fn writable(&self, _: &Channel) -> bool {
                false
            }
            fn handle_read(&mut self, _: &mut Context<'_>) -> io::Result<()> {
                self.0.set(false);
                self.1 += 1;
                Ok(())
            }
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let open = Rc::new(Cell::new(true));
        let mut reactor = reactor::<B>();
        let channel = Channel::new(ours).unwrap();
        let key = reactor.add_channel(channel, Once(Rc::clone(&open), 0)).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_quiet(&mut reactor);
        open.set(true);
        assert!(reactor.touch(key));
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(reactor.get(key).unwrap().1, 2);
    }
}
