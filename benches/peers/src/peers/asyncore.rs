//! asyncore-rs.

use crate::peer::{Interest, Io, Method, Peer, Shared, Wait, allocated};
use asyncore::{Backend, Builder, Channel, Context, Dispatcher, Key, Reactor, Scan};
use std::{io, marker::PhantomData, os::fd::OwnedFd, time::Duration};

pub(crate) struct Asyncore<B, C = AsItComes> {
    work: Shared,
    reactor: Reactor<B>,
    keys: Vec<Option<Key<Watched>>>,
    choice: PhantomData<C>,
}

/// How the reactor is built.
pub(crate) trait Choice {
    fn builder() -> Builder;
}

/// With the usual choices.
pub(crate) struct AsItComes;
/// One system call on everything.
pub(crate) struct Plain;
/// Half of the time for those that are not busy.
pub(crate) struct Half;

impl Choice for AsItComes {
    fn builder() -> Builder {
        Reactor::builder()
    }
}

impl Choice for Plain {
    fn builder() -> Builder {
        Reactor::builder().scan(Scan::Plain)
    }
}

impl Choice for Half {
    fn builder() -> Builder {
        Reactor::builder().cold_share(0.5)
    }
}

struct Watched {
    token: usize,
    work: Shared,
}

impl Dispatcher for Watched {
    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut channel: &Channel = cx;
        self.work.borrow_mut().ready(self.token, &mut channel);
        Ok(())
    }

    /// The echo server's work accepts by itself.
    fn handle_accept(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.handle_read(cx)
    }

    fn handle_write(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Ok(())
    }
}

impl Io for &Channel {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Channel::recv(self, buffer)
    }

    fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        Channel::send(self, data)
    }
}

impl<B: Backend, C: Choice> Peer for Asyncore<B, C> {
    type Source = Channel;
    /// The dispatcher, and a key that most programs would not keep.
    const OWN: usize = allocated::<Watched>() + size_of::<Option<Key<Watched>>>();

    fn new(work: Shared, _: Method) -> io::Result<Self> {
        let reactor = C::builder().backend(B::default()).build();
        Ok(Self { work, reactor, keys: Vec::new(), choice: PhantomData })
    }

    fn source(fd: OwnedFd) -> io::Result<Channel> {
        Channel::new(fd)
    }

    fn add(&mut self, token: usize, channel: Channel, interest: Interest) -> io::Result<()> {
        watch_for(&channel, interest);
        let dispatcher = Watched { token, work: self.work.clone() };
        if token >= self.keys.len() {
            self.keys.resize(token + 1, None);
        }
        self.keys[token] = Some(self.reactor.add_channel(channel, dispatcher)?);
        Ok(())
    }

    fn set(&mut self, token: usize, interest: Interest) -> io::Result<()> {
        let key = self.keys[token].expect("the token is in use");
        let channel = self.reactor.channel(key).expect("the channel is open");
        watch_for(channel, interest);
        Ok(())
    }

    fn remove(&mut self, token: usize) -> io::Result<Option<Channel>> {
        let key = self.keys[token].take();
        let removed = key.and_then(|key| self.reactor.del_channel(key));
        Ok(removed.map(|(channel, _)| channel))
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        self.reactor.poll((wait == Wait::Probe).then_some(Duration::ZERO)).map(drop)
    }
}

fn watch_for(channel: &Channel, interest: Interest) {
    let mut wanted = asyncore::Interest::PRIORITY;
    wanted.set(asyncore::Interest::READ, interest.reads());
    wanted.set(asyncore::Interest::WRITE, interest.writes());
    channel.pause(wanted.complement());
    channel.resume(wanted);
}
