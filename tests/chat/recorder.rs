//! A handler that writes down what it is called for, and a channel that it is on.

use crate::common::{Log, name_of, reactor};
use asyncore::{AsyncChat, Backend, Channel, Chat, ChatContext, Key, Reactor, Terminator};
use std::{
    collections::HashMap,
    io::{self, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

type Hook = Box<dyn FnMut(&mut ChatContext<'_, '_>) -> io::Result<()>>;

/// Writes each callback into a [`Log`] and then does what its hook says.
///
/// Entries: `connect`, `data hello`, `found`, `expt`, `eof`, `error EPERM`, `close` with
/// ` ECONNRESET` if there is a cause, `drop`. Data is collected as well, unless there is a hook for
/// it.
pub(crate) struct Recorder {
    log: Log,
    hooks: HashMap<&'static str, Hook>,
    keeps_on_error: bool,
    pub(crate) readable: bool,
}

impl Recorder {
    pub(crate) fn new(log: &Log) -> Self {
        let (log, hooks) = (log.clone(), HashMap::new());
        Self { log, hooks, keeps_on_error: false, readable: true }
    }

    /// `event`: `connect`, `data`, `found`, `expt`, `eof`, `error` or `close`.
    pub(crate) fn on(
        mut self,
        event: &'static str,
        hook: impl FnMut(&mut ChatContext<'_, '_>) -> io::Result<()> + 'static,
    ) -> Self {
        self.hooks.insert(event, Box::new(hook));
        self
    }

    /// At the first terminator, the second, ...: the one that comes next, until there are no more.
    pub(crate) fn then_terminators(
        self,
        terminators: impl IntoIterator<Item = Terminator, IntoIter: 'static>,
    ) -> Self {
        let mut terminators = terminators.into_iter();
        self.on("found", move |cx| {
            if let Some(terminator) = terminators.next() {
                cx.set_terminator(terminator);
            }
            Ok(())
        })
    }

    /// At each terminator what was collected is taken, and written down as `line hello`.
    pub(crate) fn taking(self) -> Self {
        let log = self.log.clone();
        self.on("found", move |cx| {
            log.push(format!("line {}", cx.take_data().escape_ascii()));
            Ok(())
        })
    }

    /// `handle_error` returns `Ok`, unless its hook does not.
    pub(crate) fn keep_on_error(mut self) -> Self {
        self.keeps_on_error = true;
        self
    }

    fn call(&mut self, event: &'static str, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.hooks.get_mut(event).map_or(Ok(()), |hook| hook(cx))
    }
}

impl AsyncChat for Recorder {
    fn readable(&self, _: &Channel) -> bool {
        self.readable
    }

    fn collect_incoming_data(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        data: &[u8],
    ) -> io::Result<()> {
        assert!(!data.is_empty());
        self.log.push(format!("data {}", data.escape_ascii()));
        if self.hooks.contains_key("data") { self.call("data", cx) } else { cx.collect(data) }
    }

    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.log.push("found");
        self.call("found", cx)
    }

    fn handle_connect(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.log.push("connect");
        self.call("connect", cx)
    }

    fn handle_expt(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.log.push("expt");
        self.call("expt", cx)
    }

    fn handle_eof(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.log.push("eof");
        self.call("eof", cx)
    }

    fn handle_close(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        cause: Option<io::Error>,
    ) -> io::Result<()> {
        match cause {
            None => self.log.push("close"),
            Some(cause) => self.log.push(format!("close {}", name_of(&cause))),
        }
        self.call("close", cx)
    }

    fn handle_error(&mut self, cx: &mut ChatContext<'_, '_>, error: io::Error) -> io::Result<()> {
        self.log.push(format!("error {}", name_of(&error)));
        self.call("error", cx)?;
        if self.keeps_on_error { Ok(()) } else { Err(error) }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.log.push("drop");
    }
}

/// A reactor with one chat, and its peer.
pub(crate) struct Talk<B> {
    pub(crate) reactor: Reactor<B>,
    pub(crate) key: Key<Chat<Recorder>>,
    pub(crate) log: Log,
    pub(crate) peer: UnixStream,
}

/// A chat that begins with this terminator.
pub(crate) fn talk<B: Backend + Default>(
    terminator: impl Into<Terminator>,
    adjust: impl FnOnce(Recorder) -> Recorder,
) -> Talk<B> {
    let (ours, peer) = UnixStream::pair().unwrap();
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    let chat = Chat::new(adjust(Recorder::new(&log)), terminator);
    let key = reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
    Talk { reactor, key, log, peer }
}

impl<B: Backend> Talk<B> {
    /// The peer says this, and all that comes of it has happened: what is written to a Unix socket
    /// is there at once.
    #[track_caller]
    pub(crate) fn say(&mut self, data: impl AsRef<[u8]>) {
        // Not more at once than the socket takes.
        for part in data.as_ref().chunks(64 << 10) {
            self.peer.write_all(part).unwrap();
            self.settle();
        }
    }

    /// Makes passes until nothing is left to be served.
    pub(crate) fn settle(&mut self) {
        while self.reactor.poll(Some(Duration::ZERO)).unwrap() > 0 {}
    }

    /// What was called since; see [`joined`].
    pub(crate) fn calls(&self) -> Vec<String> {
        joined(self.log.take())
    }

    pub(crate) fn channel(&mut self) -> &Channel {
        self.reactor.channel(self.key).unwrap()
    }

    pub(crate) fn chat(&mut self) -> &mut Chat<Recorder> {
        self.reactor.get_mut(self.key).unwrap()
    }
}

/// With the pieces of data that follow each other put together: how many there are depends on how
/// the input was split.
pub(crate) fn joined(log: Vec<String>) -> Vec<String> {
    let mut calls: Vec<String> = Vec::new();
    for entry in log {
        match (calls.last_mut(), entry.strip_prefix("data ")) {
            (Some(last), Some(data)) if last.starts_with("data ") => last.push_str(data),
            _ => calls.push(entry),
        }
    }
    calls
}
