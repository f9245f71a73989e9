//! The model's kernel: one connection, what is on its way, and who has ended what.

use crate::history::{Act, Kind, MOST_UNREAD};
use nix::errno::Errno;

/// With more than that unread by the peer, there is no room to write. Small messages stay far
/// below it, one flush of a large queue is far above.
const ROOM: usize = 32 << 10;

#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) kind: Kind,
    /// What we have not read.
    pub(crate) inbox: usize,
    pub(crate) urgent: Option<Urgent>,
    /// The peer has sent its last.
    pub(crate) ended: bool,
    /// The peer is gone; by a reset, if it is TCP.
    pub(crate) gone: bool,
    /// What the next call that looks for it finds.
    error: Option<Errno>,
    /// The peer does not read, and there is no room at all.
    pub(crate) held: bool,
    /// What was sent and not read by the peer yet.
    pub(crate) in_flight: usize,
    /// Everything that was ever sent.
    pub(crate) sent: usize,
    /// We have sent our last.
    pub(crate) shut: bool,
    /// Our descriptor is open.
    pub(crate) open: bool,
}

/// An out-of-band byte and its mark in the stream, which ends a read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Urgent {
    /// How many bytes are before the mark.
    pub(crate) after: usize,
    taken: bool,
}

/// What the peer sees of our end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sees {
    Open,
    End,
    Reset,
}

impl Wire {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            inbox: 0,
            urgent: None,
            ended: false,
            gone: false,
            error: None,
            held: false,
            in_flight: 0,
            sent: 0,
            shut: false,
            open: true,
        }
    }
}

/// What the kernel says of our end.
impl Wire {
    pub(crate) fn is_readable(&self) -> bool {
        match self.kind {
            Kind::PipeOut => self.gone,
            _ => self.inbox > 0 || self.ended || self.gone,
        }
    }

    fn is_pipe(&self) -> bool {
        matches!(self.kind, Kind::PipeIn | Kind::PipeOut)
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.kind != Kind::PipeIn && (self.gone || self.has_room())
    }

    fn has_room(&self) -> bool {
        !self.held && self.in_flight < ROOM
    }

    pub(crate) fn has_priority(&self) -> bool {
        self.urgent.is_some_and(|urgent| !urgent.taken)
    }

    pub(crate) fn recv(&mut self, room: usize) -> Result<usize, Errno> {
        if self.kind == Kind::PipeOut {
            return Err(Errno::EBADF);
        }
        if self.urgent.is_some_and(|urgent| urgent.after == 0) {
            // The mark was reached before; this read goes past it.
            self.urgent = None;
        }
        let mut count = room.min(self.inbox);
        if let Some(urgent) = &mut self.urgent {
            count = count.min(urgent.after);
            urgent.after -= count;
        }
        self.inbox -= count;
        if count > 0 { Ok(count) } else { self.nothing_to_read() }
    }

    /// `MSG_PEEK`.
    pub(crate) fn peek(&mut self) -> Result<usize, Errno> {
        if self.inbox > 0 { Ok(1) } else { self.nothing_to_read() }
    }

    fn nothing_to_read(&mut self) -> Result<usize, Errno> {
        if !self.ended && !self.gone {
            return Err(Errno::EAGAIN);
        }
        // Linux: after TCP's end of file, nobody reads an error.
        match self.error.take_if(|_| !(self.kind == Kind::Tcp && self.ended)) {
            Some(errno) => Err(errno),
            None => Ok(0),
        }
    }

    pub(crate) fn recv_oob(&mut self) -> Result<usize, Errno> {
        if self.is_pipe() {
            return Err(Errno::ENOTSOCK);
        }
        match &mut self.urgent {
            Some(urgent) if !urgent.taken => {
                if self.gone && !self.ended {
                    return Err(Errno::ENOTCONN);
                }
                urgent.taken = true;
                Ok(1)
            }
            _ => Err(Errno::EAGAIN),
        }
    }

    pub(crate) fn send(&mut self, count: usize) -> Result<usize, Errno> {
        if self.gone || self.shut {
            let error = self.error.take_if(|_| self.kind == Kind::Tcp);
            return Err(error.unwrap_or(Errno::EPIPE));
        }
        // Who has little room is not writable, and yet a socket takes a message.
        if self.held || (self.kind == Kind::PipeOut && !self.has_room()) {
            return Err(Errno::EAGAIN);
        }
        self.in_flight += count;
        self.sent += count;
        Ok(count)
    }

    pub(crate) fn shutdown(&mut self) -> Result<(), Errno> {
        if self.kind == Kind::Tcp && self.gone {
            return Err(Errno::ENOTCONN);
        }
        self.shut = true;
        Ok(())
    }

    pub(crate) fn discard_input(&mut self) {
        (self.inbox, self.urgent) = (0, None);
    }

    pub(crate) fn close(&mut self) {
        self.open = false;
    }
}

/// What the peer does.
impl Wire {
    pub(crate) fn peer_acts(&mut self, act: Act) {
        let (socket, tcp) = (!self.is_pipe(), self.kind == Kind::Tcp);
        match act {
            Act::PeerSends(_, count) if self.peer_may_send(self.inbox) => self.inbox += count,
            Act::PeerSendsOob(_) if tcp && !self.ended => {
                self.urgent = Some(Urgent { after: self.inbox, taken: false });
            }
            Act::PeerEnds(_) if socket => self.ended = true,
            Act::PeerCloses(_) if !tcp => {
                let unread = self.held || self.in_flight > 0;
                self.error = (self.kind == Kind::Unix && unread).then_some(Errno::ECONNRESET);
                self.gone = true;
            }
            Act::PeerResets(_) if tcp => {
                self.error = Some(if self.ended { Errno::EPIPE } else { Errno::ECONNRESET });
                self.gone = true;
            }
            Act::PeerHolds(_) if matches!(self.kind, Kind::Unix | Kind::PipeOut) => {
                self.held |= !self.shut;
            }
            Act::PeerReads(_) => self.peer_reads(),
            _ => {}
        }
    }

    fn peer_may_send(&self, unread: usize) -> bool {
        !self.ended && self.kind != Kind::PipeOut && unread <= MOST_UNREAD
    }

    pub(crate) fn peer_reads(&mut self) {
        (self.held, self.in_flight) = (false, 0);
    }

    pub(crate) fn peer_sees(&self) -> Sees {
        let unread = self.inbox > 0 || self.urgent.is_some();
        match self.kind {
            _ if self.open => {
                if self.shut {
                    Sees::End
                } else {
                    Sees::Open
                }
            }
            Kind::Unix if unread => Sees::Reset,
            Kind::Tcp if unread && !self.shut => Sees::Reset,
            Kind::PipeIn => Sees::Reset,
            _ => Sees::End,
        }
    }
}
