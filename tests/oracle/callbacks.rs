//! The dispatcher of every channel: it writes down what it is called for, and does what the
//! scenario says.

use crate::{
    book::{Answer, Callback, Definition, Kind, When},
    grammar::split,
    reach::Reach,
    text::{name_of, show},
    world::World,
};
use asyncore::{Address, AsyncChat, Channel, ChatContext, Context, Dispatcher, State};
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

    fn call(&self, mut cx: impl Reach, callback: Callback, detail: &str) -> io::Result<()> {
        self.world.log(format!("{} {}{detail}", self.name, name(callback)));
        self.perform(&mut cx, callback, None)
    }

    /// The actions, up to one that fails or is `exit`.
    fn perform(
        &self,
        cx: &mut dyn Reach,
        callback: Callback,
        mut error: Option<io::Error>,
    ) -> io::Result<()> {
        let mut result = Ok(());
        for action in self.definition.actions(callback) {
            result = match *split(&action).1 {
                ["default" | "give_up"] => cx.default(callback, &self.world, error.take()),
                ["exit"] => {
                    cx.exit();
                    break;
                }
                _ => self.world.act(cx, &action, Some(&self.name)),
            };
            if result.is_err() {
                break;
            }
        }
        self.world.note_state(&self.name, cx.own());
        result
    }

    fn fail(&self, mut cx: impl Reach, error: io::Error) -> io::Result<()> {
        self.world.log(format!("{} handle_error {}", self.name, name_of(&error)));
        self.perform(&mut cx, Callback::Error, Some(error))
    }
}

fn name(callback: Callback) -> &'static str {
    match callback {
        Callback::Connect => "handle_connect",
        Callback::Accepted => "handle_accepted",
        Callback::Read => "handle_read",
        Callback::Write => "handle_write",
        Callback::Expt => "handle_expt",
        Callback::Close => "handle_close",
        Callback::Error => "handle_error",
        Callback::Collect => "collect",
        Callback::Found => "found_terminator",
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
        self.call(cx, Callback::Connect, "")
    }

    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        self.world.accepted.replace(Some(channel));
        self.call(cx, Callback::Accepted, "")
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Callback::Read, "")
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Callback::Write, "")
    }

    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Callback::Expt, "")
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, _: Option<io::Error>) -> io::Result<()> {
        self.call(cx, Callback::Close, "")
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        self.fail(cx, error)
    }
}

impl AsyncChat for Script {
    fn readable(&self, channel: &Channel) -> bool {
        answer(self.wants.readable.get(), channel)
    }

    fn handle_connect(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.call(cx, Callback::Connect, "")
    }

    fn collect_incoming_data(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        data: &[u8],
    ) -> io::Result<()> {
        self.call(cx, Callback::Collect, &format!(" {}", show(data)))
    }

    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.call(cx, Callback::Found, "")
    }

    fn handle_expt(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.call(cx, Callback::Expt, "")
    }

    fn handle_close(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        _: Option<io::Error>,
    ) -> io::Result<()> {
        self.call(cx, Callback::Close, "")
    }

    fn handle_error(&mut self, cx: &mut ChatContext<'_, '_>, error: io::Error) -> io::Result<()> {
        self.fail(cx, error)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.world.note_gone(&self.name);
    }
}
