//! The other end of a real channel.

use crate::{
    common::{PATIENCE, reset},
    history::{Kind, MOST_UNREAD},
    wire::{Sees, Wire},
};
use asyncore::Channel;
use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, send, setsockopt, sockopt},
};
use std::{
    cell::Cell,
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread,
    time::{Duration, Instant},
};

/// The byte at each place of a stream. No place has [`FILLING`].
pub(crate) fn byte_at(position: usize) -> u8 {
    (position % 251) as u8
}

/// Of what the way to the peer is filled with.
const FILLING: u8 = 255;

/// About half of what Linux gives: one flush of a large queue leaves no room, and all the small
/// messages of one step do.
const SEND_BUFFER: usize = 120_000;

thread_local! {
    static IMPATIENT: Cell<bool> = const { Cell::new(false) };
}

/// Has what comes over TCP waited for a moment only, while a history that has failed is cut down.
pub(crate) fn be_impatient(on: bool) {
    IMPATIENT.set(on);
}

fn patience() -> Duration {
    if IMPATIENT.get() { Duration::from_millis(200) } else { PATIENCE }
}

pub(crate) struct Peer {
    end: End,
    kind: Kind,
    /// Bytes sent, and received.
    sent: usize,
    got: usize,
    sees: Sees,
    ended: bool,
    held: bool,
}

enum End {
    Unix(UnixStream),
    Tcp(TcpStream),
    Pipe(File),
}

impl Peer {
    /// A new pair: our end, and the peer with its own.
    pub(crate) fn pair(kind: Kind, listener: &TcpListener) -> (OwnedFd, Self) {
        let (ours, end) = match kind {
            Kind::Unix => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                setsockopt(&ours, sockopt::SndBuf, &SEND_BUFFER).unwrap();
                theirs.set_nonblocking(true).unwrap();
                (ours.into(), End::Unix(theirs))
            }
            Kind::Tcp => {
                let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (ours, _) = listener.accept().unwrap();
                ours.set_nodelay(true).unwrap();
                theirs.set_nodelay(true).unwrap();
                theirs.set_nonblocking(true).unwrap();
                (ours.into(), End::Tcp(theirs))
            }
            Kind::PipeIn | Kind::PipeOut => {
                let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let (reader, writer) = nix::unistd::pipe2(flags).unwrap();
                let (ours, theirs) =
                    if kind == Kind::PipeIn { (reader, writer) } else { (writer, reader) };
                (ours, End::Pipe(theirs.into()))
            }
        };
        let peer = Self { end, kind, sent: 0, got: 0, sees: Sees::Open, ended: false, held: false };
        (ours, peer)
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.kind == Kind::Tcp
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Sends, unless we have left much of it unread.
    pub(crate) fn send(&mut self, count: usize, received: usize) {
        if self.ended || self.kind == Kind::PipeOut || self.sent - received > MOST_UNREAD {
            return;
        }
        let data: Vec<u8> = (self.sent..self.sent + count).map(byte_at).collect();
        let result = match &mut self.end {
            End::Unix(end) => end.write(&data),
            End::Tcp(end) => end.write(&data),
            End::Pipe(end) => end.write(&data),
        };
        assert_eq!(result.unwrap(), count);
        self.sent += count;
    }

    pub(crate) fn send_oob(&self) {
        if let End::Tcp(end) = &self.end
            && !self.ended
        {
            send(end.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        }
    }

    pub(crate) fn end(&mut self) {
        if self.ended {
            return;
        }
        match &self.end {
            End::Unix(end) => end.shutdown(Shutdown::Write).unwrap(),
            End::Tcp(end) => end.shutdown(Shutdown::Write).unwrap(),
            End::Pipe(_) => return,
        }
        self.ended = true;
    }

    /// No longer reads; `ours` is the channel's end, which fills the way.
    pub(crate) fn hold(&mut self, ours: BorrowedFd<'_>) {
        if self.held || !matches!(self.kind, Kind::Unix | Kind::PipeOut) {
            return;
        }
        let filling = [FILLING; 64 << 10];
        loop {
            let result = match self.kind {
                Kind::Unix => send(ours.as_raw_fd(), &filling, MsgFlags::MSG_NOSIGNAL),
                _ => nix::unistd::write(ours, &filling),
            };
            match result {
                Ok(_) => {}
                Err(Errno::EAGAIN) => break self.held = true,
                Err(Errno::EPIPE) => break,
                Err(errno) => panic!("{errno}"),
            }
        }
    }

    pub(crate) fn read(&mut self) {
        self.held = false;
        self.look();
    }

    /// Reads what is there, and sees what is of our end.
    fn look(&mut self) {
        if self.kind == Kind::PipeIn {
            let End::Pipe(end) = &self.end else { unreachable!() };
            let mut fds = [PollFd::new(end.as_fd(), PollFlags::empty())];
            if poll(&mut fds, PollTimeout::ZERO).unwrap() > 0 {
                self.sees = Sees::Reset;
            }
            return;
        }
        let mut buffer = [0; 16 << 10];
        loop {
            let result = match &mut self.end {
                End::Unix(end) => end.read(&mut buffer),
                End::Tcp(end) => end.read(&mut buffer),
                End::Pipe(end) => end.read(&mut buffer),
            };
            match result {
                Ok(0) => {
                    if self.sees == Sees::Open {
                        self.sees = Sees::End;
                    }
                    return;
                }
                Ok(count) => {
                    for byte in buffer[..count].iter().filter(|byte| **byte != FILLING) {
                        assert_eq!(*byte, byte_at(self.got), "at byte {}", self.got);
                        self.got += 1;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return self.sees = Sees::Reset;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Whether the peer sees what it is to see; what comes over TCP is waited for.
    pub(crate) fn check(&mut self, wire: &Wire) -> Result<(), String> {
        let expected = (wire.sent, wire.peer_sees());
        if (self.got, self.sees) == expected && wire.open {
            return Ok(());
        }
        let end = Instant::now() + patience();
        loop {
            self.look();
            let found = (self.got, self.sees);
            if found == expected {
                return Ok(());
            }
            let may_change = self.is_tcp() && self.sees == Sees::Open && self.got <= wire.sent;
            if !may_change || Instant::now() > end {
                return Err(format!("the peer has {found:?}, and was to have {expected:?}"));
            }
            thread::yield_now();
        }
    }

    /// Waits until what it did has come.
    pub(crate) fn await_arrival(channel: &Channel, wire: &Wire) {
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, wire.is_readable());
        events.set(PollFlags::POLLPRI, wire.has_priority());
        events.set(PollFlags::from_bits_retain(nix::libc::POLLRDHUP), wire.ended);
        // One at a time: each of them is to come. A break comes unasked.
        let broken = wire.gone.then(PollFlags::empty);
        for event in events.iter().chain(broken) {
            let mut fds = [PollFd::new(channel.as_fd(), event)];
            let patience = PollTimeout::try_from(patience()).unwrap();
            let count = loop {
                match poll(&mut fds, patience) {
                    Err(Errno::EINTR) => {}
                    result => break result.unwrap(),
                }
            };
            assert!(count > 0, "what the peer did does not come");
        }
        if wire.gone || wire.urgent.is_some() {
            return;
        }
        // No event says that the rest of the bytes has come as well.
        let end = Instant::now() + patience();
        while rustix::io::ioctl_fionread(channel).unwrap() as usize != wire.inbox {
            assert!(Instant::now() < end, "what the peer sent does not come");
            thread::yield_now();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // So that no port has to wait.
        if let End::Tcp(end) = &self.end {
            reset(end);
        }
    }
}
