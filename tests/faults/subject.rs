//! The program that is traced: a scenario, some operations of one kind side by side.
//!
//! Its first thread makes the library's calls and no others between the marks; what the rest of the
//! world does is done by other threads, which are not traced. Nothing depends on time, so every run
//! makes the same calls in the same order up to the one that fails.

use asyncore::{Backend, Channel, Context, Dispatcher, Reactor};
use nix::{errno::Errno, unistd::alarm};
use std::{
    cell::{Cell, RefCell},
    fmt, io,
    os::unix::net::UnixStream,
    path::Path,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

pub(crate) const BEGIN: &str = "/here the library begins";
pub(crate) const END: &str = "/here the library ends";

/// How many operations there are side by side.
pub(crate) const OPERATIONS: usize = 5;

/// No pass waits longer than this for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A scenario, and what it is about.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// The calls that fail in it, as [`Call::title`](crate::strace::Call::title) names them.
    pub(crate) aims: &'static [&'static str],
    pub(crate) poll: fn(&Subject),
    pub(crate) select: fn(&Subject),
}

pub(crate) fn run(scenario: &Scenario, backend: &str) {
    alarm::set(3 * PATIENCE.as_secs() as u32);
    let subject = Subject::default();
    match backend {
        "poll" => (scenario.poll)(&subject),
        _ => (scenario.select)(&subject),
    }
    subject.log.borrow().iter().for_each(|line| println!("{line}"));
}

/// Where everything that happens is written down.
#[derive(Default)]
pub(crate) struct Subject {
    log: Rc<RefCell<Vec<String>>>,
}

impl Subject {
    /// The operations; the reactor itself is number 0.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        (1..=OPERATIONS).map(|number| self.operation(number)).collect()
    }

    fn operation(&self, number: usize) -> Operation {
        Operation { number, log: Rc::clone(&self.log), over: Rc::default() }
    }

    pub(crate) fn begin(&self) {
        let _ = Path::new(BEGIN).exists();
    }

    pub(crate) fn end(&self) {
        let _ = Path::new(END).exists();
    }

    /// Makes passes until every operation is over; `meanwhile` comes before each.
    pub(crate) fn passes<B: Backend>(
        &self,
        reactor: &mut Reactor<B>,
        operations: &[Operation],
        mut meanwhile: impl FnMut(),
    ) {
        let own = self.operation(0);
        for _ in 0..100 {
            meanwhile();
            if operations.iter().all(|operation| operation.over.get()) {
                return;
            }
            let begun = Instant::now();
            let _ = own.told(reactor.poll(Some(PATIENCE)));
            if begun.elapsed() >= PATIENCE {
                return own.tell("hangs");
            }
        }
        own.tell("spins");
    }
}

/// One of several things that are done at a time, each with its own channel.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) number: usize,
    log: Rc<RefCell<Vec<String>>>,
    over: Rc<Cell<bool>>,
}

impl Operation {
    pub(crate) fn tell(&self, event: impl fmt::Display) {
        self.log.borrow_mut().push(format!("{} {event}", self.number));
    }

    /// What was to be done is done, and nothing of it was missing.
    pub(crate) fn done(&self) {
        self.tell("done");
        self.over.set(true);
    }

    /// Nothing more will come of it.
    pub(crate) fn give_up(&self) {
        self.over.set(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Writes down an error that a function returned.
    pub(crate) fn told<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.tell(format_args!("returned {}", name_of(error)));
        }
        result
    }

    /// Calls, and once again after an error.
    pub(crate) fn twice<T>(&self, mut call: impl FnMut() -> io::Result<T>) -> Option<T> {
        let result = self.told(call()).or_else(|_| self.told(call()));
        if result.is_err() {
            self.give_up();
        }
        result.ok()
    }
}

fn name_of(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => format!("{:?}", Errno::from_raw(errno)),
        None => format!("{:?}", error.kind()),
    }
}

/// Has the rest of the world do something, and waits until it is done.
pub(crate) fn elsewhere<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(act).join().unwrap())
}

/// Pairs of connected sockets, one for each operation.
pub(crate) fn pairs() -> (Vec<UnixStream>, Vec<UnixStream>) {
    (0..OPERATIONS).map(|_| UnixStream::pair().unwrap()).unzip()
}

/// What is sent: more than one read takes, and nothing in it comes twice.
pub(crate) fn payload(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_be_bytes).take(length).collect()
}

/// What a callback does.
type Act = Box<dyn FnMut(&mut Context<'_>, &Operation) -> io::Result<()>>;

type AcceptedAct = Box<dyn FnMut(Channel, &Operation) -> io::Result<()>>;

/// The dispatcher of an operation: writes down what it is told, and passes errors on with `?`.
pub(crate) struct Recorder {
    operation: Operation,
    connect: Option<Act>,
    read: Option<Act>,
    write: Option<Act>,
    expt: Option<Act>,
    accepted: Option<AcceptedAct>,
}

impl Recorder {
    pub(crate) fn new(operation: &Operation) -> Self {
        let operation = operation.clone();
        Self { operation, connect: None, read: None, write: None, expt: None, accepted: None }
    }

    pub(crate) fn on_connect(
        mut self,
        act: impl FnMut(&mut Context<'_>, &Operation) -> io::Result<()> + 'static,
    ) -> Self {
        self.connect = Some(Box::new(act));
        self
    }

    pub(crate) fn on_read(
        mut self,
        act: impl FnMut(&mut Context<'_>, &Operation) -> io::Result<()> + 'static,
    ) -> Self {
        self.read = Some(Box::new(act));
        self
    }

    pub(crate) fn on_write(
        mut self,
        act: impl FnMut(&mut Context<'_>, &Operation) -> io::Result<()> + 'static,
    ) -> Self {
        self.write = Some(Box::new(act));
        self
    }

    pub(crate) fn on_expt(
        mut self,
        act: impl FnMut(&mut Context<'_>, &Operation) -> io::Result<()> + 'static,
    ) -> Self {
        self.expt = Some(Box::new(act));
        self
    }

    pub(crate) fn on_accepted(
        mut self,
        act: impl FnMut(Channel, &Operation) -> io::Result<()> + 'static,
    ) -> Self {
        self.accepted = Some(Box::new(act));
        self
    }

    /// Reads to the end, and is done if everything has come.
    pub(crate) fn on_read_of(
        self,
        expected: Vec<u8>,
        read: impl Fn(&Channel, &mut [u8]) -> io::Result<usize> + 'static,
    ) -> Self {
        let mut received = Vec::new();
        self.on_read(move |cx, operation| {
            let mut buffer = [0; 8 << 10];
            let count = operation.told(read(cx, &mut buffer))?;
            received.extend_from_slice(&buffer[..count]);
            if count == 0 && received == expected {
                operation.done();
            }
            Ok(())
        })
    }

    /// Writes all of it, and closes.
    pub(crate) fn on_write_of(
        self,
        data: Vec<u8>,
        write: impl Fn(&Channel, &[u8]) -> io::Result<usize> + 'static,
    ) -> Self {
        let mut sent = 0;
        self.on_write(move |cx, operation| {
            let rest = &data[sent..];
            sent += operation.told(write(cx, &rest[..rest.len().min(8 << 10)]))?;
            if sent == data.len() {
                operation.give_up();
                cx.close();
            }
            Ok(())
        })
    }

    fn act(act: &mut Option<Act>, cx: &mut Context<'_>, operation: &Operation) -> io::Result<()> {
        act.as_mut().map_or(Ok(()), |act| act(cx, operation))
    }
}

impl Dispatcher for Recorder {
    fn readable(&self, _: &Channel) -> bool {
        self.read.is_some() || self.accepted.is_some()
    }

    fn writable(&self, _: &Channel) -> bool {
        self.write.is_some()
    }

    fn handle_connect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        Self::act(&mut self.connect, cx, &self.operation)
    }

    fn handle_accepted(
        &mut self,
        _: &mut Context<'_>,
        channel: Channel,
        _: asyncore::Address,
    ) -> io::Result<()> {
        self.accepted.as_mut().map_or(Ok(()), |act| act(channel, &self.operation))
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        Self::act(&mut self.read, cx, &self.operation)
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        Self::act(&mut self.write, cx, &self.operation)
    }

    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        Self::act(&mut self.expt, cx, &self.operation)
    }

    fn handle_close(&mut self, _: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        match cause {
            Some(error) => self.operation.tell(format_args!("handle_close {}", name_of(&error))),
            None => self.operation.tell("handle_close"),
        }
        self.operation.give_up();
        Ok(())
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        self.operation.tell(format_args!("handle_error {}", name_of(&error)));
        if cx.survives(&error) { Ok(()) } else { Err(error) }
    }
}

/// A dispatcher that has no callback but those for its end: what comes is nobody's business.
pub(crate) struct Deaf(pub(crate) Operation);

impl Dispatcher for Deaf {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_close(&mut self, _: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        match cause {
            Some(error) => {
                self.0.tell(format_args!("handle_close {}", name_of(&error)));
                self.0.give_up();
            }
            None => self.0.done(),
        }
        Ok(())
    }

    fn handle_error(&mut self, _: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        self.0.tell(format_args!("handle_error {}", name_of(&error)));
        Err(error)
    }
}
