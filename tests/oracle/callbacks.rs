//! The dispatcher of every channel: it writes down what it is called for, and does what the
//! scenario says.

use crate::{
    book::{Answer, Callback, Definition, Kind, When},
    reach::Reach,
    text::name_of,
    world::World,
};
use asyncore::{Address, Channel, Context, Dispatcher, State};
use std::{cell::Cell, io, rc::Rc};

/// What a channel's `readable` and `writable` answer; others may change it.
#[derive(Debug)]
pub(crate) struct Wants {
    pub(crate) readable: Cell<Answer>,
    pub(crate) writable: Cell<Answer>,
}

pub(crate) struct Script {
    world: Rc<World>,
    name: String,
    definition: Definition,
    wants: Rc<Wants>,
}

impl Script {
    pub(crate) fn new(world: &Rc<World>, name: &str, wants: &Rc<Wants>) -> Self {
        Self {
            world: Rc::clone(world),
            name: name.to_owned(),
            definition: world.definition(name),
            wants: Rc::clone(wants),
        }
    }

    fn call(&self, cx: &mut Context<'_>, callback: Callback) -> io::Result<()> {
        self.world.log(format!("{} handle_{}", self.name, name(callback)));
        self.perform(cx, callback)
    }

    fn perform(&self, cx: &mut Context<'_>, callback: Callback) -> io::Result<()> {
        let mut actions = self.definition.actions(callback).into_iter();
        let result = actions.try_for_each(|action| match &*action {
            "default" => cx.default(callback, &self.world),
            _ => self.world.act(cx, &action, Some(&self.name)),
        });
        self.world.note_state(&self.name, cx);
        result
    }
}

fn name(callback: Callback) -> &'static str {
    match callback {
        Callback::Connect => "connect",
        Callback::Accepted => "accepted",
        Callback::Read => "read",
        Callback::Write => "write",
        Callback::Expt => "expt",
        Callback::Close => "close",
        Callback::Error => "error",
    }
}

fn answer(answer: Answer, channel: &Channel) -> bool {
    match answer {
        Answer::Always(answer) => answer,
        Answer::When(When::Connecting) => channel.state() != State::Connected,
        Answer::When(When::Raise) => panic!("raised"),
    }
}

impl Dispatcher for Script {
    fn readable(&self, channel: &Channel) -> bool {
        answer(self.wants.readable.get(), channel)
    }

    fn writable(&self, channel: &Channel) -> bool {
        // What was pushed is sent by the reactor.
        self.definition.kind == Kind::Dispatcher && answer(self.wants.writable.get(), channel)
    }

    fn handle_connect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Callback::Connect)
    }

    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        self.world.accepted.replace(Some(channel));
        self.call(cx, Callback::Accepted)
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Callback::Read)
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Callback::Write)
    }

    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Callback::Expt)
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, _: Option<io::Error>) -> io::Result<()> {
        self.call(cx, Callback::Close)
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        self.world.log(format!("{} handle_error {}", self.name, name_of(&error)));
        if self.definition.actions(Callback::Error) != ["give_up"] {
            return self.perform(cx, Callback::Error);
        }
        // What the trait does unless it is overridden.
        if cx.survives(&error) { Ok(()) } else { Err(error) }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.world.note_gone(&self.name);
    }
}
