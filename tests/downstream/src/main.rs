//! An echo round trip over TCP in one reactor; prints the backend, the echo, and what was logged.

use asyncore::{Address, Channel, Context, Dispatcher, Family, Key, Reactor, Type};
use std::io;

struct Echo;

impl Dispatcher for Echo {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 8192];
        let count = cx.recv(&mut buffer)?;
        cx.push(&buffer[..count])
    }
}

struct Server;

impl Dispatcher for Server {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        cx.add_channel(channel, Echo)?;
        Ok(())
    }
}

struct Client {
    server: Key<Server>,
}

impl Dispatcher for Client {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_connect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.push(b"hello")
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 8192];
        let count = cx.recv(&mut buffer)?;
        println!("echo: {}", buffer[..count].escape_ascii());
        cx.close_channel(self.server);
        // The default handle_error logs it, and the channel closes.
        Err(io::Error::other("that was all"))
    }
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        println!("log: {} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

fn main() -> io::Result<()> {
    log::set_logger(&Logger).expect("there is no other logger");
    log::set_max_level(log::LevelFilter::Trace);

    let mut reactor = Reactor::new();
    println!("backend: {}", reactor.backend_name());
    let listener = Channel::create_socket(Family::Inet, Type::Stream)?;
    listener.bind("127.0.0.1:0")?;
    listener.listen(1)?;
    let address = listener.local_addr()?;
    let server = reactor.add_channel(listener, Server)?;
    let channel = Channel::create_socket(Family::Inet, Type::Stream)?;
    channel.connect(address)?;
    reactor.add_channel(channel, Client { server })?;
    reactor.run()?;
    println!("channels left: {}", reactor.len());
    Ok(())
}
