//! What scenarios do to channels is the same from outside, by the reactor, and from a callback, by
//! its context.

use crate::{book::Callback, callbacks::Script, world::World};
use asyncore::{Address, Backend, Channel, Context, Dispatcher, Key, Reactor};
use std::io;

pub(crate) trait Reach {
    fn add(&mut self, channel: Channel, script: Script) -> io::Result<Key<Script>>;
    fn channel(&mut self, key: Key<Script>) -> Option<&Channel>;
    fn close(&mut self, key: Key<Script>);
    fn del(&mut self, key: Key<Script>) -> Option<(Channel, Script)>;
    /// asyncore's ExitNow.
    fn exit(&mut self);
    /// What the trait `Dispatcher` does if a callback is not overridden.
    fn default(&mut self, callback: Callback, world: &World) -> io::Result<()>;
}

impl<B: Backend> Reach for Reactor<B> {
    fn add(&mut self, channel: Channel, script: Script) -> io::Result<Key<Script>> {
        self.add_channel(channel, script)
    }

    fn channel(&mut self, key: Key<Script>) -> Option<&Channel> {
        self.channel(key)
    }

    fn close(&mut self, key: Key<Script>) {
        self.close_channel(key);
    }

    fn del(&mut self, key: Key<Script>) -> Option<(Channel, Script)> {
        self.del_channel(key)
    }

    fn exit(&mut self) {
        self.stop();
    }

    fn default(&mut self, _: Callback, _: &World) -> io::Result<()> {
        unreachable!("only a callback has a default")
    }
}

impl Reach for Context<'_> {
    fn add(&mut self, channel: Channel, script: Script) -> io::Result<Key<Script>> {
        self.add_channel(channel, script)
    }

    fn channel(&mut self, key: Key<Script>) -> Option<&Channel> {
        self.channel(key)
    }

    fn close(&mut self, key: Key<Script>) {
        self.close_channel(key);
    }

    fn del(&mut self, key: Key<Script>) -> Option<(Channel, Script)> {
        self.del_channel(key)
    }

    fn exit(&mut self) {
        self.stop();
    }

    fn default(&mut self, callback: Callback, world: &World) -> io::Result<()> {
        struct Bare;
        impl Dispatcher for Bare {}

        match callback {
            Callback::Connect => Bare.handle_connect(self),
            Callback::Accepted => {
                let channel = world.accepted.take().expect("a connection was accepted");
                Bare.handle_accepted(self, channel, Address::Unnamed)
            }
            Callback::Read => Bare.handle_read(self),
            Callback::Write => Bare.handle_write(self),
            Callback::Expt => Bare.handle_expt(self),
            Callback::Close | Callback::Error => unreachable!("no scenario asks for it"),
        }
    }
}
