//! `accept` gives the socket, its flags and the peer's address at once.

mod common;

use asyncore_backends::accept;
use common::*;
use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    poll::PollFlags,
    sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, socket,
    },
};
use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
};

/// The peer's address, of an address family that this test knows to be there.
#[track_caller]
fn accepted(listener: &impl AsFd) -> (OwnedFd, SockaddrStorage) {
    settle(listener, PollFlags::POLLIN);
    let (socket, peer) = accept(listener.as_fd()).unwrap();
    (socket, peer.expect("an address"))
}

#[track_caller]
fn path_of(peer: &SockaddrStorage) -> Option<&Path> {
    peer.as_unix_addr().expect("a Unix address").path()
}

#[test]
fn the_socket_does_not_block_and_is_closed_on_exec() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = accepted(&listener);
    let status = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL).unwrap());
    assert!(status.contains(OFlag::O_NONBLOCK), "{status:?}");
    let flags = FdFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFD).unwrap());
    assert!(flags.contains(FdFlag::FD_CLOEXEC), "{flags:?}");
    let error = TcpStream::from(socket).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn the_socket_is_the_one_that_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for letter in [b"a", b"b"] {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = accepted(&listener);
        client.write_all(letter).unwrap();
        settle(&socket, PollFlags::POLLIN);
        let mut received = [0];
        TcpStream::from(socket).read_exact(&mut received).unwrap();
        assert_eq!(&received, letter);
    }
}

#[test]
fn the_address_of_an_ipv4_client_is_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let clients: [_; 3] =
        std::array::from_fn(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    for client in clients {
        let (_socket, peer) = accepted(&listener);
        let SocketAddr::V4(expected) = client.local_addr().unwrap() else { unreachable!() };
        let peer = peer.as_sockaddr_in().unwrap();
        assert_eq!((peer.ip(), peer.port()), (*expected.ip(), expected.port()));
    }
}

#[test]
fn the_address_of_an_ipv6_client_is_its_own() {
    let listener = match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("skipped, there is no IPv6 here: {error}"),
    };
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_socket, peer) = accepted(&listener);
    let SocketAddr::V6(expected) = client.local_addr().unwrap() else { unreachable!() };
    let peer = peer.as_sockaddr_in6().unwrap();
    assert_eq!((peer.ip(), peer.port()), (*expected.ip(), expected.port()));
}

#[test]
fn an_unnamed_unix_client_has_an_address_without_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener");
    let listener = UnixListener::bind(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    let (_socket, peer) = accepted(&listener);
    assert_eq!(path_of(&peer), None);
    if cfg!(target_os = "linux") {
        assert!(peer.as_unix_addr().unwrap().is_unnamed());
    }
}

/// A Unix socket, blocking, with a name of its own.
fn unix_socket(name: &UnixAddr) -> OwnedFd {
    let client = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(client.as_raw_fd(), name).unwrap();
    client
}

#[test]
fn a_bound_unix_client_has_its_path_as_address() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener");
    let listener = UnixListener::bind(&path).unwrap();
    for name in ["c", "client", "another client with a longer name"] {
        let name = directory.path().join(name);
        let client = unix_socket(&UnixAddr::new(&name).unwrap());
        connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        let (_socket, peer) = accepted(&listener);
        assert_eq!(path_of(&peer), Some(name.as_path()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_unix_client_has_its_name_as_address() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener");
    let listener = UnixListener::bind(&path).unwrap();
    let name = format!("asyncore-backends {}\0with a nul", std::process::id());
    let client = unix_socket(&UnixAddr::new_abstract(name.as_bytes()).unwrap());
    connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    let (_socket, peer) = accepted(&listener);
    assert_eq!(peer.as_unix_addr().unwrap().as_abstract(), Some(name.as_bytes()));
}

/// Linux takes 108 bytes without a closing nul, and says that it is 109 bytes when it gives it
/// back (unix(7), BUGS): one more than `sockaddr_un` holds.
#[cfg(target_os = "linux")]
#[test]
fn the_longest_path_of_a_unix_client_is_its_address() {
    use nix::libc;
    use std::os::unix::ffi::OsStrExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener");
    let listener = UnixListener::bind(&path).unwrap();
    let client = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();

    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as _, sun_path: [0; 108] };
    let missing = address.sun_path.len() - directory.path().as_os_str().len() - 1;
    let longest = directory.path().join("x".repeat(missing));
    assert_eq!(longest.as_os_str().len(), address.sun_path.len());
    for (to, from) in address.sun_path.iter_mut().zip(longest.as_os_str().as_bytes()) {
        *to = *from as libc::c_char;
    }
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is `length` initialised bytes, and the kernel only reads them.
    let result =
        unsafe { libc::bind(client.as_raw_fd(), std::ptr::from_ref(&address).cast(), length) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());

    connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    let (_socket, peer) = accepted(&listener);
    assert_eq!(path_of(&peer), Some(longest.as_path()));
}

#[test]
fn nobody_there_is_would_block() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let error = accept(listener.as_fd()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    accepted(&listener);
    let error = accept(listener.as_fd()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn what_does_not_listen_is_an_error() {
    let (stream, _peer) = tcp_pair();
    assert_eq!(accept(stream.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let (reader, _writer) = pipe();
    let error = accept(reader.as_fd()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTSOCK));
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_was_reset_before_the_accept_has_an_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    settle(&listener, PollFlags::POLLIN);
    let SocketAddr::V4(expected) = client.local_addr().unwrap() else { unreachable!() };
    reset(client);
    let (socket, peer) = accepted(&listener);
    let peer = peer.as_sockaddr_in().unwrap();
    assert_eq!((peer.ip(), peer.port()), (*expected.ip(), expected.port()));
    settle(&socket, PollFlags::POLLERR);
    let error = TcpStream::from(socket).peer_addr().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected, "it could have been asked afterwards");
}
