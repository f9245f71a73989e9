//! What scenarios do to channels is the same from outside, by the reactor, and from a callback, by
//! its context.

use crate::{book::Callback, callbacks::Script, world::World};
use asyncore::{
    Address, AsyncChat, Backend, Channel, Chat, ChatContext, Context, Dispatcher, Key, Reactor,
    Terminator,
};
use std::{any::Any, io};

pub(crate) trait Reach {
    fn add(&mut self, channel: Channel, script: Script) -> io::Result<Key>;
    fn add_chat(&mut self, channel: Channel, chat: Chat<Script>) -> io::Result<Key>;
    fn channel(&mut self, key: Key) -> Option<&Channel>;
    fn close(&mut self, key: Key);
    /// Takes a channel out, with its dispatcher.
    fn del(&mut self, key: Key) -> Option<Box<dyn Any>>;
    /// Another's, or anyone's from outside.
    fn chat(&mut self, key: Key) -> Option<&mut Chat<Script>>;
    /// asyncore's ExitNow.
    fn exit(&mut self);

    /// The channel whose callback it is.
    fn own(&self) -> &Channel {
        panic!("nobody is running");
    }

    /// What is done if a callback is not overridden.
    fn default(&mut self, callback: Callback, _: &World, _: Option<io::Error>) -> io::Result<()> {
        panic!("{callback:?} has no default that a scenario may ask for");
    }

    fn set_terminator(&mut self, key: Key, terminator: Terminator) {
        if let Some(chat) = self.chat(key) {
            chat.set_terminator(terminator);
        }
    }

    /// Discards what a running chat has; false if it is not that one which runs.
    fn discard_own_buffers(&mut self, _: Key) -> bool {
        false
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

        fn del(&mut self, key: Key) -> Option<Box<dyn Any>> {
            if let Some(taken) = self.del_channel(key.typed::<Script>()) {
                return Some(Box::new(taken));
            }
            Some(Box::new(self.del_channel(key.typed::<Chat<Script>>())?))
        }

        fn chat(&mut self, key: Key) -> Option<&mut Chat<Script>> {
            self.get_mut(key.typed())
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

    fn default(
        &mut self,
        callback: Callback,
        world: &World,
        error: Option<io::Error>,
    ) -> io::Result<()> {
        struct Bare;
        impl Dispatcher for Bare {}

        match callback {
            Callback::Connect => Bare.handle_connect(self),
            Callback::Accepted => {
                let channel = world.take_accepted();
                Bare.handle_accepted(self, channel, Address::Unnamed)
            }
            Callback::Read => Bare.handle_read(self),
            Callback::Write => Bare.handle_write(self),
            Callback::Expt => Bare.handle_expt(self),
            Callback::Close => Bare.handle_close(self, None),
            Callback::Error => Bare.handle_error(self, error.expect("it failed")),
            Callback::Collect | Callback::Found => unreachable!("only a chat has them"),
        }
    }
}

impl Reach for &mut ChatContext<'_, '_> {
    reach!();

    fn own(&self) -> &Channel {
        self
    }

    fn default(
        &mut self,
        callback: Callback,
        _: &World,
        error: Option<io::Error>,
    ) -> io::Result<()> {
        struct Bare;
        impl AsyncChat for Bare {
            fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
                Ok(())
            }
        }

        match callback {
            Callback::Connect => Bare.handle_connect(self),
            Callback::Expt => Bare.handle_expt(self),
            Callback::Close => Bare.handle_close(self, None),
            Callback::Error => Bare.handle_error(self, error.expect("it failed")),
            _ => unreachable!("the check refuses it"),
        }
    }

    fn set_terminator(&mut self, key: Key, terminator: Terminator) {
        if self.key() == key {
            (**self).set_terminator(terminator);
        } else if let Some(chat) = self.chat(key) {
            chat.set_terminator(terminator);
        }
    }

    fn discard_own_buffers(&mut self, key: Key) -> bool {
        if self.key() == key {
            self.discard_buffers();
        }
        self.key() == key
    }
}
