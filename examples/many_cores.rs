//! An echo server on many cores: a reactor in each thread, and one address for all of them.
//!
//! A reactor has one thread and shares nothing, so more threads are more reactors. Each has a
//! listening socket of its own; all are bound to the same address by `SO_REUSEPORT`, and the kernel
//! gives each connection to one of them.

mod common;

use asyncore::{
    Address, Backend, Channel, Context, Dispatcher, Family, Reactor, Remote, ToAddress, Type,
};
use clap::Parser;
use std::{
    io::{self, Write},
    num::NonZero,
    os::fd::OwnedFd,
    process::ExitCode,
    sync::mpsc::{Sender, channel},
    thread::{self, available_parallelism},
};

/// Echo what every client sends, with a reactor in each of several threads, until SIGINT or SIGTERM
#[derive(Parser)]
struct Args {
    /// Where to listen: IP:PORT; port 0 takes a free one
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// How many threads [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

/// A client that does not read what it is sent is not read from, either.
const MOST_QUEUED: usize = 256 << 10;

struct Echo;

impl Dispatcher for Echo {
    fn readable(&self, channel: &Channel) -> bool {
        channel.queued() < MOST_QUEUED
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let count = cx.recv(&mut buffer)?;
        cx.push(&buffer[..count])
    }
}

struct EchoServer {
    thread: usize,
}

impl Dispatcher for EchoServer {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        peer: Address,
    ) -> io::Result<()> {
        // Nobody may be reading what is printed; the server goes on.
        let _ = writeln!(io::stdout(), "thread {}: incoming connection from {peer}", self.thread);
        cx.add_channel(channel, Echo).map(drop)
    }
}

/// A listening socket for each thread. All are there before the first one serves, so what cannot be
/// had is told before anybody is served.
fn listen(address: &Address, count: usize) -> io::Result<(Address, Vec<OwnedFd>)> {
    let mut address = address.clone();
    let mut listeners = Vec::new();
    for _ in 0..count {
        let listener = Channel::create_socket(Family::of(&address), Type::Stream)?;
        listener.set_reuse_addr()?;
        listener.set_reuse_port()?;
        listener.bind(&address)?;
        listener.listen(1024)?;
        // Port 0 is another one each time.
        address = listener.local_addr()?;
        listeners.push(listener.into_fd()?);
    }
    Ok((address, listeners))
}

/// What a thread does: a reactor is made where it runs, and only its remote handle leaves.
fn work<B: Backend + Default>(
    thread: usize,
    listener: OwnedFd,
    remotes: Sender<Remote>,
) -> io::Result<()> {
    let mut reactor = Reactor::with_backend(B::default());
    let _ = remotes.send(reactor.remote()?);
    drop(remotes);
    reactor.add_channel(Channel::new(listener)?, EchoServer { thread })?;
    reactor.run()
}

/// Stops the main thread when another ends, be it by a panic.
struct Ends(Remote);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.stop();
    }
}

/// Serves until a signal stops the reactor of the main thread, which has nothing else to do.
fn serve<B: Backend + Default>(
    mut main: Reactor<B>,
    address: &Address,
    count: usize,
) -> io::Result<()> {
    common::stop_on_signals(&mut main)?;
    let (address, listeners) = listen(address, count)?;
    let _ = writeln!(io::stdout(), "listening on {address}");
    let main_remote = main.remote()?;
    let (sender, remotes) = channel();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, listener) in listeners.into_iter().enumerate() {
            let (ends, sender) = (Ends(main_remote.clone()), sender.clone());
            threads.push(scope.spawn(move || {
                let _ends = ends;
                work::<B>(number, listener, sender)
            }));
        }
        drop(sender);
        // Each has sent its own, or ended.
        let remotes: Vec<Remote> = remotes.iter().collect();
        let mut result = main.run();
        for remote in remotes {
            // One that has ended is an error here, and has told its own.
            let _ = remote.stop();
        }
        for thread in threads {
            let ended = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(ended);
        }
        result
    })
}

fn main() -> ExitCode {
    let args = Args::parse();
    let one_each = || available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let count = args.threads.unwrap_or_else(one_each).get();
    let served =
        args.addr.to_address().and_then(|addr| common::run_on!(args.backend, serve(&addr, count)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("many_cores: {}: {error}", args.addr);
            ExitCode::FAILURE
        }
    }
}
