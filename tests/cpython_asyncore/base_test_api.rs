//! `BaseTestAPI`: a server and a client in one reactor. CPython runs these for each family of
//! sockets on each backend, too.

use crate::common::{
    Log, Probe, assert_quiet,
    families::{Place, accept_from, connecting_to, listener, on_every_family, stream},
    is_cloexec, is_nonblocking, name_of, pass, poll_until, reactor, reset, run_out, wait_for,
};
use asyncore::{
    Address, Backend, Channel, Context, Dispatcher, Family, Interest, Key, LoopOptions, Reactor,
    State, Type,
};
use nix::{
    poll::PollFlags,
    sys::socket::{
        AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
    },
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

const NOTHING: [&str; 0] = [];

/// A server that takes what it accepts into the reactor, and a client whose connect is under way.
///
/// Each has a log of its own: who of them is served first is a matter of their numbers.
struct Trio<B> {
    reactor: Reactor<B>,
    server: Log,
    server_key: Key<Probe>,
    child: Log,
    client: Log,
    client_key: Key<Probe>,
    place: Place,
}

/// `child` gets each connection before the reactor does.
fn trio<B: Backend + Default>(
    family: Family,
    child: impl Fn(&Channel, Probe) -> Probe + 'static,
    client: impl FnOnce(Probe) -> Probe,
) -> Trio<B> {
    let (listener, place) = listener(family);
    let mut reactor = reactor::<B>();
    let [server_log, child_log, client_log] = [(); 3].map(|()| Log::default());
    let children = child_log.clone();
    let server = Probe::new("server", &server_log).on_accepted(move |cx, channel, _| {
        let child = child(&channel, Probe::new("child", &children));
        cx.add_channel(channel, child).map(drop)
    });
    let server_key = reactor.add_channel(listener, server).unwrap();
    let client = client(Probe::new("client", &client_log));
    let client_key = reactor.add_channel(connecting_to(&place.address), client).unwrap();
    Trio {
        reactor,
        server: server_log,
        server_key,
        child: child_log,
        client: client_log,
        client_key,
        place,
    }
}

impl<B: Backend> Trio<B> {
    /// Of the server and the client, if the reactor has them.
    fn states(&mut self) -> [Option<State>; 2] {
        [self.server_key, self.client_key].map(|key| self.reactor.channel(key).map(Channel::state))
    }

    /// Makes passes until the server has accepted and the client has connected.
    #[track_caller]
    fn meet(&mut self) {
        poll_until(&mut self.reactor, || {
            self.server.contains("server.accepted") && self.client.contains("client.connect")
        });
    }
}

fn plain(_: &Channel, child: Probe) -> Probe {
    child
}

/// Sends this once, as soon as there is room.
fn sends_once(probe: Probe, data: &'static [u8]) -> Probe {
    probe.writable(true).on("write", move |cx| {
        cx.pause(Interest::WRITE);
        assert_eq!(cx.send(data)?, data.len());
        Ok(())
    })
}

/// Accepts only when it is told to.
struct ByHand {
    log: Log,
    accepts: bool,
}

impl Dispatcher for ByHand {
    fn handle_accept(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.accepts {
            self.log.push("left");
        } else if cx.accept()?.is_some() {
            self.log.push("taken");
        } else {
            self.log.push("none");
        }
        Ok(())
    }

    fn handle_accepted(&mut self, _: &mut Context<'_>, _: Channel, _: Address) -> io::Result<()> {
        self.log.push("accepted");
        Ok(())
    }
}

on_every_family! {
    /// Once, and not inside of `connect`, even where that succeeds at once.
    fn handle_connect<B>(family: Family) {
        let mut trio = trio::<B>(family, plain, |client| {
            client.on("connect", |cx| {
                assert_eq!(cx.state(), State::Connected);
                Ok(())
            })
        });
        assert_eq!(trio.client.take(), NOTHING);
        trio.meet();
        assert_quiet(&mut trio.reactor);
        assert_eq!(trio.client.take(), ["client.connect"]);
        assert_eq!(trio.server.take(), ["server.accepted"]);
        // Who was accepted is connected already, and not told so.
        assert_eq!(trio.child.take(), NOTHING);
    }

    /// A connection that is left where it is is told again; who accepts by hand is asked for more
    /// until there is none, and `handle_accepted` is not called.
    fn handle_accept<B>(family: Family) {
        let (listener, place) = listener(family);
        let _client = connecting_to(&place.address);
        wait_for(&listener, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let by_hand = ByHand { log: log.clone(), accepts: false };
        let key = reactor.add_channel(listener, by_hand).unwrap();
        for _ in 0..2 {
            assert_eq!(pass(&mut reactor), 1);
            assert_eq!(log.take(), ["left"]);
        }
        reactor.get_mut(key).unwrap().accepts = true;
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["taken", "none"]);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), NOTHING);
    }

    fn handle_accepted<B>(family: Family) {
        let (listener, place) = listener(family);
        let client = connecting_to(&place.address);
        let client_address = client.local_addr().unwrap();
        let [server_log, client_log] = [(); 2].map(|()| Log::default());
        let mut reactor = reactor::<B>();
        let server = Probe::new("server", &server_log).on_accepted(move |cx, channel, peer| {
            assert_eq!(cx.state(), State::Listening);
            assert_eq!(channel.state(), State::Connected);
            assert_eq!(channel.peer_addr()?, peer);
            assert_eq!(peer, client_address);
            assert!(is_nonblocking(&channel) && is_cloexec(&channel));
            Ok(()) // and the channel is dropped, which closes it
        });
        let server = reactor.add_channel(listener, server).unwrap();
        reactor.add_channel(client, Probe::new("client", &client_log)).unwrap();
        poll_until(&mut reactor, || client_log.contains("client.drop"));
        assert_quiet(&mut reactor);
        assert_eq!(server_log.take(), ["server.accepted"]);
        let seen = ["client.connect", "client.eof", "client.close", "client.drop"];
        assert_eq!(client_log.take(), seen);
        assert_eq!(reactor.channel(server).unwrap().state(), State::Listening);
        assert_eq!(reactor.len(), 1);
    }

    fn handle_read<B>(family: Family) {
        let greeting = "x".repeat(1024);
        let sent = greeting.clone();
        let greets = move |channel: &Channel, child| {
            channel.push(sent.as_bytes()).unwrap();
            child
        };
        let mut trio = trio::<B>(family, greets, |client| client);
        let client = trio.client.clone();
        poll_until(&mut trio.reactor, || client.bytes_read("client").len() == greeting.len());
        assert_quiet(&mut trio.reactor);
        assert_eq!(client.bytes_read("client"), greeting);
        assert_eq!(client.take()[0], "client.connect");
    }

    /// As soon as it is connected, and as long as it wants to write.
    fn handle_write<B>(family: Family) {
        let mut trio = trio::<B>(family, plain, |client| sends_once(client, b"hello"));
        let child = trio.child.clone();
        poll_until(&mut trio.reactor, || child.contains("child.read hello"));
        assert_quiet(&mut trio.reactor);
        assert_eq!(trio.client.take(), ["client.connect", "client.write"]);
        assert_eq!(child.take(), ["child.read hello"]);
        trio.reactor.resume(trio.client_key, Interest::WRITE);
        poll_until(&mut trio.reactor, || child.contains("child.read hello"));
        assert_eq!(trio.client.take(), ["client.write"]);
    }

    /// Once, at the side that was left; who closes hears nothing.
    fn handle_close<B>(family: Family) {
        let closes = |_: &Channel, child: Probe| {
            child.writable(true).on("write", |cx| {
                cx.close();
                Ok(())
            })
        };
        let mut trio = trio::<B>(family, closes, |client| client);
        let client = trio.client.clone();
        poll_until(&mut trio.reactor, || client.contains("client.drop"));
        assert_quiet(&mut trio.reactor);
        let seen = ["client.connect", "client.eof", "client.close", "client.drop"];
        assert_eq!(client.take(), seen);
        assert_eq!(trio.child.take(), ["child.write", "child.drop"]);
        assert_eq!(trio.server.take(), ["server.accepted"]);
    }

    /// A broken connection is no error of the callback that finds it: `handle_close` tells, once,
    /// with the cause.
    fn handle_close_after_conn_broken<B>(family: Family) {
        let closes = |_: &Channel, child: Probe| {
            child.on("read", |cx| {
                assert_eq!(cx.recv(&mut [0; 128])?, 128);
                cx.close();
                Ok(())
            })
        };

        // Half of what was sent is not read, so the close is a reset, which a read finds.
        let mut trio = trio::<B>(family, closes, |client| sends_once(client, &[0; 256]));
        let client = trio.client.clone();
        poll_until(&mut trio.reactor, || client.contains("client.drop"));
        let seen = ["client.connect", "client.write", "client.close ECONNRESET", "client.drop"];
        assert_eq!(client.take(), seen);
        assert_eq!(trio.child.take(), ["child.read", "child.drop"]);

        // All of it is read, so the close is an end of file. Who only writes does not see that,
        // and finds out when it goes on to send.
        let mut first = true;
        let mut trio = self::trio::<B>(family, closes, |client| {
            client.readable(false).writable(true).on("write", move |cx| {
                if std::mem::take(&mut first) {
                    cx.pause(Interest::WRITE);
                }
                cx.send(&[0; 128]).map(drop)
            })
        });
        let (child, client) = (trio.child.clone(), trio.client.clone());
        poll_until(&mut trio.reactor, || child.contains("child.drop"));
        assert_eq!(client.take(), ["client.connect", "client.write"]);
        trio.reactor.resume(trio.client_key, Interest::WRITE);
        poll_until(&mut trio.reactor, || client.contains("client.drop"));
        let mut seen = client.take();
        seen.dedup();
        assert_eq!(seen, ["client.write", "client.close EPIPE", "client.drop"]);
        assert_quiet(&mut trio.reactor);
    }

    /// Unix sockets have out-of-band data on some kernels only. Elsewhere sending it is an error,
    /// which the connection survives.
    fn handle_expt<B>(family: Family) {
        let refusals = Log::default();
        let refused = refusals.clone();
        let sends_urgent = move |channel: &Channel, child| {
            if let Err(error) = channel.send_oob(&[244]) {
                refused.push(name_of(&error));
                channel.push(b"plain").unwrap();
            }
            child
        };
        let log = Log::default();
        let taken = log.clone();
        let mut trio = trio::<B>(family, sends_urgent, |client| {
            // A read that comes first would throw away the urgent byte of a Unix socket.
            client.readable(family != Family::Unix).writable(true).on("expt", move |cx| {
                let mut bytes = [0; 8];
                let count = cx.recv_oob(&mut bytes)?;
                taken.push(bytes[..count].escape_ascii().to_string());
                Ok(())
            })
        });
        let client = trio.client.clone();
        poll_until(&mut trio.reactor, || {
            client.contains("client.expt") || refusals.contains("EOPNOTSUPP")
        });
        if refusals.contains("EOPNOTSUPP") {
            assert_eq!(family, Family::Unix);
            trio.reactor.get_mut(trio.client_key).unwrap().readable = true;
            poll_until(&mut trio.reactor, || client.contains("client.read plain"));
            return;
        }
        assert_eq!(log.take(), [r"\xf4"]);
        trio.reactor.pause(trio.client_key, Interest::WRITE);
        assert_quiet(&mut trio.reactor);
        let seen = client.take().into_iter().filter(|entry| entry != "client.write");
        assert_eq!(seen.collect::<Vec<_>>(), ["client.connect", "client.expt"]);
        assert_eq!(log.take(), NOTHING);
    }

    /// It gets the very error of the callback, and what it says decides.
    fn handle_error<B>(family: Family) {
        let fails = |client: Probe| {
            client.writable(true).on("write", |cx| {
                cx.pause(Interest::WRITE);
                Err(io::Error::other("division by zero"))
            })
        };
        let failed = ["client.connect", "client.write", "client.error division by zero"];

        let mut kept = trio::<B>(family, plain, |client| fails(client).keep_on_error());
        kept.meet();
        assert_quiet(&mut kept.reactor);
        assert_eq!(kept.client.take(), failed);
        kept.reactor.channel(kept.client_key).unwrap().send(b"still here").unwrap();
        let child = kept.child.clone();
        poll_until(&mut kept.reactor, || child.contains("child.read still here"));
        assert_eq!(kept.client.take(), NOTHING);

        let mut given_up = trio::<B>(family, plain, fails);
        given_up.meet();
        let child = given_up.child.clone();
        poll_until(&mut given_up.reactor, || child.contains("child.drop"));
        let end = ["client.close division by zero", "client.drop"];
        assert_eq!(given_up.client.take(), [&failed[..], &end].concat());
        // Its failure is its own.
        assert_eq!(child.take(), ["child.eof", "child.close", "child.drop"]);
        assert_eq!(given_up.server.take(), ["server.accepted"]);
        assert_eq!(given_up.reactor.len(), 1);
    }

    /// asyncore's `connected`, `connecting` and `accepting` are one state here.
    fn connection_attributes<B>(family: Family) {
        use State::{Closed, Connected, Connecting, Listening, Unconnected};
        assert_eq!(stream(family).state(), Unconnected);
        let accepted = |channel: &Channel, child| {
            assert_eq!(channel.state(), Connected);
            child
        };
        let mut trio = trio::<B>(family, accepted, |client| client);
        assert_eq!(trio.states(), [Some(Listening), Some(Connecting)]);

        trio.meet();
        let passes = LoopOptions { timeout: Some(Duration::ZERO), count: Some(100) };
        trio.reactor.run_with(passes).unwrap();
        assert_eq!(trio.states(), [Some(Listening), Some(Connected)]);
        let client = trio.reactor.channel(trio.client_key).unwrap();
        assert_eq!(client.peer_addr().unwrap(), trio.place.address);

        client.close();
        assert_eq!(trio.states(), [Some(Listening), Some(Closed)]);
        pass(&mut trio.reactor);
        assert_eq!(trio.states(), [Some(Listening), None]);

        trio.reactor.channel(trio.server_key).unwrap().close();
        assert_eq!(trio.states(), [Some(Closed), None]);
        run_out(&mut trio.reactor);
        assert_eq!(trio.states(), [None, None]);
        assert_eq!(trio.child.take(), ["child.eof", "child.close", "child.drop"]);
    }

    /// And until it is connected, nothing is reported of it.
    fn create_socket<B>(family: Family) {
        for (kind, socket_type) in
            [(Type::Stream, SockType::Stream), (Type::Datagram, SockType::Datagram)]
        {
            let channel = Channel::create_socket(family, kind).unwrap();
            assert_eq!(getsockopt(&channel, sockopt::SockType).unwrap(), socket_type);
            let name: SockaddrStorage = getsockname(channel.as_fd().as_raw_fd()).unwrap();
            let expected = match family {
                Family::Inet => AddressFamily::Inet,
                Family::Inet6 => AddressFamily::Inet6,
                Family::Unix => AddressFamily::Unix,
            };
            assert_eq!(name.family(), Some(expected));
            assert!(is_nonblocking(&channel) && is_cloexec(&channel));
        }
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true);
        reactor.add_channel(stream(family), probe).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), NOTHING);
    }

    /// An address in use is an error that leaves the channel as it was: it can go elsewhere.
    fn bind<B>(family: Family) {
        let (first, place) = listener(family);
        let second = stream(family);
        assert_eq!(name_of(&second.bind(&place.address).unwrap_err()), "EADDRINUSE");
        let elsewhere = Place::new(family);
        second.bind(&elsewhere.address).unwrap();
        second.listen(5).unwrap();
        let addresses = [place.address, second.local_addr().unwrap()];
        assert_ne!(addresses[0], addresses[1]);

        let (logs, mut reactor) = ([(); 2].map(|()| Log::default()), reactor::<B>());
        for (listener, log) in [first, second].into_iter().zip(&logs) {
            reactor.add_channel(listener, Probe::new("server", log)).unwrap();
        }
        for (address, log) in addresses.iter().zip(&logs) {
            let _client = connecting_to(address);
            poll_until(&mut reactor, || log.contains("server.accepted"));
            assert_eq!(logs.each_ref().map(Log::take).concat(), ["server.accepted"]);
        }
    }

    /// What it is for: a server that closed its connections first can start again at once. It does
    /// not take an address from somebody who still listens; nor does it concern the path of a Unix
    /// socket, which stays in use until it is removed.
    fn set_reuse_addr<B>(family: Family) {
        let mut place = Place::new(family);
        let reusing = || {
            let channel = stream(family);
            assert!(!getsockopt(&channel, sockopt::ReuseAddr).unwrap());
            channel.set_reuse_addr().unwrap();
            assert!(getsockopt(&channel, sockopt::ReuseAddr).unwrap());
            channel
        };
        let in_use = |channel: Channel, address: &Address| {
            assert_eq!(name_of(&channel.bind(address).unwrap_err()), "EADDRINUSE");
        };
        let server = reusing();
        server.bind(&place.address).unwrap();
        server.listen(5).unwrap();
        place.address = server.local_addr().unwrap();
        in_use(reusing(), &place.address);

        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let client = connecting_to(&place.address);
        reactor.add_channel(client, Probe::new("client", &log)).unwrap();
        drop(accept_from(&server));
        drop(server);
        run_out(&mut reactor);
        let seen = ["client.connect", "client.eof", "client.close", "client.drop"];
        assert_eq!(log.take(), seen);

        in_use(stream(family), &place.address);
        if let Address::Unix(path) = &place.address {
            in_use(reusing(), &place.address);
            std::fs::remove_file(path).unwrap();
        }
        reusing().bind(&place.address).unwrap();
    }

    /// A client that is gone before it is accepted costs the server nothing. TCP resets here; Unix
    /// sockets have no such thing, and just close.
    fn quick_connect<B>(family: Family) {
        let (listener, place) = listener(family);
        let hasty = connecting_to(&place.address);
        let hasty_address = hasty.local_addr().unwrap();
        wait_for(&listener, PollFlags::POLLIN);
        reset(hasty);

        let [server_log, child_log] = [(); 2].map(|()| Log::default());
        let (peers, children) = (server_log.clone(), child_log.clone());
        let mut reactor = reactor::<B>();
        let server = Probe::new("server", &server_log).on_accepted(move |cx, channel, peer| {
            // getpeername(2) knows nothing any more.
            assert_eq!(channel.peer_addr()?, peer);
            peers.push(peer.to_string());
            cx.add_channel(channel, Probe::new("child", &children)).map(drop)
        });
        reactor.add_channel(listener, server).unwrap();
        // Some systems do not even show such a connection.
        if cfg!(target_os = "linux") {
            poll_until(&mut reactor, || child_log.contains("child.drop"));
            let seen: &[_] = match family {
                Family::Unix => &["child.eof", "child.close", "child.drop"],
                _ => &["child.close ECONNRESET", "child.drop"],
            };
            assert_eq!(child_log.take(), seen);
            assert_eq!(server_log.take(), ["server.accepted", &hasty_address.to_string()]);
        }

        let patient = connecting_to(&place.address);
        patient.push(b"hello").unwrap();
        let client = reactor.add_channel(patient, Probe::new("client", &Log::default())).unwrap();
        poll_until(&mut reactor, || child_log.contains("child.read hello"));
        assert_eq!(reactor.channel(client).unwrap().state(), State::Connected);
        assert_eq!(server_log.count("server.accepted"), 1);
    }
}
