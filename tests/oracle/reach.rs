//! What scenarios do to channels is the same from outside, by the reactor, and from a callback, by
//! its context.

use crate::{book::Callback, callbacks::Script, world::World};
use asyncore::{
    Address, AsyncChat, Backend, Channel, Chat, ChatContext, Context, Dispatcher, Key, Reactor,
    Terminator,
};
use std::io;

pub(crate) trait Reach {
    fn add(&mut self, channel: Channel, script: Script) -> io::Result<Key>;
    fn add_chat(&mut self, channel: Channel, chat: Chat<Script>) -> io::Result<Key>;
    fn channel(&mut self, key: Key) -> Option<&Channel>;
    fn close(&mut self, key: Key);
    fn del(&mut self, key: Key) -> Option<(Channel, Script)>;
    /// asyncore's ExitNow.
    fn exit(&mut self);

    /// The channel whose callback it is.
    fn own(&self) -> &Channel {
        panic!("nobody is running");
    }

    /// What is done if a callback is not overridden.
    fn default(&mut self, callback: Callback, _: &World) -> io::Result<()> {
        panic!("{callback:?} has no default that a scenario may ask for");
    }

    fn set_terminator(&mut self, terminator: Terminator) {
        panic!("only a chat has a {terminator:?}");
    }

    /// From outside a chat has nothing to discard but its output.
    fn discard_buffers(&mut self, key: Key) {
        if let Some(channel) = self.channel(key) {
            channel.discard_queue();
        }
    }
}

macro_rules! reach {
    () => {
        fn add(&mut self, channel: Channel, script: Script) -> io::Result<Key> {
            Ok(self.add_channel(channel, script)?.untyped())
        }

        fn add_chat(&mut self, channel: Channel, chat: Chat<Script>) -> io::Result<Key> {
            Ok(self.add_channel(channel, chat)?.untyped())
        }

        fn channel(&mut self, key: Key) -> Option<&Channel> {
            (**self).channel(key)
        }

        fn close(&mut self, key: Key) {
            self.close_channel(key);
        }

        fn del(&mut self, key: Key) -> Option<(Channel, Script)> {
            self.del_channel(key.typed())
        }

        fn exit(&mut self) {
            self.stop();
        }
    };
}

impl<B: Backend> Reach for &mut Reactor<B> {
    reach!();
}

impl Reach for &mut Context<'_> {
    reach!();

    fn own(&self) -> &Channel {
        self
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
            _ => panic!("no scenario asks for it"),
        }
    }
}

impl Reach for &mut ChatContext<'_, '_> {
    reach!();

    fn own(&self) -> &Channel {
        self
    }

    fn default(&mut self, callback: Callback, _: &World) -> io::Result<()> {
        struct Bare;
        impl AsyncChat for Bare {
            fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
                Ok(())
            }
        }

        match callback {
            Callback::Expt => Bare.handle_expt(self),
            _ => panic!("no scenario asks for it"),
        }
    }

    fn set_terminator(&mut self, terminator: Terminator) {
        (**self).set_terminator(terminator);
    }

    fn discard_buffers(&mut self, key: Key) {
        assert_eq!(self.key(), key, "one chat discards another's");
        (**self).discard_buffers();
    }
}
