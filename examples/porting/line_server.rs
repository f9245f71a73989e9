//! Lines: each comes back in capitals, and quit is the last.
use asyncore::{Address, AsyncChat, Channel, Chat, ChatContext, Context, Dispatcher};
use asyncore::{Family, Reactor, Type};
use std::{env, io::Result};

struct Lines;
impl AsyncChat for Lines {
    fn found_terminator(&mut self, cx: &mut ChatContext) -> Result<()> {
        let line = cx.take_data();
        cx.push(&line.to_ascii_uppercase())?;
        cx.push(b"\n")?;
        if line == b"quit" {
            cx.close_when_done();
        }
        Ok(())
    }
}

struct LineServer;
impl Dispatcher for LineServer {
    fn handle_accepted(&mut self, cx: &mut Context, channel: Channel, _: Address) -> Result<()> {
        cx.add_channel(channel, Chat::new(Lines, "\n"))?;
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
    reactor.add_channel(server, LineServer)?;
    reactor.run()
}
