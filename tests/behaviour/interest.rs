//! Rows B15 to B22: what a channel is watched for.

use crate::common::{
    Log, Probe, Silent, assert_quiet, on_both_backends, poll_until, reactor, reset, tcp_pair,
    wait_for,
};
use asyncore::{Backend, Channel, Context, Dispatcher, Interest, Key, Reactor};
use nix::{
    poll::PollFlags,
    sys::socket::{MsgFlags, send},
};
use std::{
    cell::Cell,
    io::{self, Read, Write},
    net::TcpStream,
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

/// A dispatcher whose answer to `readable` depends on something outside.
struct Switched {
    on: Rc<Cell<bool>>,
    log: Log,
    /// Switches itself off when it is called.
    once: bool,
}

impl Dispatcher for Switched {
    fn readable(&self, _: &Channel) -> bool {
        self.on.get()
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        self.log.push("read");
        if self.once {
            self.on.set(false);
        }
        Ok(())
    }
}

/// A channel with unread data whose dispatcher is switched off.
fn switched_off<B: Backend>(
    reactor: &mut Reactor<B>,
    once: bool,
) -> (Key<Switched>, Rc<Cell<bool>>, Log, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    let (on, log) = (Rc::new(Cell::new(false)), Log::default());
    let dispatcher = Switched { on: on.clone(), log: log.clone(), once };
    let key = reactor.add_channel(Channel::new(ours).unwrap(), dispatcher).unwrap();
    assert_quiet(reactor);
    (key, on, log, theirs)
}

fn send_oob(stream: &TcpStream) {
    send(stream.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
}

/// Channels whose end is there already, and what their dispatcher is told when it looks.
fn ended() -> Vec<(Channel, &'static [&'static str])> {
    const EOF: &[&str] = &["a.eof", "a.close", "a.drop"];
    const RESET: &[&str] = &["a.close ECONNRESET", "a.drop"];
    let (fin, peer_of_fin) = tcp_pair();
    let (rst, peer_of_rst) = tcp_pair();
    let (hup, peer_of_hup) = UnixStream::pair().unwrap();
    let [fin, rst] = [fin, rst].map(|end| Channel::new(end).unwrap());
    let hup = Channel::new(hup).unwrap();
    drop((peer_of_fin, peer_of_hup));
    reset(peer_of_rst);
    for end in [&fin, &rst, &hup] {
        wait_for(end, PollFlags::POLLIN);
    }
    let (pipe, writer) = io::pipe().unwrap();
    drop(writer);
    let (reader, broken_pipe) = io::pipe().unwrap();
    drop(reader);
    vec![
        (fin, EOF),
        (rst, RESET),
        (hup, EOF),
        (Channel::new(pipe).unwrap(), EOF),
        (Channel::new(broken_pipe).unwrap(), &["a.close EPIPE", "a.drop"]),
    ]
}

on_both_backends! {
    fn b15_readable_and_writable_are_true_unless_said_otherwise<B>() {
        struct Handler(Log);
        impl Dispatcher for Handler {
            fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
                self.0.push("read");
                cx.recv(&mut [0; 8]).map(drop)
            }

            fn handle_write(&mut self, _: &mut Context<'_>) -> io::Result<()> {
                self.0.push("write");
                Ok(())
            }
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Handler(log.clone())).unwrap();
        reactor.poll(None).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["read", "write", "write"]);
    }

    fn b15_a_touch_has_the_answer_asked_again<B>() {
        let mut reactor = reactor::<B>();
        type Touch<B> = fn(&mut Reactor<B>, Key<Switched>) -> bool;
        let touches: [Touch<B>; 4] = [
            |reactor, key| reactor.touch(key),
            |reactor, key| reactor.get_mut(key).is_some(),
            |reactor, key| reactor.channel(key).is_some(),
            |reactor, key| reactor.resume(key, Interest::READ),
        ];
        for touch in touches {
            let (key, on, log, _theirs) = switched_off(&mut reactor, false);
            on.set(true);
            assert!(touch(&mut reactor, key));
            assert_eq!(reactor.poll(None).unwrap(), 1);
            on.set(false);
            assert!(touch(&mut reactor, key));
            assert_quiet(&mut reactor);
            assert_eq!(log.take(), ["read"]);
        }
    }

    fn b15_a_dispatcher_is_asked_again_after_its_own_callbacks<B>() {
        let mut reactor = reactor::<B>();
        let (key, on, log, _theirs) = switched_off(&mut reactor, true);
        on.set(true);
        reactor.touch(key);
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["read"]);
    }

    fn b15_an_answer_changed_by_another_callback_holds_in_the_same_pass<B>() {
        let mut pairs: Vec<_> = (0..2).map(|_| UnixStream::pair().unwrap()).collect();
        pairs.sort_by_key(|(ours, _)| ours.as_raw_fd());
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let [(first, mut peer_of_first), (second, mut peer_of_second)]: [_; 2] =
            pairs.try_into().unwrap();
        peer_of_first.write_all(b"x").unwrap();
        peer_of_second.write_all(b"y").unwrap();
        let second = Channel::new(second).unwrap();
        let second = reactor.add_channel(second, Probe::new("b", &log)).unwrap();
        let mut wants = false;
        let probe = Probe::new("a", &log).on("read", move |cx| {
            cx.get_mut(second).unwrap().readable = wants;
            wants = true;
            Ok(())
        });
        reactor.add_channel(Channel::new(first).unwrap(), probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.read"], "called in the pass in which it had been switched off");
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.read"], "called without having been watched");
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.read", "b.read y"]);
    }

    #[cfg(debug_assertions)]
    fn b15_a_change_that_nothing_touched_panics_in_debug_builds<B>() {
        let mut reactor = reactor::<B>();
        let (key, on, ..) = switched_off(&mut reactor, false);
        on.set(true);
        let poll = AssertUnwindSafe(|| reactor.poll(Some(std::time::Duration::ZERO)));
        let panic = catch_unwind(poll).unwrap_err();
        let message = panic.downcast::<String>().unwrap();
        assert!(message.contains(&format!("{:?}", key.untyped())), "{message}");
        assert!(message.contains("nothing touched it"), "{message}");
    }

    #[cfg(not(debug_assertions))]
    fn b15_a_change_that_nothing_touched_is_not_noticed_in_release_builds<B>() {
        let mut reactor = reactor::<B>();
        let (key, on, log, _theirs) = switched_off(&mut reactor, false);
        on.set(true);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
        reactor.touch(key);
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["read"]);
    }

    fn b15_who_asks_every_pass_needs_no_touch<B>() {
        let mut reactor = Reactor::builder().backend(B::default()).ask_every_pass(true).build();
        let (_, on, log, _theirs) = switched_off(&mut reactor, false);
        on.set(true);
        assert_eq!(reactor.poll(None).unwrap(), 1);
        on.set(false);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["read"]);
    }

    fn b16_write_is_never_watched_while_listening<B>() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let unix = Channel::new(UnixListener::bind(&path).unwrap()).unwrap();
        let tcp = Channel::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let address = tcp.local_addr().unwrap().as_inet().unwrap();
        reactor.add_channel(unix, Probe::new("unix", &log).writable(true)).unwrap();
        reactor.add_channel(tcp, Probe::new("tcp", &log).writable(true)).unwrap();
        assert_quiet(&mut reactor);
        let _unix_client = UnixStream::connect(&path).unwrap();
        poll_until(&mut reactor, || log.contains("unix.accepted"));
        let _tcp_client = TcpStream::connect(address).unwrap();
        poll_until(&mut reactor, || log.contains("tcp.accepted"));
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), ["unix.accepted", "tcp.accepted"]);
    }

    fn b16_a_listener_is_not_even_asked_whether_it_wants_to_write<B>() {
        // Kernels do not report a listener as writable, so a watch would go unnoticed.
        struct Unasked(Log);
        impl Dispatcher for Unasked {
            fn writable(&self, channel: &Channel) -> bool {
                panic!("{channel:?} was asked");
            }

            fn handle_accepted(
                &mut self,
                _: &mut Context<'_>,
                _: Channel,
                _: asyncore::Address,
            ) -> io::Result<()> {
                self.0.push("accepted");
                Ok(())
            }
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(listener).unwrap(), Unasked(log.clone())).unwrap();
        poll_until(&mut reactor, || log.contains("accepted"));
        assert_quiet(&mut reactor);
    }

    fn b16_who_only_wants_to_write_does_not_accept<B>() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false).writable(true);
        reactor.add_channel(Channel::new(listener).unwrap(), probe).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
    }

    fn b17_the_defaults_do_not_spin_on_an_idle_connection<B>() {
        let (tcp, _peer_of_tcp) = tcp_pair();
        let (unix, _peer_of_unix) = UnixStream::pair().unwrap();
        let (_reader, pipe) = io::pipe().unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let idle = [Channel::new(tcp), Channel::new(unix), Channel::new(pipe), Channel::new(udp)];
        let mut reactor = reactor::<B>();
        for channel in idle {
            let key = reactor.add_channel(channel.unwrap(), Silent).unwrap();
            assert_eq!(reactor.poll(None).unwrap(), 1, "told of room to write, once");
            assert_quiet(&mut reactor);
            reactor.resume(key, Interest::WRITE);
            assert_eq!(reactor.poll(None).unwrap(), 1, "told once more");
            assert_quiet(&mut reactor);
        }
        assert_eq!(reactor.len(), 4);
    }

    fn b17_unread_data_and_urgent_data_that_nobody_handles_do_not_spin<B>() {
        let (ours, mut theirs) = tcp_pair();
        theirs.write_all(b"ab").unwrap();
        send_oob(&theirs);
        wait_for(&ours, PollFlags::POLLPRI);
        let mut reactor = reactor::<B>();
        let key = reactor.add_channel(Channel::new(ours).unwrap(), Silent).unwrap();
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_quiet(&mut reactor);
        reactor.resume(key, Interest::READ);
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_quiet(&mut reactor);
        let mut buffer = [0; 8];
        assert_eq!(reactor.channel(key).unwrap().recv(&mut buffer).unwrap(), 2);
    }

    fn b17_who_handles_nothing_closes_when_the_peer_does<B>() {
        let (tcp, peer_of_tcp) = tcp_pair();
        let (unix, peer_of_unix) = UnixStream::pair().unwrap();
        let mut reactor = reactor::<B>();
        reactor.add_channel(Channel::new(tcp).unwrap(), Silent).unwrap();
        reactor.add_channel(Channel::new(unix).unwrap(), Silent).unwrap();
        assert_eq!(reactor.poll(None).unwrap(), 2);
        assert_quiet(&mut reactor);
        drop((peer_of_tcp, peer_of_unix));
        reactor.run().unwrap();
    }

    fn b17_who_handles_nothing_closes_when_the_peer_resets<B>() {
        struct Closing(Log);
        impl Dispatcher for Closing {
            fn handle_close(
                &mut self,
                _: &mut Context<'_>,
                cause: Option<io::Error>,
            ) -> io::Result<()> {
                self.0.push(cause.as_ref().map_or("none".to_string(), crate::common::name_of));
                Ok(())
            }
        }
        let (ours, theirs) = tcp_pair();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Closing(log.clone())).unwrap();
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_quiet(&mut reactor);
        reset(theirs);
        poll_until(&mut reactor, || log.contains("ECONNRESET"));
        assert!(reactor.is_empty());
        assert_eq!(log.take(), ["ECONNRESET"]);
    }

    fn b18_urgent_data_reaches_who_only_writes<B>() {
        let (ours, theirs) = tcp_pair();
        send_oob(&theirs);
        wait_for(&ours, PollFlags::POLLPRI);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false).writable(true);
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.write", "a.expt"]);
    }

    fn b18_urgent_data_reaches_who_waits_for_room_to_write<B>() {
        let (ours, theirs) = tcp_pair();
        let channel = Channel::new(ours).unwrap();
        while channel.send(&[0; 1 << 16]).is_ok() {}
        send_oob(&theirs);
        wait_for(&channel, PollFlags::POLLPRI);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false).writable(true);
        reactor.add_channel(channel, probe).unwrap();
        poll_until(&mut reactor, || log.contains("a.expt"));
        assert_eq!(log.count("a.expt"), 1);
    }

    fn b18_urgent_data_reaches_who_only_reads<B>() {
        let (ours, theirs) = tcp_pair();
        send_oob(&theirs);
        wait_for(&ours, PollFlags::POLLPRI);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.expt"]);
    }

    fn b18_urgent_data_does_not_reach_who_wants_nothing<B>() {
        let (ours, theirs) = tcp_pair();
        send_oob(&theirs);
        wait_for(&ours, PollFlags::POLLPRI);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false);
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        assert_quiet(&mut reactor);
        reactor.get_mut(key).unwrap().readable = true;
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.expt"]);
    }

    fn b19_who_wants_nothing_is_not_told_of_the_end_before_he_looks<B>() {
        for (channel, expected) in ended() {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let key = reactor.add_channel(channel, Probe::new("a", &log).readable(false)).unwrap();
            assert_quiet(&mut reactor);
            assert_eq!(log.take(), [""; 0]);
            reactor.get_mut(key).unwrap().readable = true;
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), expected);
        }
    }

    fn b19_pausing_is_as_good_as_wanting_nothing<B>() {
        for (channel, expected) in ended() {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            channel.pause(Interest::READ | Interest::WRITE);
            let key = reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
            assert_quiet(&mut reactor);
            assert_eq!(log.take(), [""; 0]);
            reactor.resume(key, Interest::READ);
            reactor.poll(None).unwrap();
            assert_eq!(log.take(), expected);
        }
    }

    fn b19_back_pressure_reaches_the_peer<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false);
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let mut sent = 0;
        let full = loop {
            match theirs.write(&[b'x'; 4096]) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert_quiet(&mut reactor);
        assert_eq!(theirs.write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        reactor.get_mut(key).unwrap().readable = true;
        while log.bytes_read("a").len() < sent {
            assert_eq!(reactor.poll(None).unwrap(), 1);
        }
        assert_eq!(theirs.write(b"x").unwrap(), 1);
    }

    fn b21_a_panic_while_interest_is_asked_costs_that_channel_alone<B>() {
        // It panics when it is asked for the nth time: before the wait, or between two callbacks.
        struct Moody(Cell<u32>);
        impl Dispatcher for Moody {
            fn readable(&self, _: &Channel) -> bool {
                self.0.set(self.0.get() - 1);
                assert!(self.0.get() > 0, "this panic is part of the test");
                true
            }

            fn handle_read(&mut self, _: &mut Context<'_>) -> io::Result<()> {
                Ok(())
            }

            fn handle_write(&mut self, _: &mut Context<'_>) -> io::Result<()> {
                Ok(())
            }
        }
        for patience in 1..20 {
            let (bad, mut peer_of_bad) = UnixStream::pair().unwrap();
            let (good, mut peer_of_good) = UnixStream::pair().unwrap();
            peer_of_bad.write_all(b"x").unwrap();
            peer_of_good.write_all(b"y").unwrap();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let bad = Channel::new(bad).unwrap();
            let bad = reactor.add_channel(bad, Moody(Cell::new(patience))).unwrap();
            reactor.add_channel(Channel::new(good).unwrap(), Probe::new("good", &log)).unwrap();
            while catch_unwind(AssertUnwindSafe(|| reactor.poll(None).unwrap())).is_ok() {}
            assert!(reactor.get(bad).is_none());
            assert_eq!(reactor.len(), 1);
            assert_eq!(peer_of_bad.read(&mut [0]).map_err(|error| error.kind()), ended_unread());
            poll_until(&mut reactor, || log.contains("good.read y"));
            peer_of_good.write_all(b"z").unwrap();
            poll_until(&mut reactor, || log.contains("good.read z"));
            assert_quiet(&mut reactor);
        }
    }

    fn b22_a_channel_closed_while_interest_is_asked_is_gone_and_the_others_are_served<B>() {
        // It closes itself when it is asked for the nth time.
        struct Closing {
            left: Cell<u32>,
            closed: Rc<Cell<bool>>,
        }
        impl Closing {
            fn called(&self) -> io::Result<()> {
                assert!(!self.closed.get(), "called after it had closed");
                Ok(())
            }
        }
        impl Dispatcher for Closing {
            fn readable(&self, channel: &Channel) -> bool {
                self.left.set(self.left.get().saturating_sub(1));
                if self.left.get() == 0 {
                    channel.close();
                    self.closed.set(true);
                }
                true
            }

            fn handle_read(&mut self, _: &mut Context<'_>) -> io::Result<()> {
                self.called()
            }

            fn handle_write(&mut self, _: &mut Context<'_>) -> io::Result<()> {
                self.called()
            }

            fn handle_close(
                &mut self,
                _: &mut Context<'_>,
                _: Option<io::Error>,
            ) -> io::Result<()> {
                panic!("a close of one's own is not told")
            }
        }
        for left in 1..20 {
            let (ours, mut peer) = UnixStream::pair().unwrap();
            let (good, mut peer_of_good) = UnixStream::pair().unwrap();
            peer.write_all(b"x").unwrap();
            let log = Log::default();
            // Asked every pass, so that debug builds do not ask in between.
            let builder = Reactor::builder().backend(B::default()).ask_every_pass(true);
            let mut reactor = builder.build();
            let closed = Rc::new(Cell::new(false));
            let dispatcher = Closing { left: Cell::new(left), closed: closed.clone() };
            reactor.add_channel(Channel::new(ours).unwrap(), dispatcher).unwrap();
            reactor.add_channel(Channel::new(good).unwrap(), Probe::new("good", &log)).unwrap();
            peer_of_good.write_all(b"y").unwrap();
            poll_until(&mut reactor, || closed.get() && log.contains("good.read y"));
            assert_quiet(&mut reactor);
            assert_eq!(reactor.len(), 1);
            assert_eq!(peer.read(&mut [0]).map_err(|error| error.kind()), ended_unread());
            peer_of_good.write_all(b"z").unwrap();
            poll_until(&mut reactor, || log.contains("good.read z"));
        }
    }

    fn b22_what_the_question_after_a_callback_ends_is_over_in_the_same_pass<B>() {
        // It ends its channel when it is asked after its first handle_read.
        struct Ending {
            log: Log,
            has_read: bool,
        }
        impl Dispatcher for Ending {
            fn readable(&self, channel: &Channel) -> bool {
                if self.has_read {
                    channel.close_when_sent();
                }
                true
            }

            fn writable(&self, _: &Channel) -> bool {
                false
            }

            fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
                cx.recv(&mut [0])?;
                self.has_read = true;
                self.log.push("read");
                Ok(())
            }

            fn handle_close(
                &mut self,
                _: &mut Context<'_>,
                _: Option<io::Error>,
            ) -> io::Result<()> {
                self.log.push("close");
                Ok(())
            }
        }
        let (ours, mut peer) = UnixStream::pair().unwrap();
        peer.write_all(b"xy").unwrap();
        let log = Log::default();
        let mut reactor = reactor::<B>();
        let dispatcher = Ending { log: log.clone(), has_read: false };
        reactor.add_channel(Channel::new(ours).unwrap(), dispatcher).unwrap();
        assert_eq!(reactor.poll(Some(Duration::ZERO)).unwrap(), 1);
        assert_eq!(log.take(), ["read", "close"]);
        assert!(reactor.is_empty());
    }
}

/// What a peer reads whose bytes were not read before the close.
fn ended_unread() -> Result<usize, io::ErrorKind> {
    if cfg!(target_os = "linux") { Err(io::ErrorKind::ConnectionReset) } else { Ok(0) }
}
