//! A child process in a reactor: its three standard streams, and its end.
//!
//! What is read from our standard input goes to the child's, and what it writes to our output and
//! error, never more than is read at the other end. `run_child sort -u < names` does what
//! `sort -u < names` does, its exit status included.

mod common;

use asyncore::{Backend, Channel, Context, Dispatcher, Key, Reactor};
use clap::Parser;
use common::stdio::Stdio;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use signal_hook::{
    consts::{SIGCHLD, SIGINT, SIGTERM},
    flag::register_conditional_default,
    low_level::pipe,
};
use std::{
    cell::Cell,
    ffi::OsString,
    fmt::Display,
    io::{self, ErrorKind, Write},
    os::unix::{net::UnixStream, process::ExitStatusExt},
    process::{self, Child, Command, ExitCode, ExitStatus},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Run a command with its standard streams in a reactor, and exit with its status
///
/// That is 128 and the number of the signal if one killed it, 127 if there is no such command, and
/// 126 if it cannot be run. SIGTERM is passed on to it. SIGINT is not: a terminal sends it to both.
/// All that the command wrote is passed on; what others write to its streams after its end is not.
#[derive(Parser)]
struct Args {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

/// While a sink has this much to write, nothing more is read for it.
const MOST_QUEUED: usize = 64 << 10;

/// Where something is read that goes to a sink: our input, the child's output and error.
struct Source {
    name: &'static str,
    sink: Key<Sink>,
    paused: bool,
}

impl Dispatcher for Source {
    fn readable(&self, _: &Channel) -> bool {
        !self.paused
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 64 << 10];
        let count = cx.recv(&mut buffer)?;
        let Some(sink) = cx.channel(self.sink) else { return Ok(()) };
        match sink.push(&buffer[..count]) {
            // The sink ends, and takes us with it.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            result => result?,
        }
        if sink.queued() >= MOST_QUEUED {
            self.paused = true;
            if let Some(sink) = cx.get_mut(self.sink) {
                sink.awaited = true;
            }
        }
        Ok(())
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        if let Some(error) = cause {
            complain(self.name, &error);
        }
        if let Some(sink) = cx.channel(self.sink) {
            sink.close_when_sent();
        }
        Ok(())
    }
}

/// Where it goes: the child's input, our output and error.
struct Sink {
    name: &'static str,
    source: Option<Key<Source>>,
    /// The source is paused until everything is written.
    awaited: bool,
}

impl Dispatcher for Sink {
    /// A terminal or a socket may have something to read, which is not for us.
    fn readable(&self, _: &Channel) -> bool {
        false
    }

    fn writable(&self, _: &Channel) -> bool {
        self.awaited
    }

    /// Writable, and nothing is queued any more.
    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.awaited = false;
        if let Some(source) = self.source.and_then(|key| cx.get_mut(key)) {
            source.paused = false;
        }
        Ok(())
    }

    /// Everything is written; or nobody reads it any more, as in `yes | head`, and whoever writes
    /// is to find that out as well.
    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        if let Some(error) = cause {
            complain_unless_broken(self.name, &error);
        }
        if let Some(source) = self.source {
            cx.close_channel(source);
        }
        Ok(())
    }
}

/// Adds a source and its sink.
fn connect<B: Backend>(
    reactor: &mut Reactor<B>,
    (source_name, source): (&'static str, Channel),
    (sink_name, sink): (&'static str, Channel),
) -> io::Result<Key<Source>> {
    let dispatcher = Sink { name: sink_name, source: None, awaited: false };
    let sink = reactor.add_channel(sink, dispatcher)?;
    let dispatcher = Source { name: source_name, sink, paused: false };
    let source = reactor.add_channel(source, dispatcher)?;
    if let Some(sink) = reactor.get_mut(sink) {
        sink.source = Some(source);
    }
    Ok(source)
}

/// Hears SIGCHLD.
///
/// A byte on a socket for each signal, on every system; Linux's pidfd would be one descriptor per
/// child and no signal. A signal says only that there is news of some child: which and what is
/// asked of the child itself.
struct Nurse {
    child: Child,
    input: Key<Source>,
    outputs: [Key<Source>; 2],
    terminator: Key<Terminator>,
    ended: Arc<AtomicBool>,
    status: Rc<Cell<Option<ExitStatus>>>,
}

impl Dispatcher for Nurse {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.recv(&mut [0; 64])?;
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        self.status.set(Some(status));
        self.ended.store(true, Ordering::Relaxed);
        cx.close_channel(self.terminator);
        if let Some(Source { sink, .. }) = cx.get(self.input) {
            let sink = *sink;
            cx.close_channel(sink);
        }
        cx.close_channel(self.input);
        for output in self.outputs {
            read_the_rest(cx, output);
        }
        cx.close();
        Ok(())
    }
}

/// The largest pipe that Linux gives to anybody.
const LARGEST_PIPE: usize = 1 << 20;

/// Takes what the child left in a pipe, and closes it. Its end may never come: a process that the
/// child has left behind may have the pipe open, and may write to it for ever.
fn read_the_rest(cx: &mut Context<'_>, key: Key<Source>) {
    let Some(&Source { name, sink, .. }) = cx.get(key) else { return };
    let mut rest = vec![0; LARGEST_PIPE];
    let mut count = 0;
    if let Some(pipe) = cx.channel(key) {
        while let Ok(more @ 1..) = pipe.recv(&mut rest[count..]) {
            count += more;
        }
    }
    cx.close_channel(key);
    if let Some(sink) = cx.channel(sink) {
        if let Err(error) = sink.push(&rest[..count]) {
            complain_unless_broken(name, &error);
        }
        sink.close_when_sent();
    }
}

/// Passes SIGTERM on. The child was not waited for as long as this is there, so its number is its
/// own.
struct Terminator {
    child: Pid,
}

impl Dispatcher for Terminator {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.recv(&mut [0; 64])?;
        Ok(kill(self.child, Signal::SIGTERM)?)
    }
}

/// A channel that can be read when the signal has come.
fn signal(signal: i32) -> io::Result<Channel> {
    let (reader, writer) = UnixStream::pair()?;
    pipe::register(signal, writer)?;
    Channel::new(reader)
}

/// What is heard from outside, from before the child is started: it may be quick.
struct Signals {
    child: Channel,
    terminate: Channel,
    /// From then on SIGINT and SIGTERM do what they do to any program.
    ended: Arc<AtomicBool>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            register_conditional_default(signal, Arc::clone(&ended))?;
        }
        Ok(Self { child: signal(SIGCHLD)?, terminate: signal(SIGTERM)?, ended })
    }
}

fn attend<B: Backend>(
    mut reactor: Reactor<B>,
    mut child: Child,
    signals: Signals,
) -> io::Result<ExitStatus> {
    let piped = "the streams are pipes";
    let stdin = Channel::new(child.stdin.take().expect(piped))?;
    let stdout = Channel::new(child.stdout.take().expect(piped))?;
    let stderr = Channel::new(child.stderr.take().expect(piped))?;
    let mut ours = Stdio::default();
    let input = ("standard input", ours.stdin()?);
    let output = ("standard output", ours.stdout()?);
    let error = ("standard error", ours.stderr()?);

    let terminator = Terminator { child: Pid::from_raw(child.id() as i32) };
    let status = Rc::new(Cell::new(None));
    let nurse = Nurse {
        child,
        input: connect(&mut reactor, input, ("the child's input", stdin))?,
        outputs: [
            connect(&mut reactor, ("the child's output", stdout), output)?,
            connect(&mut reactor, ("the child's error", stderr), error)?,
        ],
        terminator: reactor.add_channel(signals.terminate, terminator)?,
        ended: signals.ended,
        status: Rc::clone(&status),
    };
    reactor.add_channel(signals.child, nurse)?;
    // Returns when nothing is left: the child has ended, and all that it wrote is written.
    reactor.run()?;
    status.get().ok_or_else(|| io::Error::other("the child was lost"))
}

/// Nobody may be reading it.
fn complain(about: impl Display, error: &io::Error) {
    let _ = writeln!(io::stderr(), "run_child: {about}: {error}");
}

/// That nobody reads it any more is told to who writes it, by the same error.
fn complain_unless_broken(about: impl Display, error: &io::Error) {
    if error.kind() != ErrorKind::BrokenPipe {
        complain(about, error);
    }
}

/// Starts the command. The status says what went wrong, as `env` and the shells do.
fn start(command: &[OsString]) -> Result<(Child, Signals), u8> {
    let signals = Signals::new().map_err(|error| {
        complain("signals", &error);
        125
    })?;
    let mut new = Command::new(&command[0]);
    let piped = process::Stdio::piped;
    new.args(&command[1..]).stdin(piped()).stdout(piped()).stderr(piped());
    match new.spawn() {
        Ok(child) => Ok((child, signals)),
        Err(error) => {
            complain(command[0].display(), &error);
            Err(if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (child, signals) = match start(&args.command) {
        Ok(started) => started,
        Err(code) => return ExitCode::from(code),
    };
    match common::run_on!(args.backend, attend(child, signals)) {
        Ok(status) => {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
        }
        Err(error) => {
            complain(args.command[0].display(), &error);
            ExitCode::from(125)
        }
    }
}
