//! A reactor that shows what it does: a page for people and one for Prometheus, served by the same
//! loop as the echo service that they tell of.
//!
//! `cargo run --release --example status_page`, then a browser at <http://127.0.0.1:8080/>, and
//! `nc 127.0.0.1 8007` to give it something to show.
//!
//! `http.rs` is the protocol, an `AsyncChat` handler; `metrics.rs` and `page.rs` make two texts of
//! the same numbers.

#[path = "../common/mod.rs"]
mod common;
mod http;
mod metrics;
mod page;

use asyncore::{
    Address, Backend, Channel, Chat, Context, Dispatcher, Family, Reactor, ToAddress, Type,
};
use clap::Parser;
use http::{LONGEST_HEAD, MOST_UNREAD, Session};
use page::Page;
use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
    rc::Rc,
};

/// Echo what clients send, and show on a page of its own what the reactor does, until SIGINT or
/// SIGTERM
///
/// `/` is for a browser and refreshes itself; `/metrics` is for Prometheus.
#[derive(Parser)]
struct Args {
    /// Where to serve the page: IP:PORT, or the path of a Unix socket; port 0 takes a free one
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// Where to echo
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8007")]
    echo: String,
    /// How long a browser may be idle before its connection is closed
    #[arg(long, value_name = "TIME", default_value = "30s")]
    idle: humantime::Duration,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

struct PageServer {
    page: Rc<Page>,
    idle: humantime::Duration,
}

impl Dispatcher for PageServer {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        let mut chat = Chat::new(Session::new(Rc::clone(&self.page)), "\r\n\r\n");
        chat.set_input_limit(LONGEST_HEAD);
        channel.set_queue_limit(MOST_UNREAD);
        channel.set_timeout(Some(*self.idle));
        common::send_at_once(&channel);
        cx.add_channel(channel, chat).map(drop)
    }
}

struct Echo;

impl Dispatcher for Echo {
    fn readable(&self, channel: &Channel) -> bool {
        channel.queued() < 256 << 10
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

struct EchoServer;

impl Dispatcher for EchoServer {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        cx.add_channel(channel, Echo).map(drop)
    }
}

fn listen(address: &Address) -> io::Result<Channel> {
    let listener = Channel::create_socket(Family::of(address), Type::Stream)?;
    listener.set_reuse_addr()?;
    listener.bind(address)?;
    listener.listen(1024)?;
    Ok(listener)
}

fn serve<B: Backend>(mut reactor: Reactor<B>, args: &Args) -> io::Result<()> {
    let (pages, echoes) = (listen(&args.addr.to_address()?)?, listen(&args.echo.to_address()?)?);
    let address = echoes.local_addr()?;
    // Nobody may be reading what is printed; the server goes on.
    let _ = writeln!(io::stdout(), "echoing on {address}");
    reactor.add_channel(echoes, EchoServer)?;
    let page = Page::new(reactor.backend_name()).map_err(io::Error::other)?;
    let server = PageServer { page: Rc::new(page), idle: args.idle };
    common::run_until_signal(reactor, pages, server)?;
    if let Address::Unix(path) = address {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    match common::run_on!(args.backend, serve(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("status_page: {} and {}: {error}", args.addr, args.echo);
            ExitCode::FAILURE
        }
    }
}
