//! Fetches a page: http_client 127.0.0.1 PORT PATH.
use asyncore::{Channel, Context, Dispatcher, Family, Reactor, Type};
use std::io::{Error, Result, Write, stdout};
use std::{env, process};

struct Client {
    request: Vec<u8>,
}

impl Dispatcher for Client {
    fn writable(&self, _: &Channel) -> bool {
        !self.request.is_empty()
    }

    fn handle_write(&mut self, cx: &mut Context) -> Result<()> {
        let sent = cx.send(&self.request)?;
        self.request.drain(..sent);
        Ok(())
    }

    fn handle_read(&mut self, cx: &mut Context) -> Result<()> {
        let mut buffer = [0; 8192];
        let count = cx.recv(&mut buffer)?;
        stdout().write_all(&buffer[..count])
    }

    fn handle_error(&mut self, _: &mut Context, error: Error) -> Result<()> {
        eprintln!("failed: {error}");
        process::exit(1)
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = env::args().collect();
    let request = format!("GET {} HTTP/1.0\r\n\r\n", args[3]).into_bytes();
    let channel = Channel::create_socket(Family::Inet, Type::Stream)?;
    channel.connect(format!("{}:{}", args[1], args[2]))?;

    let mut reactor = Reactor::new();
    reactor.add_channel(channel, Client { request })?;
    reactor.run()
}
