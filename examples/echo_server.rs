//! asyncore's echo server: whatever a client sends comes back.
//!
//! `cargo run --release --example echo_server`, then `nc 127.0.0.1 8080` from another terminal.

mod common;

use asyncore::{Address, Channel, Context, Dispatcher, ToAddress};
use clap::Parser;
use common::serve;
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

/// Echo what every client sends, until SIGINT or SIGTERM
#[derive(Parser)]
struct Args {
    /// Where to listen: IP:PORT, or the path of a Unix socket; port 0 takes a free one
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
    /// Close connections that were quiet for so long, as 30s or 5min
    #[arg(long, value_name = "TIME")]
    idle: Option<humantime::Duration>,
}

/// A client that does not read what it is sent is not read from, either.
const HIGH_WATER: usize = 256 << 10;
/// It is again once no more than this is queued for it.
const LOW_WATER: usize = 64 << 10;

struct Echo;

impl Dispatcher for Echo {
    fn readable(&self, channel: &Channel) -> bool {
        !channel.is_congested()
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
    idle: Option<Duration>,
}

impl Dispatcher for EchoServer {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        peer: Address,
    ) -> io::Result<()> {
        // Nobody may be reading what is printed; the server goes on.
        let _ = writeln!(io::stdout(), "Incoming connection from {peer}");
        channel.set_timeout(self.idle);
        channel.set_water_marks(LOW_WATER, HIGH_WATER)?;
        cx.add_channel(channel, Echo)?;
        Ok(())
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let server = EchoServer { idle: args.idle.map(Duration::from) };
    let served =
        args.addr.to_address().and_then(|addr| common::run_on!(args.backend, serve(&addr, server)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {}: {error}", args.addr);
            ExitCode::FAILURE
        }
    }
}
