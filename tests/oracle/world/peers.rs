//! What the driver holds: raw sockets, pipes, terminals and files.

use super::{PATIENCE, World};
use crate::{
    reach::Reach,
    text::{bytes, name_of, show},
};
use asyncore::{Address, Channel, Family, Key};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        socket::{
            self, AddressFamily, Backlog, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn,
            SockaddrIn6, SockaddrLike, SockaddrStorage, UnixAddr, sockopt,
        },
        time::{TimeVal, TimeValLike},
    },
    unistd,
};
use std::{
    collections::HashMap,
    io,
    net::{Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
    thread,
};

impl World {
    pub(super) fn act_on_peer(
        &self,
        reach: &mut dyn Reach,
        name: &str,
        words: &[&str],
    ) -> io::Result<()> {
        let target = match *words {
            ["sendto", target, ..] => Some(self.address(reach, target)?),
            _ => None,
        };
        let peers = self.peers.borrow();
        let peer = &peers[name];
        match *words {
            ["send", word] => {
                let data = bytes(word);
                let mut sent = 0;
                set_blocking(peer, false)?;
                while sent < data.len() {
                    self.until_ready(peer, PollFlags::POLLOUT);
                    match unistd::write(peer, &data[sent..]) {
                        Ok(count) => sent += count,
                        Err(Errno::EAGAIN) => {}
                        Err(error) => {
                            set_blocking(peer, true)?;
                            return Err(error.into());
                        }
                    }
                }
                set_blocking(peer, true)?;
            }
            ["sendto", _, ref word @ ..] => {
                let data = bytes(&word.concat());
                socket::sendto(peer.as_raw_fd(), &data, &target.unwrap(), MsgFlags::empty())?;
            }
            ["oob", word] => {
                socket::send(peer.as_raw_fd(), &bytes(word), MsgFlags::MSG_OOB)?;
            }
            ["recv", ref size @ ..] => {
                let size = size.first().map_or(4096, |size| size.parse().unwrap());
                let mut buffer = vec![0; size];
                self.until_ready(peer, PollFlags::POLLIN);
                let result = unistd::read(peer, &mut buffer).map_err(io::Error::from);
                let shown = result.map_or_else(|e| name_of(&e), |count| show(&buffer[..count]));
                self.log(format!("{name} recv {shown}"));
            }
            ["shutdown", how] => {
                let how = match direction(how) {
                    Shutdown::Read => socket::Shutdown::Read,
                    Shutdown::Write => socket::Shutdown::Write,
                    Shutdown::Both => socket::Shutdown::Both,
                };
                socket::shutdown(peer.as_raw_fd(), how)?;
            }
            ["fill"] => {
                at_once(peer, || unistd::write(peer, &[b'f'; 4096]))?;
            }
            ["drain"] => {
                at_once(peer, || unistd::read(peer, &mut [0; 1 << 16]))?;
            }
            ["inline"] => socket::setsockopt(peer, sockopt::OobInline, &true)?,
            ["crowd"] => loop {
                let address: SockaddrStorage = socket::getsockname(peer.as_raw_fd())?;
                let socket = self.socket(SockType::Stream)?;
                set_blocking(&socket, false)?;
                let result = socket::connect(socket.as_raw_fd(), &address);
                self.kept.borrow_mut().push(socket);
                if result == Err(Errno::EAGAIN) {
                    break;
                }
                result?;
            },
            ["reset"] => {
                let linger = libc::linger { l_onoff: 1, l_linger: 0 };
                socket::setsockopt(peer, sockopt::Linger, &linger)?;
                drop(peers);
                self.take_peer(name);
            }
            ["close"] => {
                drop(peers);
                self.take_peer(name);
            }
            ["move", number] => {
                drop(peers);
                self.renumber(name, number.parse().unwrap())?;
            }
            ["reuse", channel] => {
                drop(peers);
                let key = self.keys.borrow()[channel].key;
                let number = Self::present(reach, key)?.as_fd().as_raw_fd();
                self.renumber(name, number)?;
            }
            // The check knows the verb, so it is one that makes the name.
            _ => self.wrong(format!("the name {name} is taken")),
        }
        Ok(())
    }

    pub(super) fn add_peer(&self, name: &str, peer: OwnedFd) {
        self.must_be_new(name);
        self.peers.borrow_mut().insert(name.to_owned(), peer);
    }

    pub(super) fn take_peer(&self, name: &str) -> OwnedFd {
        self.peers
            .borrow_mut()
            .remove(name)
            .unwrap_or_else(|| self.wrong(format!("there is no {name}")))
    }

    pub(super) fn socket(&self, kind: SockType) -> io::Result<OwnedFd> {
        let family = match self.family {
            Family::Inet => AddressFamily::Inet,
            Family::Inet6 => AddressFamily::Inet6,
            Family::Unix => AddressFamily::Unix,
        };
        let fd = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>)?;
        patient(&fd)?;
        Ok(fd)
    }

    pub(super) fn new_path(&self) -> PathBuf {
        self.paths.set(self.paths.get() + 1);
        self.directory.path().join(self.paths.get().to_string())
    }

    pub(super) fn bound(&self, kind: SockType) -> io::Result<OwnedFd> {
        let fd = self.socket(kind)?;
        let address: Box<dyn SockaddrLike> = match self.family {
            Family::Inet => Box::new(SockaddrIn::new(127, 0, 0, 1, 0)),
            Family::Inet6 => {
                Box::new(SockaddrIn6::from("[::1]:0".parse::<SocketAddrV6>().unwrap()))
            }
            Family::Unix => Box::new(UnixAddr::new(&self.new_path())?),
        };
        socket::bind(fd.as_raw_fd(), &*address)?;
        Ok(fd)
    }

    pub(super) fn listener(&self, backlog: i32) -> io::Result<OwnedFd> {
        let fd = self.bound(SockType::Stream)?;
        socket::listen(&fd, Backlog::new(backlog)?)?;
        Ok(fd)
    }

    /// Accepts a connection; the listener comes back.
    pub(super) fn answer(&self, listener: OwnedFd) -> io::Result<(OwnedFd, OwnedFd)> {
        let (peer, listener): (OwnedFd, OwnedFd) = if self.family == Family::Unix {
            let listener = UnixListener::from(listener);
            (listener.accept()?.0.into(), listener.into())
        } else {
            let listener = TcpListener::from(listener);
            (listener.accept()?.0.into(), listener.into())
        };
        patient(&peer)?;
        Ok((peer, listener))
    }

    pub(super) fn pair(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        if self.family == Family::Unix {
            let (one, other) = std::os::unix::net::UnixStream::pair()?;
            let (one, other) = (one.into(), other.into());
            patient(&one)?;
            patient(&other)?;
            return Ok((one, other));
        }
        let listener = self.listener(16)?;
        let client = self.socket(SockType::Stream)?;
        let address: SockaddrStorage = socket::getsockname(listener.as_raw_fd())?;
        socket::connect(client.as_raw_fd(), &address)?;
        let (server, _listener) = self.answer(listener)?;
        Ok((client, server))
    }

    /// Where a channel or a peer is.
    pub(super) fn address(&self, reach: &mut dyn Reach, name: &str) -> io::Result<SockaddrStorage> {
        let number = match self.keys.borrow().get(name) {
            Some(watched) => Self::present(reach, watched.key)?.as_fd().as_raw_fd(),
            None => self.peer(&self.peers.borrow(), name).as_raw_fd(),
        };
        Ok(socket::getsockname(number)?)
    }

    fn present(reach: &mut dyn Reach, key: Key) -> io::Result<&Channel> {
        reach.channel(key).ok_or_else(|| Errno::EBADF.into())
    }

    pub(super) fn peer<'a>(&self, peers: &'a HashMap<String, OwnedFd>, name: &str) -> &'a OwnedFd {
        peers.get(name).unwrap_or_else(|| self.wrong(format!("there is no {name}")))
    }

    /// The same socket under a number that is free.
    fn renumber(&self, name: &str, number: i32) -> io::Result<()> {
        let peer = self.take_peer(name);
        let mut copies = Vec::new();
        let moved = loop {
            let copy = peer.try_clone()?;
            if copy.as_raw_fd() == number {
                break copy;
            }
            if copy.as_raw_fd() > number {
                self.wrong(format!("the number {number} is taken"));
            }
            copies.push(copy);
        };
        self.add_peer(name, moved);
        Ok(())
    }

    /// Until poll(2) reports all of `flags`, or so many bytes are there.
    pub(super) fn wait(&self, reach: &mut dyn Reach, name: &str, flags: &[&str]) -> io::Result<()> {
        let peers = self.peers.borrow();
        let fd = match self.keys.borrow().get(name) {
            Some(watched) => Self::present(reach, watched.key)?.as_fd(),
            None => self.peer(&peers, name).as_fd(),
        };
        if let [count] = flags
            && let Ok(count) = count.parse::<usize>()
        {
            let mut buffer = vec![0; count];
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            loop {
                match socket::recv(fd.as_raw_fd(), &mut buffer, flags) {
                    Ok(there) if there >= count => return Ok(()),
                    Ok(_) | Err(Errno::EAGAIN) => self.pause(),
                    Err(Errno::ENOTSOCK) => {
                        self.wrong("only a socket is asked how much there is".to_owned())
                    }
                    Err(error) => self.wrong(format!("{name} does not say how much: {error}")),
                }
            }
        }
        for flag in flags {
            if *flag == "rdhup" {
                // A flag that nix does not know makes the answer one that it cannot give.
                let rdhup = PollFlags::from_bits_retain(libc::POLLRDHUP);
                while self.until_ready(fd, rdhup).is_some() {
                    self.pause();
                }
            } else {
                let flag = flag_named(flag);
                while !self.until_ready(fd, flag).is_some_and(|found| found.contains(flag)) {
                    self.pause();
                }
            }
        }
        Ok(())
    }

    /// Until poll(2) reports anything, for as long as there is patience.
    pub(super) fn until_ready(&self, fd: impl AsFd, wanted: PollFlags) -> Option<PollFlags> {
        loop {
            let mut fds = [PollFd::new(fd.as_fd(), wanted)];
            let left = PollTimeout::try_from(self.patience()).unwrap_or(PollTimeout::ZERO);
            if matches!(poll(&mut fds, left), Ok(1)) {
                return fds[0].revents();
            }
        }
    }

    /// Something has come, but not what is awaited.
    fn pause(&self) {
        self.patience();
        thread::yield_now();
    }

    /// Does `more`, until the peer has got so many bytes, or the end.
    pub(crate) fn pump(&self, name: &str, count: usize, mut more: impl FnMut()) {
        let mut got = Vec::new();
        set_blocking(self.peer(&self.peers.borrow(), name), false).unwrap();
        let mut buffer = vec![0; 1 << 20];
        while got.len() < count {
            self.patience();
            match unistd::read(&self.peers.borrow()[name], &mut buffer) {
                Ok(0) => break,
                Ok(part) => got.extend_from_slice(&buffer[..part]),
                Err(Errno::EAGAIN) => {}
                Err(_) => break,
            }
            more();
        }
        set_blocking(&self.peers.borrow()[name], true).unwrap();
        let got = if got.len() == count { show(&got) } else { "less".to_owned() };
        self.log(format!("{name} got {got}"));
    }
}

/// What must come does not keep the run waiting for ever.
fn patient(fd: &OwnedFd) -> io::Result<()> {
    let timeout = TimeVal::seconds(PATIENCE.as_secs() as i64);
    socket::setsockopt(fd, sockopt::ReceiveTimeout, &timeout)?;
    Ok(socket::setsockopt(fd, sockopt::SendTimeout, &timeout)?)
}

fn set_blocking(fd: &OwnedFd, on: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, !on);
    fcntl(fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Goes on as long as it need not wait.
fn at_once(fd: &OwnedFd, mut step: impl FnMut() -> nix::Result<usize>) -> io::Result<()> {
    set_blocking(fd, false)?;
    let end = loop {
        match step() {
            Ok(0) | Err(Errno::EAGAIN) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error.into()),
        }
    };
    set_blocking(fd, true)?;
    end
}

pub(super) fn to_address(raw: &SockaddrStorage) -> Address {
    if let Some(inet) = raw.as_sockaddr_in() {
        Address::Inet(SocketAddr::V4(SocketAddrV4::from(*inet)))
    } else if let Some(inet6) = raw.as_sockaddr_in6() {
        Address::Inet(SocketAddr::V6(SocketAddrV6::from(*inet6)))
    } else {
        Address::Unix(raw.as_unix_addr().unwrap().path().unwrap().to_owned())
    }
}

pub(super) fn direction(how: &str) -> Shutdown {
    match how {
        "read" => Shutdown::Read,
        "write" => Shutdown::Write,
        _ => Shutdown::Both,
    }
}

fn flag_named(name: &str) -> PollFlags {
    let name = format!("POLL{}", name.to_uppercase());
    PollFlags::from_name(&name).unwrap_or_else(|| panic!("poll(2) has no {name}"))
}
