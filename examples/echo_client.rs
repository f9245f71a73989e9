//! A terminal on a connection: standard input goes out, what comes back goes to standard output.
//!
//! Three channels in one reactor: the socket, and the two ends of the terminal through
//! `file_dispatcher`. `printf 'x\n' | cargo run --example echo_client` prints x and ends.

mod common;

use asyncore::{
    Address, Backend, Channel, Context, Dispatcher, Family, Interest, Key, Reactor, ToAddress,
    Type, file_dispatcher,
};
use clap::Parser;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::{cell::RefCell, io, net::Shutdown, os::fd::AsFd, process::ExitCode, rc::Rc};

/// Connect standard input and output to a server
#[derive(Parser)]
struct Args {
    /// Where to connect: IP:PORT, or the path of a Unix socket
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

/// Who has this much to send is not sent more until it is out.
const MOST_QUEUED: usize = 256 << 10;

/// Ends the reactor in an error, if it is set.
type Failure = Rc<RefCell<Option<io::Error>>>;

/// One of the three channels. What is read from it goes to its sink.
struct Side {
    role: Role,
    sink: Option<Key<Side>>,
    /// Whom to read from again when everything is sent here.
    waiting: Option<Key>,
    failure: Failure,
}

enum Role {
    Input,
    /// With the keys of the two others.
    Network(Key<Side>, Key<Side>),
    Output,
}

impl Dispatcher for Side {
    fn readable(&self, _: &Channel) -> bool {
        self.sink.is_some()
    }

    fn writable(&self, _: &Channel) -> bool {
        self.waiting.is_some()
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let count = cx.recv(&mut buffer)?;
        let Some(key) = self.sink else { return Ok(()) };
        let Some(sink) = cx.channel(key) else { return Ok(()) };
        sink.push(&buffer[..count])?;
        if sink.queued() >= MOST_QUEUED {
            cx.pause(Interest::READ);
            let reader = cx.key();
            if let Some(sink) = cx.get_mut(key) {
                sink.waiting = Some(reader);
            }
        }
        Ok(())
    }

    /// Writable, and nothing is queued any more.
    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(reader) = self.waiting.take().and_then(|key| cx.channel(key)) {
            reader.resume(Interest::READ);
        }
        Ok(())
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        if let Some(error) = cause {
            self.failure.replace(Some(error));
            cx.stop();
            return Ok(());
        }
        match self.role {
            Role::Input => {
                if let Some(network) = self.sink.and_then(|key| cx.channel(key)) {
                    network.shutdown(Shutdown::Write)?;
                }
            }
            Role::Network(input, output) => {
                cx.close_channel(input);
                if let Some(output) = cx.channel(output) {
                    output.close_when_sent();
                }
            }
            Role::Output => cx.stop(),
        }
        Ok(())
    }
}

fn converse<B: Backend>(mut reactor: Reactor<B>, address: &Address) -> io::Result<()> {
    common::stop_on_signals(&mut reactor)?;
    let failure = Failure::default();
    let side = |role, sink| Side { role, sink, waiting: None, failure: Rc::clone(&failure) };

    let network = Channel::create_socket(Family::of(address), Type::Stream)?;
    network.connect(address)?;
    let output = reactor.add_channel(file_dispatcher(io::stdout())?, side(Role::Output, None))?;
    let input = reactor.add_channel(file_dispatcher(io::stdin())?, side(Role::Input, None))?;
    let network = reactor.add_channel(network, side(Role::Network(input, output), Some(output)))?;
    if let Some(input) = reactor.get_mut(input) {
        input.sink = Some(network);
    }
    reactor.run()?;
    failure.take().map_or(Ok(()), Err)
}

/// Non-blocking is a property of the open terminal, which others share: it is given back as it was.
struct KeepBlocking<F: AsFd>(F, OFlag);

impl<F: AsFd> KeepBlocking<F> {
    fn new(fd: F) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        Ok(Self(fd, flags))
    }
}

impl<F: AsFd> Drop for KeepBlocking<F> {
    fn drop(&mut self) {
        let _ = fcntl(&self.0, FcntlArg::F_SETFL(self.1));
    }
}

fn run(args: &Args) -> io::Result<()> {
    let _keep = (KeepBlocking::new(io::stdin())?, KeepBlocking::new(io::stdout())?);
    let address = args.addr.to_address()?;
    common::run_on!(args.backend, converse(&address))
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {}: {error}", args.addr);
            ExitCode::FAILURE
        }
    }
}
