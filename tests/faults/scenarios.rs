//! What the library does for its users, with all the system calls that it makes for it.

use crate::subject::{
    Deaf, OPERATIONS, Operation, PATIENCE, Recorder, Scenario, Subject, elsewhere, pairs, payload,
};
use asyncore::{Backend, Channel, Family, Interest, LoopOptions, Reactor, Type, file_dispatcher};
use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::openpty,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socket},
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write, pipe},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

/// `scenarios![name: "what it is about", ["calls", "that fail"]; ...]`
macro_rules! scenarios {
    ($($name:ident: $about:literal, [$($aim:literal),+];)*) => {
        &[$(Scenario {
            name: stringify!($name),
            about: $about,
            aims: &[$($aim),+],
            poll: $name::<asyncore::Poll>,
            select: $name::<asyncore::Select>,
        }),*]
    };
}

pub(crate) const SCENARIOS: &[Scenario] = scenarios![
    waits: "`Reactor::poll`, for an event and for 2 ms", ["ppoll", "pselect6"];
    waits_below_the_limit: "`Reactor::poll` on more channels than `RLIMIT_NOFILE`",
        ["prlimit64", "ppoll"];
    accepts: "a listener with `handle_accepted`", ["accept4"];
    makes_a_listener:
        "`create_socket`, `set_reuse_addr`, `set_reuse_port`, `bind`, `listen`, `local_addr`",
        ["socket", "setsockopt SO_REUSEADDR", "setsockopt SO_REUSEPORT", "bind", "listen",
         "getsockname"];
    connects: "`create_socket`, `connect`, and the pass that finishes it",
        ["socket", "connect", "getsockopt SO_ERROR", "getpeername"];
    takes_over_a_connection: "`Channel::new` of a connected socket",
        ["fcntl F_GETFL", "fcntl F_SETFL", "fcntl F_GETFD", "fcntl F_SETFD",
         "getsockopt SO_TYPE", "getsockopt SO_ACCEPTCONN", "getpeername"];
    takes_over_a_listener: "`Channel::new` of a listener", ["getsockopt SO_ACCEPTCONN"];
    takes_over_an_unconnected_socket: "`Channel::new` of a socket without a peer",
        ["recvfrom MSG_PEEK"];
    takes_over_a_pipe: "`file_dispatcher` of both ends of a pipe",
        ["fcntl F_DUPFD_CLOEXEC", "fcntl F_GETFL", "fcntl F_SETFL", "fcntl F_GETFD",
         "getsockopt SO_TYPE", "fstat"];
    receives: "`recv` in `handle_read`, to the end of the stream", ["recvfrom"];
    receives_vectored: "`recv_vectored` in `handle_read`", ["readv"];
    receives_datagrams: "`recv_from` in `handle_read`", ["recvfrom"];
    receives_out_of_band: "`recv_oob` in `handle_expt`", ["recvfrom MSG_OOB"];
    reads: "`recv` from a pipe in `handle_read`", ["read"];
    reads_a_terminal: "`recv` from a terminal whose other end has closed",
        ["read", "ioctl TCGETS"];
    leaves_a_socket_unread: "the default `handle_read`, a socket's peer has closed",
        ["recvfrom MSG_PEEK"];
    leaves_a_pipe_unread: "the default `handle_read`, a pipe's writer has closed",
        ["poll", "ioctl FIONREAD"];
    sends: "`send` in `handle_write`", ["sendto"];
    sends_vectored: "`send_vectored` in `handle_write`", ["sendmsg"];
    sends_datagrams: "`send_to` in `handle_write`", ["sendto"];
    sends_out_of_band: "`send_oob` in `handle_write`", ["sendto MSG_OOB"];
    pushes: "`push` that sends at once", ["sendto"];
    flushes: "what was pushed, sent by the reactor", ["sendto"];
    writes: "`send` to a pipe in `handle_write`", ["write"];
    writes_vectored: "`send_vectored` to a pipe in `handle_write`", ["writev"];
    flushes_to_a_pipe: "what was pushed to a pipe, written by the reactor", ["write"];
    shuts_down: "`shutdown` of the input and the output",
        ["shutdown SHUT_RD", "shutdown SHUT_WR"];
    shuts_down_when_sent: "`shutdown` that waits for what was pushed", ["shutdown SHUT_WR"];
    closes_all: "`Reactor::close_all`", ["close"];
    closes_at_the_end: "the close after `handle_close`", ["close"];
    closes_when_sent: "`close_when_sent`, with unread input", ["recvfrom", "sendto"];
    is_stopped: "`Reactor::remote`, and `Remote::stop` of what runs",
        ["socketpair", "fcntl F_GETFL", "getsockopt SO_TYPE", "getpeername", "sendto", "recvfrom"];
];

const LENGTH: usize = 12_000;

/// Everything that a descriptor which is non-blocking has to give.
fn drain(mut from: impl Read, into: &mut Vec<u8>) -> bool {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => into.extend_from_slice(&buffer[..count]),
            Err(_) => return false,
        }
    }
}

fn reactor<B: Backend>() -> Reactor<B> {
    Reactor::with_backend(B::default())
}

/// A reactor with a channel of each operation.
fn reactor_with<B: Backend>(
    operations: &[Operation],
    channels: Vec<Channel>,
    recorder: impl Fn(Recorder) -> Recorder,
) -> Reactor<B> {
    let mut reactor = reactor::<B>();
    for (operation, channel) in operations.iter().zip(channels) {
        reactor.add_channel(channel, recorder(Recorder::new(operation))).unwrap();
    }
    reactor
}

fn channels(ends: impl IntoIterator<Item = impl Into<OwnedFd>>) -> Vec<Channel> {
    ends.into_iter().map(|end| Channel::new(end).unwrap()).collect()
}

fn pipes() -> (Vec<PipeReader>, Vec<PipeWriter>) {
    (0..OPERATIONS).map(|_| pipe().unwrap()).unzip()
}

fn tcp_pairs() -> (Vec<TcpStream>, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pair = |_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0);
    (0..OPERATIONS).map(pair).unzip()
}

fn udp_pairs() -> (Vec<UdpSocket>, Vec<UdpSocket>) {
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    (0..OPERATIONS).map(|_| (socket(), socket())).unzip()
}

/// Some passes over what is there, without waiting for more.
fn serve<B: Backend>(operations: &[Operation], reactor: &mut Reactor<B>) {
    for _ in 0..5 {
        if !operations.iter().all(Operation::is_over) {
            let _ = reactor.poll(Some(Duration::ZERO));
        }
    }
}

fn waits<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    let operations = subject.operations();
    let read = |cx: &mut asyncore::Context<'_>, operation: &Operation| {
        let mut buffer = [0; 8];
        if cx.recv(&mut buffer)? == 5 {
            operation.give_up();
        }
        Ok(())
    };
    let mut reactor: Reactor<B> =
        reactor_with(&operations, channels(ours), |recorder| recorder.on_read(read));
    subject.begin();
    for (operation, their) in operations.iter().zip(&theirs) {
        elsewhere(|| (&mut &*their).write_all(b"hello").unwrap());
        subject.passes(&mut reactor, std::slice::from_ref(operation), || ());
        let (begun, pause) = (Instant::now(), Duration::from_millis(2));
        if operation.twice(|| reactor.poll(Some(pause))).is_some() && begun.elapsed() >= pause {
            operation.done();
        }
    }
    subject.end();
}

fn waits_below_the_limit<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    let operations = subject.operations();
    let mut reactor: Reactor<B> = reactor_with(&operations, channels(ours), |recorder| {
        recorder.on_read_of(b"hello".to_vec(), |channel, buffer| channel.recv(buffer))
    });
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
    subject.begin();
    for (operation, their) in operations.iter().zip(theirs) {
        elsewhere(|| (&their).write_all(b"hello").unwrap());
        elsewhere(|| their.shutdown(Shutdown::Both).unwrap());
        subject.passes(&mut reactor, std::slice::from_ref(operation), || ());
    }
    subject.end();
}

fn accepts<B: Backend>(subject: &Subject) {
    let operations = subject.operations();
    let listeners: Vec<_> =
        operations.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|each| each.local_addr().unwrap()).collect();
    // One at a time, so that no call is in vain.
    let mut reactor = Reactor::builder().backend(B::default()).accept_batch(1).build();
    for (operation, listener) in operations.iter().zip(channels(listeners)) {
        let recorder = Recorder::new(operation).on_accepted(|channel, operation| {
            operation.give_up();
            channel.push(b"hello")
        });
        reactor.add_channel(listener, recorder).unwrap();
    }
    subject.begin();
    let connect = |address| TcpStream::connect(address).unwrap();
    let clients: Vec<_> = elsewhere(|| addresses.into_iter().map(connect).collect());
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
    for (operation, mut client) in operations.iter().zip(clients) {
        let mut greeting = Vec::new();
        client.set_nonblocking(true).unwrap();
        drain(&mut client, &mut greeting);
        if greeting == b"hello" {
            operation.done();
        }
    }
}

fn makes_a_listener<B: Backend>(subject: &Subject) {
    subject.begin();
    let mut made = Vec::new();
    for operation in subject.operations() {
        let create = || Channel::create_socket(Family::Inet, Type::Stream);
        let Some(channel) = operation.twice(create) else { continue };
        let _ = operation.twice(|| channel.set_reuse_addr());
        let _ = operation.twice(|| channel.set_reuse_port());
        let bound = operation.twice(|| channel.bind("127.0.0.1:0"));
        let listens = operation.twice(|| channel.listen(5));
        let address = operation.twice(|| channel.local_addr());
        if let (Some(()), Some(()), Some(address)) = (bound, listens, address) {
            made.push((operation, channel, address));
        }
    }
    subject.end();
    let mut reactor = reactor::<B>();
    let mut clients = Vec::new();
    for (operation, channel, address) in made {
        let address = address.as_inet().unwrap();
        let recorder = Recorder::new(&operation).on_accepted(|_, operation| {
            operation.done();
            Ok(())
        });
        reactor.add_channel(channel, recorder).unwrap();
        clients.push(TcpStream::connect(address).unwrap());
        subject.passes(&mut reactor, &[operation], || ());
    }
}

fn connects<B: Backend>(subject: &Subject) {
    let operations = subject.operations();
    let listeners: Vec<_> =
        operations.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|each| each.local_addr().unwrap()).collect();
    let mut reactor = reactor::<B>();
    subject.begin();
    for (operation, address) in operations.iter().zip(addresses) {
        let create = || Channel::create_socket(Family::Inet, Type::Stream);
        let Some(channel) = operation.twice(create) else { continue };
        if operation.twice(|| channel.connect(address)).is_some() {
            let recorder = Recorder::new(operation).on_connect(|cx, operation| {
                operation.tell("handle_connect");
                operation.give_up();
                cx.push(b"hello")
            });
            reactor.add_channel(channel, recorder).unwrap();
        }
    }
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
    for (operation, listener) in operations.iter().zip(listeners) {
        listener.set_nonblocking(true).unwrap();
        let Ok((mut client, _)) = listener.accept() else { continue };
        let mut greeting = Vec::new();
        client.set_nonblocking(true).unwrap();
        drain(&mut client, &mut greeting);
        if greeting == b"hello" {
            operation.done();
        }
    }
}

fn takes_over_a_connection<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    for end in &ours {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    }
    let operations = subject.operations();
    let mut reactor = reactor::<B>();
    subject.begin();
    for (operation, end) in operations.iter().zip(ours) {
        let Ok(channel) = operation.told(Channel::new(end)) else {
            operation.give_up();
            continue;
        };
        let recorder = Recorder::new(operation)
            .on_connect(|_, operation| {
                operation.tell("handle_connect");
                Ok(())
            })
            .on_read_of(payload(LENGTH), |channel, buffer| channel.recv(buffer));
        reactor.add_channel(channel, recorder).unwrap();
    }
    elsewhere(|| theirs.into_iter().for_each(|their| send_all(&their)));
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
}

/// All of the payload, if anybody is there, and the end.
fn send_all(mut stream: &UnixStream) {
    let _ = stream.write_all(&payload(LENGTH));
    let _ = stream.shutdown(Shutdown::Write);
}

fn takes_over_a_listener<B: Backend>(subject: &Subject) {
    let operations = subject.operations();
    let listeners: Vec<_> =
        operations.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|each| each.local_addr().unwrap()).collect();
    let mut reactor = reactor::<B>();
    subject.begin();
    for (operation, listener) in operations.iter().zip(listeners) {
        let Ok(channel) = operation.told(Channel::new(listener)) else {
            operation.give_up();
            continue;
        };
        let recorder = Recorder::new(operation).on_accepted(|_, operation| {
            operation.done();
            Ok(())
        });
        reactor.add_channel(channel, recorder).unwrap();
    }
    let connect = |address: SocketAddr| TcpStream::connect(address);
    let clients: Vec<_> = elsewhere(|| addresses.into_iter().map(connect).collect());
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
    drop(clients);
}

fn takes_over_an_unconnected_socket<B: Backend>(subject: &Subject) {
    let operations = subject.operations();
    let new = |_| socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    let sockets: Vec<_> = (0..OPERATIONS).map(new).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut reactor = reactor::<B>();
    subject.begin();
    for (operation, fd) in operations.iter().zip(sockets) {
        let Ok(channel) = operation.told(Channel::new(fd)) else {
            operation.give_up();
            continue;
        };
        let recorder = Recorder::new(operation).on_connect(|_, operation| {
            operation.done();
            Ok(())
        });
        if operation.twice(|| channel.connect(address)).is_some() {
            reactor.add_channel(channel, recorder).unwrap();
        } else {
            // It is taken for one that connects; what became of that the reactor tells.
            let _ = reactor.add_channel(channel, recorder);
        }
    }
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
}

fn takes_over_a_pipe<B: Backend>(subject: &Subject) {
    let operations = subject.operations();
    let (readers, writers) = pipes();
    let mut reactor = reactor::<B>();
    subject.begin();
    for ((operation, reader), writer) in operations.iter().zip(&readers).zip(&writers) {
        let reader = operation.twice(|| file_dispatcher(reader));
        let writer = operation.twice(|| file_dispatcher(writer));
        let (Some(reader), Some(writer)) = (reader, writer) else { continue };
        let _ = operation.twice(|| writer.push(b"hello"));
        let recorder = Recorder::new(operation).on_read(|cx, operation| {
            let mut buffer = [0; 8];
            if operation.told(cx.recv(&mut buffer))? == 5 {
                operation.done();
                cx.close();
            }
            Ok(())
        });
        reactor.add_channel(reader, recorder).unwrap();
    }
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
}

fn receives<B: Backend>(subject: &Subject) {
    receive::<B>(subject, |channel, buffer| channel.recv(buffer));
}

fn receives_vectored<B: Backend>(subject: &Subject) {
    receive::<B>(subject, |channel, buffer| {
        let (one, other) = buffer.split_at_mut(100);
        channel.recv_vectored(&mut [IoSliceMut::new(one), IoSliceMut::new(other)])
    });
}

fn receive<B: Backend>(
    subject: &Subject,
    read: impl Fn(&Channel, &mut [u8]) -> io::Result<usize> + Copy + 'static,
) {
    let (ours, theirs) = pairs();
    let operations = subject.operations();
    let mut reactor: Reactor<B> = reactor_with(&operations, channels(ours), |recorder| {
        recorder.on_read_of(payload(LENGTH), read)
    });
    subject.begin();
    elsewhere(|| theirs.iter().for_each(send_all));
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
}

fn receives_datagrams<B: Backend>(subject: &Subject) {
    let (ours, theirs) = udp_pairs();
    let operations = subject.operations();
    let addresses: Vec<_> = ours.iter().map(|each| each.local_addr().unwrap()).collect();
    let mut reactor: Reactor<B> = reactor_with(&operations, channels(ours), |recorder| {
        let mut count = 0;
        recorder.on_read(move |cx, operation| {
            let mut buffer = [0; 8];
            let (length, _) = operation.told(cx.recv_from(&mut buffer))?;
            count += usize::from(&buffer[..length] == b"hello");
            if count == 2 {
                operation.done();
                cx.close();
            }
            Ok(())
        })
    });
    subject.begin();
    elsewhere(|| {
        for (their, address) in theirs.iter().zip(&addresses) {
            their.send_to(b"hello", address).unwrap();
            their.send_to(b"hello", address).unwrap();
        }
    });
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
}

fn receives_out_of_band<B: Backend>(subject: &Subject) {
    let (ours, theirs) = tcp_pairs();
    let watched: Vec<_> = ours.iter().map(|our| our.try_clone().unwrap()).collect();
    let operations = subject.operations();
    let mut reactor: Reactor<B> = reactor_with(&operations, channels(ours), |recorder| {
        recorder.on_read(|_, _| Ok(())).on_expt(|cx, operation| {
            let mut byte = [0];
            if operation.told(cx.recv_oob(&mut byte))? == 1 && byte == *b"!" {
                operation.done();
                cx.close();
            }
            Ok(())
        })
    });
    subject.begin();
    elsewhere(|| {
        for their in &theirs {
            send(their.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        }
        for our in &watched {
            let mut fds = [PollFd::new(our.as_fd(), PollFlags::POLLPRI)];
            assert_eq!(poll(&mut fds, PollTimeout::MAX).unwrap(), 1);
        }
    });
    serve(&operations, &mut reactor);
    subject.end();
}

fn reads<B: Backend>(subject: &Subject) {
    let (readers, writers) = pipes();
    let operations = subject.operations();
    let mut reactor: Reactor<B> = reactor_with(&operations, channels(readers), |recorder| {
        recorder.on_read_of(payload(LENGTH), |channel, buffer| channel.recv(buffer))
    });
    subject.begin();
    elsewhere(move || {
        for mut writer in writers {
            writer.write_all(&payload(LENGTH)).unwrap();
        }
    });
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
}

fn reads_a_terminal<B: Backend>(subject: &Subject) {
    let operations = subject.operations();
    let pair = |_| {
        let pair = openpty(None, None).unwrap();
        (pair.master, pair.slave)
    };
    let (masters, slaves): (Vec<_>, Vec<_>) = (0..OPERATIONS).map(pair).unzip();
    let mut reactor: Reactor<B> = reactor_with(&operations, channels(masters), |recorder| {
        recorder.on_read_of(Vec::new(), |channel, buffer| channel.recv(buffer))
    });
    subject.begin();
    elsewhere(move || drop(slaves));
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
}

fn leaves_a_socket_unread<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    leave_unread::<B>(subject, channels(ours), theirs);
}

fn leaves_a_pipe_unread<B: Backend>(subject: &Subject) {
    let (readers, writers) = pipes();
    leave_unread::<B>(subject, channels(readers), writers);
}

fn leave_unread<B: Backend>(subject: &Subject, channels: Vec<Channel>, peers: impl Send) {
    let operations = subject.operations();
    let mut reactor = reactor::<B>();
    for (operation, channel) in operations.iter().zip(channels) {
        reactor.add_channel(channel, Deaf(operation.clone())).unwrap();
    }
    subject.begin();
    elsewhere(move || drop(peers));
    serve(&operations, &mut reactor);
    let unwatched = operations.iter().filter(|operation| !operation.is_over());
    unwatched.for_each(|operation| operation.tell("unwatched"));
    subject.end();
}

fn sends<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    write::<B>(subject, channels(ours), theirs, |channel, data| channel.send(data));
}

fn sends_vectored<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    write::<B>(subject, channels(ours), theirs, send_vectored);
}

fn send_vectored(channel: &Channel, data: &[u8]) -> io::Result<usize> {
    let (one, other) = data.split_at(100);
    channel.send_vectored(&[IoSlice::new(one), IoSlice::new(other)])
}

fn writes<B: Backend>(subject: &Subject) {
    let (readers, writers) = pipes();
    write::<B>(subject, channels(writers), readers, |channel, data| channel.send(data));
}

fn writes_vectored<B: Backend>(subject: &Subject) {
    let (readers, writers) = pipes();
    write::<B>(subject, channels(writers), readers, send_vectored);
}

fn write<B: Backend>(
    subject: &Subject,
    channels: Vec<Channel>,
    peers: Vec<impl Read>,
    send: impl Fn(&Channel, &[u8]) -> io::Result<usize> + Copy + 'static,
) {
    let operations = subject.operations();
    let mut reactor: Reactor<B> =
        reactor_with(&operations, channels, |recorder| recorder.on_write_of(payload(LENGTH), send));
    subject.begin();
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
    drop(reactor);
    expect_all(&operations, peers);
}

/// Each is done if its peer has got the payload, whose sender is gone.
fn expect_all(operations: &[Operation], peers: Vec<impl Read>) {
    for (operation, mut peer) in operations.iter().zip(peers) {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        if received == payload(LENGTH) {
            operation.done();
        }
    }
}

fn sends_datagrams<B: Backend>(subject: &Subject) {
    let (ours, theirs) = udp_pairs();
    let operations = subject.operations();
    let mut reactor = reactor::<B>();
    for ((operation, our), their) in operations.iter().zip(channels(ours)).zip(&theirs) {
        let (address, mut count) = (their.local_addr().unwrap(), 0);
        let recorder = Recorder::new(operation).on_write(move |cx, operation| {
            operation.told(cx.send_to(b"hello", address))?;
            count += 1;
            if count == 2 {
                operation.give_up();
                cx.close();
            }
            Ok(())
        });
        reactor.add_channel(our, recorder).unwrap();
    }
    subject.begin();
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
    for (operation, their) in operations.iter().zip(&theirs) {
        their.set_nonblocking(true).unwrap();
        let mut buffer = [0; 8];
        let received = std::iter::from_fn(|| their.recv(&mut buffer).ok());
        if received.collect::<Vec<_>>() == [5, 5] {
            operation.done();
        }
    }
}

fn sends_out_of_band<B: Backend>(subject: &Subject) {
    let (ours, theirs) = tcp_pairs();
    let operations = subject.operations();
    let mut reactor: Reactor<B> = reactor_with(&operations, channels(ours), |recorder| {
        recorder.on_write(|cx, operation| {
            operation.told(cx.send_oob(b"!"))?;
            operation.give_up();
            cx.close();
            Ok(())
        })
    });
    subject.begin();
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
    for (operation, their) in operations.iter().zip(&theirs) {
        let mut byte = [0];
        let received = nix::sys::socket::recv(their.as_raw_fd(), &mut byte, MsgFlags::MSG_OOB);
        if received == Ok(1) && byte == *b"!" {
            operation.done();
        }
    }
}

fn pushes<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    let operations = subject.operations();
    let mut reactor = reactor::<B>();
    let mut keys = Vec::new();
    for (operation, our) in operations.iter().zip(channels(ours)) {
        keys.push(reactor.add_channel(our, Recorder::new(operation)).unwrap());
    }
    subject.begin();
    for (operation, key) in operations.iter().zip(&keys) {
        let channel = reactor.channel(*key).unwrap();
        let _ = operation.twice(|| channel.push(&payload(LENGTH)));
        channel.close_when_sent();
    }
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
    drop(reactor);
    expect_all(&operations, theirs);
}

fn flushes<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    flush::<B>(subject, channels(ours), theirs);
}

fn flushes_to_a_pipe<B: Backend>(subject: &Subject) {
    let (readers, writers) = pipes();
    flush::<B>(subject, channels(writers), readers);
}

fn flush<B: Backend>(
    subject: &Subject,
    channels: Vec<Channel>,
    mut peers: Vec<impl Read + AsFd + Send>,
) {
    const LENGTH: usize = 100_000;
    let operations = subject.operations();
    let mut reactor = reactor::<B>();
    for (operation, channel) in operations.iter().zip(channels) {
        channel.pause(Interest::WRITE);
        channel.push(&payload(LENGTH)).unwrap();
        channel.resume(Interest::WRITE);
        channel.close_when_sent();
        reactor.add_channel(channel, Recorder::new(operation)).unwrap();
    }
    for peer in &peers {
        fcntl(peer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    }
    let mut received = vec![Vec::new(); OPERATIONS];
    let mut read = || {
        for (peer, received) in peers.iter_mut().zip(&mut received) {
            drain(peer, received);
        }
    };
    subject.begin();
    subject.passes(&mut reactor, &operations, || elsewhere(&mut read));
    subject.end();
    read();
    for (operation, received) in operations.iter().zip(&received) {
        if *received == payload(LENGTH) {
            operation.done();
        }
    }
}

fn shuts_down<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    let operations = subject.operations();
    let mut reactor = reactor::<B>();
    let mut keys = Vec::new();
    for (operation, our) in operations.iter().zip(channels(ours)) {
        keys.push(reactor.add_channel(our, Recorder::new(operation)).unwrap());
    }
    subject.begin();
    for (operation, key) in operations.iter().zip(&keys) {
        let channel = reactor.channel(*key).unwrap();
        let _ = operation.twice(|| channel.shutdown(Shutdown::Read));
        let _ = operation.twice(|| channel.shutdown(Shutdown::Write));
    }
    let _ = reactor.poll(Some(Duration::ZERO));
    subject.end();
    for (operation, their) in operations.iter().zip(theirs) {
        their.set_nonblocking(true).unwrap();
        if drain(&their, &mut Vec::new()) && (&their).write(b"x").is_err() {
            operation.done();
        }
    }
}

fn shuts_down_when_sent<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    let operations = subject.operations();
    let mut reactor = reactor::<B>();
    for (operation, our) in operations.iter().zip(channels(ours)) {
        our.pause(Interest::WRITE);
        our.push(&payload(LENGTH)).unwrap();
        our.shutdown(Shutdown::Write).unwrap();
        our.resume(Interest::WRITE);
        reactor.add_channel(our, Recorder::new(operation)).unwrap();
    }
    theirs.iter().for_each(|their| their.set_nonblocking(true).unwrap());
    let mut received = vec![Vec::new(); OPERATIONS];
    subject.begin();
    subject.passes(&mut reactor, &operations, || {
        let ended: Vec<_> = elsewhere(|| {
            let peers = theirs.iter().zip(&mut received);
            peers.map(|(their, received)| drain(their, received)).collect()
        });
        for (operation, (ended, received)) in operations.iter().zip(ended.iter().zip(&received)) {
            if *ended && *received == payload(LENGTH) && !operation.is_over() {
                operation.done();
            }
        }
    });
    subject.end();
}

fn closes_all<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    let operations = subject.operations();
    let mut reactors = Vec::new();
    for (operation, our) in operations.iter().zip(channels(ours)) {
        let mut reactor = reactor::<B>();
        reactor.add_channel(our, Recorder::new(operation)).unwrap();
        reactors.push(reactor);
    }
    subject.begin();
    for (operation, reactor) in operations.iter().zip(&mut reactors) {
        let _ = operation.told(reactor.close_all());
        if reactor.is_empty() {
            operation.done();
        }
    }
    subject.end();
    drop(theirs);
}

fn closes_at_the_end<B: Backend>(subject: &Subject) {
    receive::<B>(subject, |channel, buffer| channel.recv(buffer));
}

fn closes_when_sent<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    theirs.iter().for_each(send_all);
    let operations = subject.operations();
    let mut reactor = reactor::<B>();
    for (operation, our) in operations.iter().zip(channels(ours)) {
        our.pause(Interest::WRITE);
        our.push(&payload(LENGTH)).unwrap();
        our.resume(Interest::WRITE);
        our.close_when_sent();
        reactor.add_channel(our, Recorder::new(operation)).unwrap();
    }
    subject.begin();
    subject.passes(&mut reactor, &operations, || ());
    subject.end();
    for (operation, mut their) in operations.iter().zip(theirs) {
        let mut received = Vec::new();
        // Unread input makes the close a reset, but only after what was sent.
        let _ = their.read_to_end(&mut received);
        if received == payload(LENGTH) {
            operation.done();
        }
    }
}

fn is_stopped<B: Backend>(subject: &Subject) {
    let (ours, theirs) = pairs();
    let operations = subject.operations();
    let mut reactors = Vec::new();
    for (operation, our) in operations.iter().zip(channels(ours)) {
        let mut reactor = reactor::<B>();
        reactor.add_channel(our, Recorder::new(operation)).unwrap();
        reactors.push(reactor);
    }
    subject.begin();
    let options = LoopOptions { timeout: Some(PATIENCE), count: Some(5) };
    for (operation, reactor) in operations.iter().zip(&mut reactors) {
        let begun = Instant::now();
        let mut stopped = 0;
        for _ in 0..2 {
            // Whoever is refused asks for another handle.
            // Two wakes, because a refused one says that another is under way.
            let stop = || {
                let remote = reactor.remote()?;
                remote.wake()?;
                remote.stop()
            };
            if operation.twice(stop).is_some() && operation.told(reactor.run_with(options)).is_ok()
            {
                stopped += 1;
            }
        }
        if stopped == 2 && begun.elapsed() < PATIENCE {
            operation.done();
        }
    }
    subject.end();
    drop(theirs);
}
