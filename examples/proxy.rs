//! A forwarder, the classic asyncore program: what a client sends goes to a target, and back.
//!
//! Each client is served by two channels, which reach one another by key. One that has much to send
//! pauses the other, and one that ends or breaks passes that on.
//!
//! `cargo run --release --example proxy 127.0.0.1:8000 127.0.0.1:80`, then
//! `curl http://127.0.0.1:8000/`.

mod common;

use asyncore::{Address, Channel, Context, Dispatcher, Family, Key, ToAddress, Type};
use clap::Parser;
use common::serve;
use nix::sys::socket::{setsockopt, sockopt};
use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
    net::Shutdown,
    process::ExitCode,
    time::Duration,
};

/// Forward every connection to TARGET, until SIGINT or SIGTERM
#[derive(Parser)]
struct Args {
    /// Where to listen: IP:PORT, or the path of a Unix socket; port 0 takes a free one
    listen: String,
    /// Where to connect for each client: IP:PORT, or the path of a Unix socket
    target: String,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

/// When a half has more than this to send, nothing more is read for it.
const HIGH_WATER: usize = 64 << 10;
/// It is again once no more than this is left.
const LOW_WATER: usize = 16 << 10;

/// How long the target may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// One of the two connections of a client. What is read from it is pushed to the other.
#[derive(Default)]
struct Half {
    other: Option<Key<Half>>,
    /// Nothing is read here until the other half is congested no more.
    paused: bool,
    /// The peer has said that it sends no more.
    ended: bool,
}

impl Dispatcher for Half {
    /// Said here, and not by [`Channel::pause`]: that keeps a connection that broke until what it
    /// received is read, and two halves that wait for one another would do so for ever.
    fn readable(&self, _: &Channel) -> bool {
        !self.paused
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_connect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.set_timeout(None);
        Ok(())
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 64 << 10];
        let count = cx.recv(&mut buffer)?;
        let Some(key) = self.other else { return Ok(()) };
        let Some(other) = cx.channel(key) else { return Ok(()) };
        if count == 0 {
            self.ended = true;
            return unless_broken(other.shutdown(Shutdown::Write));
        }
        unless_broken(other.push(&buffer[..count]))?;
        self.paused = other.is_congested();
        Ok(())
    }

    fn handle_drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(other) = self.other.and_then(|key| cx.get_mut(key)) {
            other.paused = false;
        }
        Ok(())
    }

    /// Both directions have ended, and the other half ends by itself; or the connection broke.
    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        let Some(other) = self.other.and_then(|key| cx.channel(key)) else { return Ok(()) };
        match cause {
            None => {}
            // All that it had to say goes out; only the answer has nowhere to go.
            Some(_) if self.ended => other.close_when_sent(),
            Some(_) => reset(other),
        }
        Ok(())
    }

    /// A connect failed, most often. That a connection broke is told by `handle_close` alone.
    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        complain(cx.peer_addr().unwrap_or(Address::Unnamed), &error);
        Err(error)
    }
}

/// That the other half broke is for its own `handle_close` to tell, once it is read to its end.
fn unless_broken(result: io::Result<()>) -> io::Result<()> {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
    match result.as_ref().map_err(io::Error::kind) {
        Err(BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut) => Ok(()),
        _ => result,
    }
}

/// Closes so that the peer cannot take it for an orderly end. (A Unix socket has only that.)
fn reset(channel: &Channel) {
    let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = setsockopt(channel, sockopt::Linger, &at_once);
    channel.close();
}

struct Proxy {
    target: Address,
}

impl Dispatcher for Proxy {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        client: Channel,
        _: Address,
    ) -> io::Result<()> {
        // This client is lost, and the others are served.
        if let Err(error) = self.forward(cx, client) {
            complain(&self.target, &error);
        }
        Ok(())
    }

    /// Without room for another client the listener rests, and lives.
    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        complain("accept", &error);
        if cx.survives(&error) { Ok(()) } else { Err(error) }
    }
}

impl Proxy {
    /// What the client sends until the target is connected waits in the target's queue.
    fn forward(&self, cx: &mut Context<'_>, client: Channel) -> io::Result<()> {
        let target = self.connect().inspect_err(|_| reset(&client))?;
        for channel in [&client, &target] {
            channel.set_half_close(true);
            channel.set_water_marks(LOW_WATER, HIGH_WATER)?;
            // An urgent byte keeps its place, and nothing waits here for more to come. A Unix
            // socket, which never waits, refuses the latter.
            let _ = setsockopt(channel, sockopt::OobInline, &true);
            let _ = setsockopt(channel, sockopt::TcpNoDelay, &true);
        }
        let client = cx.add_channel(client, Half::default())?;
        let half = Half { other: Some(client), ..Half::default() };
        let target = cx.add_channel(target, half).inspect_err(|_| {
            cx.close_channel(client);
        })?;
        if let Some(client) = cx.get_mut(client) {
            client.other = Some(target);
        }
        Ok(())
    }

    fn connect(&self) -> io::Result<Channel> {
        let target = Channel::create_socket(Family::of(&self.target), Type::Stream)?;
        target.connect(&self.target)?;
        target.set_timeout(Some(CONNECT));
        Ok(target)
    }
}

/// Nobody may be reading it; the proxy goes on.
fn complain(about: impl Display, error: &io::Error) {
    let _ = writeln!(io::stderr(), "proxy: {about}: {error}");
}

fn run(args: &Args) -> io::Result<()> {
    let (listen, target) = (args.listen.to_address()?, args.target.to_address()?);
    common::run_on!(args.backend, serve(&listen, Proxy { target }))
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: {} to {}: {error}", args.listen, args.target);
            ExitCode::FAILURE
        }
    }
}
