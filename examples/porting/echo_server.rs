//! Echo: what a client sends comes back.
use asyncore::{Address, Channel, Context, Dispatcher, Family, Reactor, Type};
use std::{env, io::Result};

struct Echo;
impl Dispatcher for Echo {
    fn handle_read(&mut self, cx: &mut Context) -> Result<()> {
        let mut buffer = [0; 8192];
        let count = cx.recv(&mut buffer)?;
        cx.push(&buffer[..count])
    }
}

struct EchoServer;
impl Dispatcher for EchoServer {
    fn handle_accepted(&mut self, cx: &mut Context, channel: Channel, _: Address) -> Result<()> {
        cx.add_channel(channel, Echo)?;
        Ok(())
    }
}

fn main() -> Result<()> {
    let port = env::args().nth(1).expect("a port");
    let server = Channel::create_socket(Family::Inet, Type::Stream)?;
    server.set_reuse_addr()?;
    server.bind(format!("127.0.0.1:{port}"))?;
    server.listen(128)?;
    println!("listening on {}", server.local_addr()?);

    let mut reactor = Reactor::new();
    reactor.add_channel(server, EchoServer)?;
    reactor.run()
}
