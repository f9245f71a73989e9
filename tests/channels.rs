//! Channels of every origin, and what happens to them where one kind differs from another.

mod common;

use asyncore::{Address, Channel, Dispatcher, Family, Interest, Key, Reactor, State, Type};
use common::{
    Log, Probe, assert_quiet, name_of, on_both_backends, poll_until, reactor, run_out, tcp_pair,
    wait_for,
};
use nix::{
    poll::PollFlags,
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
};
use std::{
    cell::RefCell,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixDatagram, UnixStream},
    process::{Command, Stdio},
    rc::Rc,
    time::Duration,
};

/// Every callback is the default.
struct Nothing;
impl Dispatcher for Nothing {}

on_both_backends! {
    fn a_childs_stdio_is_a_pair_of_channels<B>() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let stdin = Channel::new(child.stdin.take().unwrap()).unwrap();
        let stdout = Channel::new(child.stdout.take().unwrap()).unwrap();
        stdin.push(b"meow").unwrap();
        stdin.close_when_sent();
        reactor.add_channel(stdin, Probe::new("in", &log)).unwrap();
        reactor.add_channel(stdout, Probe::new("out", &log)).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.bytes_read("out"), "meow");
        assert_eq!((log.count("in.close"), log.count("out.close")), (1, 1));
        assert!(child.wait().unwrap().success());
    }

    fn a_sequenced_packet_socket_keeps_boundaries_and_has_an_end<B>() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let (ours, theirs) = (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap());
        assert_eq!(ours.push(b"merged").unwrap_err().kind(), io::ErrorKind::Unsupported);
        theirs.send(b"one").unwrap();
        theirs.send(b"two").unwrap();
        drop(theirs);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(ours, Probe::new("a", &log)).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.read one", "a.read two", "a.eof", "a.close", "a.drop"]);
    }

    #[cfg(target_os = "linux")]
    fn an_abstract_address_is_bound_connected_to_and_reported<B>() {
        let name = format!("asyncore-rs {} {}", B::NAME, std::process::id());
        let address = Address::Abstract(name.clone().into_bytes());
        let listener = Channel::create_socket(Family::of(&address), Type::Stream).unwrap();
        listener.bind(&address).unwrap();
        listener.listen(1).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        assert_eq!(address.to_string(), format!("@{name}"));
        let client = Channel::create_socket(Family::Unix, Type::Stream).unwrap();
        client.connect(&address).unwrap();
        assert_eq!(client.peer_addr().unwrap(), address);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(listener, Probe::new("listener", &log)).unwrap();
        reactor.add_channel(client, Probe::new("client", &log)).unwrap();
        poll_until(&mut reactor, || log.contains("client.connect") && log.contains("listener.accepted"));
    }

    fn a_datagram_comes_though_the_connected_peer_takes_none<B>() {
        let directory = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["ours", "theirs"].map(|name| directory.path().join(name));
        let peer = UnixDatagram::bind(&theirs).unwrap();
        let other = UnixDatagram::unbound().unwrap();
        other.set_nonblocking(true).unwrap();
        while other.send_to(b"fill", &theirs).is_ok() {}
        let channel = Channel::create_socket(Family::Unix, Type::Datagram).unwrap();
        channel.bind(&ours).unwrap();
        channel.connect(&theirs).unwrap();
        peer.send_to(b"hello", &ours).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.connect", "a.read hello"]);
        assert_quiet(&mut reactor);
    }

    /// Two reactors on one address: each connection comes to one of them, and each has some.
    #[cfg(target_os = "linux")]
    fn sockets_that_say_so_share_a_port<B>() {
        let listener = || Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        let (first, second, third) = (listener(), listener(), listener());
        first.set_reuse_port().unwrap();
        first.bind("127.0.0.1:0").unwrap();
        first.listen(100).unwrap();
        let address = first.local_addr().unwrap().as_inet().unwrap();
        second.set_reuse_port().unwrap();
        second.bind(address).unwrap();
        second.listen(100).unwrap();
        // Reusing an address is not sharing it.
        third.set_reuse_addr().unwrap();
        assert_eq!(name_of(&third.bind(address).unwrap_err()), "EADDRINUSE");

        let log = Log::default();
        let mut reactors = [("first", first), ("second", second)].map(|(name, listener)| {
            let mut reactor = reactor::<B>();
            reactor.add_channel(listener, Probe::new(name, &log)).unwrap();
            reactor
        });
        // That all of 64 come to the same one happens once in 2^63 times.
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
        for reactor in &mut reactors {
            while reactor.poll(Some(Duration::ZERO)).unwrap() > 0 {}
        }
        let counts = ["first.accepted", "second.accepted"].map(|entry| log.count(entry));
        assert_eq!(counts.iter().sum::<usize>(), clients.len());
        assert!(!counts.contains(&0), "{counts:?}");
    }

    fn close_when_sent_delivers_though_input_was_left_unread<B>() {
        let (mut client, server) = tcp_pair();
        client.write_all(&[b'?'; 1000]).unwrap();
        wait_for(&server, PollFlags::POLLIN);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("read", |cx| {
            cx.recv(&mut [0])?;
            cx.push(&vec![b'!'; 3 << 20])?;
            cx.close_when_sent();
            Ok(())
        });
        reactor.add_channel(Channel::new(server).unwrap(), probe).unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).map(|_| bytes.len())
        });
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.read", "a.close", "a.drop"]);
        assert_eq!(reader.join().unwrap().unwrap(), 3 << 20);
    }

    fn a_pipe_whose_dispatcher_reads_nothing_closes_at_its_end<B>() {
        struct OnlyClose(Log);
        impl Dispatcher for OnlyClose {
            fn handle_close(
                &mut self,
                _: &mut asyncore::Context<'_>,
                cause: Option<io::Error>,
            ) -> io::Result<()> {
                self.0.push(format!("close {cause:?}"));
                Ok(())
            }
        }
        let (reader, writer) = io::pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(reader).unwrap(), OnlyClose(log.clone())).unwrap();
        assert_quiet(&mut reactor);
        drop(writer);
        reactor.run().unwrap();
        assert_eq!(log.take(), ["close None"]);
    }

    fn nothing_is_queued_for_a_pipe_that_can_only_be_read<B>() {
        let (reader, writer) = io::pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log);
        let key = reactor.add_channel(Channel::new(reader).unwrap(), probe).unwrap();
        for paused in [Interest::empty(), Interest::WRITE] {
            reactor.pause(key, paused);
            let error = reactor.channel(key).unwrap().push(b"x").unwrap_err();
            assert_eq!(name_of(&error), "EBADF");
        }
        drop(writer);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn a_pipe_with_something_unread_waits_for_who_reads_it<B>() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"kept").unwrap();
        let mut reactor = reactor::<B>();
        let key = reactor.add_channel(Channel::new(reader).unwrap(), Nothing).unwrap();
        assert_eq!(reactor.poll(None).unwrap(), 1);
        assert_quiet(&mut reactor);
        let (channel, Nothing) = reactor.del_channel(key).unwrap();
        let log = Log::default();
        reactor.add_channel(channel, Probe::new("b", &log)).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["b.read kept"]);
    }

    fn a_socket_whose_connect_failed_before_it_was_adopted_is_told_so<B>() {
        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        channel.connect(refused).unwrap();
        wait_for(&channel, PollFlags::POLLERR);
        let adopted = Channel::new(channel.into_fd().unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(adopted, Probe::new("a", &log)).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.error ECONNREFUSED", "a.close ECONNREFUSED", "a.drop"]);
    }

    fn a_shutdown_of_both_sides_waits_for_the_connect_and_the_queue<B>() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        channel.connect(listener.local_addr().unwrap()).unwrap();
        channel.push(b"bye").unwrap();
        channel.shutdown(Shutdown::Both).unwrap();
        assert_eq!(channel.state(), State::Connecting);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.connect", "a.eof", "a.close", "a.drop"]);
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"bye");
    }

    fn a_closed_channel_is_not_taken<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.close();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let error = reactor.add_channel(channel, Probe::new("a", &log)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        assert!(reactor.is_empty());
        assert_eq!(log.take(), ["a.drop"]);
    }

    fn the_running_dispatcher_is_reached_by_others_through_its_own_key<B>() {
        struct Counter {
            count: u32,
            own: Rc<RefCell<Option<Key<Counter>>>>,
        }
        impl Dispatcher for Counter {
            fn handle_read(&mut self, cx: &mut asyncore::Context<'_>) -> io::Result<()> {
                self.count += cx.recv(&mut [0; 8])? as u32;
                self.own.replace(Some(cx.key().typed()));
                Ok(())
            }
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let own = Rc::default();
        let counter = Counter { count: 0, own: Rc::clone(&own) };
        let mut reactor = reactor::<B>();
        reactor.add_channel(Channel::new(ours).unwrap(), counter).unwrap();
        theirs.write_all(b"abc").unwrap();
        reactor.poll(None).unwrap();
        let key = own.take().unwrap();
        assert_eq!(reactor.get(key).unwrap().count, 3);
        assert!(reactor.get(key.typed::<Nothing>()).is_none());
    }

    fn debug_shows_state_peer_descriptor_and_queue<B>() {
        let (client, server) = tcp_pair();
        let peer = client.local_addr().unwrap();
        let server = Channel::new(server).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&server));
        let mut reactor: Reactor<B> = reactor();
        let key = reactor.add_channel(server, Nothing).unwrap();
        reactor.pause(key, Interest::WRITE);
        reactor.channel(key).unwrap().push(b"12345").unwrap();
        let shown = format!("{reactor:?}");
        let channel = format!("<channel fd {fd} connected {peer} 5 bytes queued>");
        assert!(shown.contains(&channel), "{shown}");
        assert!(shown.contains(&format!("backend: \"{}\"", B::NAME)), "{shown}");
    }
}

#[test]
fn more_buffers_than_the_kernel_takes_are_a_partial_transfer() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (reader, writer) = io::pipe().unwrap();
    for (from, to) in [
        (Channel::new(ours).unwrap(), Channel::new(theirs).unwrap()),
        (Channel::new(writer).unwrap(), Channel::new(reader).unwrap()),
    ] {
        let bytes = [b'x'; 2000];
        let slices: Vec<_> =
            bytes.iter().map(|byte| IoSlice::new(std::slice::from_ref(byte))).collect();
        assert_eq!(from.send_vectored(&slices).unwrap(), 1024);
        let mut room = [0; 2000];
        let mut slices: Vec<_> = room.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(to.recv_vectored(&mut slices).unwrap(), 1024);
        assert_eq!(room[..1024], bytes[..1024]);
    }
}
