//! Rows B53 to B57: listening and accepting. Want of descriptors (B55) has a suite of its own,
//! `no_room`.

use crate::common::{
    Log, Probe, assert_quiet, on_both_backends, pass, poll_until, reactor, reset, run_out, wait_for,
};
use asyncore::{Address, Channel, Family, Interest, Reactor, State, Type};
use nix::{poll::PollFlags, sys::socket};
use std::{
    cell::RefCell,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    rc::Rc,
};
use tempfile::TempDir;

/// A Unix listener with this many clients waiting: there a connect is in the queue when it returns.
fn unix_listener_with(clients: usize) -> (Channel, Vec<UnixStream>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener");
    let listener = UnixListener::bind(&path).unwrap();
    let clients = (0..clients).map(|_| UnixStream::connect(&path).unwrap()).collect();
    (Channel::new(listener).unwrap(), clients, directory)
}

fn tcp_listener() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Inet(listener.local_addr().unwrap());
    (listener, address)
}

/// Adds each accepted connection as `b`.
fn accepting(log: &Log) -> Probe {
    let children = log.clone();
    Probe::new("a", log).on_accepted(move |cx, channel, _| {
        cx.add_channel(channel, Probe::new("b", &children)).map(drop)
    })
}

on_both_backends! {
    fn b53_one_pass_accepts_a_batch_and_the_next_goes_on<B>() {
        let (listener, _clients, _directory) = unix_listener_with(37);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(listener, accepting(&log)).unwrap();
        for batch in [16, 16, 5] {
            assert_eq!(pass(&mut reactor), 1);
            assert_eq!(log.take(), vec!["a.accepted"; batch]);
        }
        assert_quiet(&mut reactor);
        assert_eq!(reactor.len(), 38);
    }

    fn b53_the_batch_is_as_large_as_it_was_built<B>() {
        for (limit, batch) in [(0, 1), (1, 1), (3, 3), (usize::MAX, 5)] {
            let (listener, _clients, _directory) = unix_listener_with(5);
            let builder = Reactor::builder().backend(B::default()).accept_batch(limit);
            let (log, mut reactor) = (Log::default(), builder.build());
            reactor.add_channel(listener, accepting(&log)).unwrap();
            pass(&mut reactor);
            assert_eq!(log.take(), vec!["a.accepted"; batch], "of at most {limit}");
        }
    }

    fn b53_the_batch_ends_when_the_listener_is_paused<B>() {
        let (listener, _clients, _directory) = unix_listener_with(5);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on_accepted(|cx, _, _| {
            cx.pause(Interest::READ);
            Ok(())
        });
        let key = reactor.add_channel(listener, probe).unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.accepted"]);
        assert_quiet(&mut reactor);
        reactor.resume(key, Interest::READ);
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.accepted"]);
    }

    fn b53_the_batch_ends_when_the_listener_is_closed<B>() {
        let (listener, clients, _directory) = unix_listener_with(5);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on_accepted(|cx, _, _| {
            cx.close();
            Ok(())
        });
        reactor.add_channel(listener, probe).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.accepted", "a.drop"]);
        for mut client in clients {
            // Who was not accepted is told by a reset, on some systems.
            assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
        }
    }

    fn b53_a_failure_ends_the_batch_and_the_listener<B>() {
        let (listener, _clients, _directory) = unix_listener_with(5);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on_accepted(|_, _, _| Err(nix::Error::EPERM.into()));
        reactor.add_channel(listener, probe).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.accepted", "a.error EPERM", "a.close EPERM", "a.drop"]);
    }

    fn b53_a_failure_that_is_dealt_with_costs_only_its_own_connection<B>() {
        let (listener, _clients, _directory) = unix_listener_with(3);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log)
            .keep_on_error()
            .on_accepted(|_, _, _| Err(nix::Error::EPERM.into()));
        reactor.add_channel(listener, probe).unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.accepted", "a.error EPERM"].repeat(3));
        assert_quiet(&mut reactor);
    }

    /// Both channels are ready for the one connection; who comes second finds nothing.
    fn b54_a_connection_that_somebody_else_took_is_nobodys_error<B>() {
        let (listener, address) = tcp_listener();
        let channel = Channel::new(listener.try_clone().unwrap()).unwrap();
        assert!(channel.accept().unwrap().is_none());
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        for listener in [listener.try_clone().unwrap(), listener] {
            reactor.add_channel(Channel::new(listener).unwrap(), accepting(&log)).unwrap();
        }
        let _client = TcpStream::connect(address.as_inet().unwrap()).unwrap();
        assert_eq!(pass(&mut reactor), 2);
        assert_eq!(log.take(), ["a.accepted"]);
        assert_quiet(&mut reactor);
        assert_eq!(reactor.len(), 3);
    }

    /// Systems differ: the connection is either skipped or accepted with its reset.
    fn b54_a_connection_that_was_reset_before_is_not_the_listeners_error<B>() {
        let (listener, address) = tcp_listener();
        let address = address.as_inet().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(listener).unwrap(), accepting(&log)).unwrap();
        reset(TcpStream::connect(address).unwrap());
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"hello").unwrap();
        poll_until(&mut reactor, || log.contains("b.read hello"));
        assert!(!log.take().iter().any(|entry| entry.starts_with("a.error")));
        assert_eq!(reactor.len(), 2);
    }

    /// Any other errno does end the listener: nothing will ever be accepted again.
    fn b55_a_listener_that_cannot_accept_any_more_closes_once<B>() {
        let (listener, _) = tcp_listener();
        let behind = listener.try_clone().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(listener).unwrap(), accepting(&log)).unwrap();
        socket::shutdown(behind.as_raw_fd(), socket::Shutdown::Both).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.error EINVAL", "a.close EINVAL", "a.drop"]);
    }

    fn b56_a_client_that_has_gone_is_accepted_read_and_closed<B>() {
        let (listener, address) = tcp_listener();
        let mut client = TcpStream::connect(address.as_inet().unwrap()).unwrap();
        client.write_all(b"bye").unwrap();
        let client_address = Address::Inet(client.local_addr().unwrap());
        drop(client);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let children = log.clone();
        let probe = Probe::new("a", &log).on_accepted(move |cx, channel, peer| {
            assert_eq!(peer, client_address);
            assert_eq!(channel.state(), State::Connected);
            assert_eq!(channel.peer_addr()?, peer);
            cx.add_channel(channel, Probe::new("b", &children)).map(drop)
        });
        reactor.add_channel(Channel::new(listener).unwrap(), probe).unwrap();
        poll_until(&mut reactor, || log.contains("b.drop"));
        assert_eq!(log.take(), ["a.accepted", "b.read bye", "b.eof", "b.close", "b.drop"]);
        assert_eq!(reactor.len(), 1);
    }

    #[cfg(target_os = "linux")]
    fn b56_a_client_that_reset_the_connection_is_accepted_and_closed<B>() {
        let (listener, address) = tcp_listener();
        let client = TcpStream::connect(address.as_inet().unwrap()).unwrap();
        let client_address = Address::Inet(client.local_addr().unwrap());
        wait_for(&listener, PollFlags::POLLIN);
        reset(client);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let children = log.clone();
        let probe = Probe::new("a", &log).on_accepted(move |cx, channel, peer| {
            // getpeername(2) would fail here.
            assert_eq!(channel.peer_addr()?, client_address);
            assert_eq!(peer, client_address);
            assert_eq!(channel.state(), State::Connected);
            cx.add_channel(channel, Probe::new("b", &children)).map(drop)
        });
        reactor.add_channel(Channel::new(listener).unwrap(), probe).unwrap();
        poll_until(&mut reactor, || log.contains("b.drop"));
        assert_eq!(log.take(), ["a.accepted", "b.close ECONNRESET", "b.drop"]);
    }

    fn b56_an_accepted_connection_is_connected_without_a_handle_connect<B>() {
        let (listener, mut clients, _directory) = unix_listener_with(1);
        clients[0].write_all(b"x").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let children = log.clone();
        let probe = Probe::new("a", &log).on_accepted(move |cx, channel, peer| {
            assert_eq!(peer, Address::Unnamed);
            assert_eq!(channel.state(), State::Connected);
            let child = Probe::new("b", &children).writable(true).on("write", |cx| {
                cx.pause(Interest::WRITE);
                Ok(())
            });
            cx.add_channel(channel, child).map(drop)
        });
        reactor.add_channel(listener, probe).unwrap();
        poll_until(&mut reactor, || log.contains("b.write"));
        assert_eq!(log.take(), ["a.accepted", "b.read x", "b.write"]);
        assert_quiet(&mut reactor);
    }

    fn b56_nobody_who_handles_it_closes_the_connection<B>() {
        struct Silent;
        impl asyncore::Dispatcher for Silent {}
        let (listener, mut clients, _directory) = unix_listener_with(1);
        let mut reactor = reactor::<B>();
        reactor.add_channel(listener, Silent).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(clients[0].read(&mut [0]).unwrap(), 0);
        assert_eq!(reactor.len(), 1);
    }

    fn b57_port_0_becomes_a_real_port<B>() {
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        channel.bind("127.0.0.1:0").unwrap();
        let before = channel.local_addr().unwrap();
        let address = before.as_inet().unwrap();
        assert_ne!(address.port(), 0);
        channel.listen(5).unwrap();
        assert_eq!(channel.local_addr().unwrap(), before);

        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let seen = Rc::new(RefCell::new(None));
        let accepted = Rc::clone(&seen);
        let probe = Probe::new("a", &log).on_accepted(move |cx, channel, _| {
            *accepted.borrow_mut() = Some((cx.local_addr()?, channel.local_addr()?));
            Ok(())
        });
        reactor.add_channel(channel, probe).unwrap();
        assert!(format!("{reactor:?}").contains(&address.to_string()));
        let _client = TcpStream::connect(address).unwrap();
        poll_until(&mut reactor, || log.contains("a.accepted"));
        assert_eq!(seen.take(), Some((before.clone(), before)));
    }

    fn b57_the_real_address_is_known_whatever_the_family<B>() {
        let inet6 = Channel::create_socket(Family::Inet6, Type::Datagram).unwrap();
        if inet6.bind("[::1]:0").is_ok() {
            let address = inet6.local_addr().unwrap().as_inet().unwrap();
            assert!(address.is_ipv6() && address.port() != 0, "{address}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bound");
        let unix = Channel::create_socket(Family::Unix, Type::Stream).unwrap();
        assert_eq!(unix.local_addr().unwrap(), Address::Unnamed);
        unix.bind(&*path).unwrap();
        assert_eq!(unix.local_addr().unwrap(), Address::Unix(path));
        let mut reactor = reactor::<B>();
        let key = reactor.add_channel(unix, Probe::new("a", &Log::default())).unwrap();
        assert!(matches!(reactor.channel(key).unwrap().local_addr(), Ok(Address::Unix(_))));
    }
}
