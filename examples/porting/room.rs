//! A room: what one says, all the others hear.
use asyncore::{Address, Channel, Context, Dispatcher, Family, Key, Reactor, Type};
use std::io::{Error, Result};
use std::{cell::RefCell, env, rc::Rc};

type Members = Rc<RefCell<Vec<Key<Member>>>>;

struct Member {
    members: Members,
}

impl Dispatcher for Member {
    fn handle_read(&mut self, cx: &mut Context) -> Result<()> {
        let mut buffer = [0; 8192];
        let count = cx.recv(&mut buffer)?;
        for key in &*self.members.borrow() {
            if cx.key() != *key
                && let Some(other) = cx.channel(*key)
            {
                // One that broke has its own handle_close; one that does not read misses a line.
                let _ = other.push(&buffer[..count]);
            }
        }
        Ok(())
    }

    fn handle_close(&mut self, cx: &mut Context, _: Option<Error>) -> Result<()> {
        self.members.borrow_mut().retain(|key| cx.key() != *key);
        Ok(())
    }
}

#[derive(Default)]
struct Room {
    members: Members,
}

impl Dispatcher for Room {
    fn handle_accepted(&mut self, cx: &mut Context, channel: Channel, _: Address) -> Result<()> {
        let members = Rc::clone(&self.members);
        let key = cx.add_channel(channel, Member { members })?;
        self.members.borrow_mut().push(key);
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
    reactor.add_channel(server, Room::default())?;
    reactor.run()
}
