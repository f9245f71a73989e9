//! What a scenario makes a channel do, from outside or in a callback.

use super::{Watched, World, peers::direction, peers::to_address};
use crate::{
    book::{Answer, Kind},
    callbacks::{Script, Wants},
    reach::Reach,
    text::{bytes, name_of, show},
};
use asyncore::{Address, Channel, Chat, Family, SimpleProducer, Terminator};
use nix::{
    errno::Errno,
    sys::socket::{self, SockaddrStorage, sockopt},
    unistd,
};
use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, AsRawFd},
    rc::Rc,
};

impl World {
    pub(super) fn add_channel(
        self: &Rc<Self>,
        reach: &mut dyn Reach,
        name: &str,
        channel: Channel,
    ) -> io::Result<()> {
        let definition = self.definition(name);
        let wants = Rc::new(Wants {
            readable: Cell::new(definition.readable.unwrap_or(Answer::Always(true))),
            writable: Cell::new(definition.writable.unwrap_or(Answer::Always(false))),
        });
        self.must_be_new(name);
        self.note_state(name, &channel);
        let script = Script::new(self, name, &wants);
        let key = if definition.kind == Kind::Chat {
            let terminator = definition.terminator.as_deref().map_or(Terminator::None, terminator);
            reach.add_chat(channel, Chat::new(script, terminator))?
        } else {
            reach.add(channel, script)?
        };
        self.keys
            .borrow_mut()
            .insert(name.to_owned(), Watched { key, kind: definition.kind, wants });
        Ok(())
    }

    pub(super) fn act_on_channel(
        self: &Rc<Self>,
        reach: &mut dyn Reach,
        name: &str,
        watched: &Watched,
        words: &[&str],
    ) -> io::Result<()> {
        let key = watched.key;
        match *words {
            ["as", child] => {
                let channel = self.take_accepted();
                return self.add_channel(reach, child, channel);
            }
            ["refuse"] => {
                self.take_accepted();
                return Ok(());
            }
            ["close"] => {
                reach.close(key);
                return Ok(());
            }
            ["del"] => {
                if let Some(taken) = reach.del(key) {
                    self.taken_out.borrow_mut().insert(name.to_owned(), taken);
                    self.note_gone(name);
                }
                return Ok(());
            }
            ["terminator", word] => {
                reach.set_terminator(key, terminator(word));
                return Ok(());
            }
            ["discard_buffers"] => {
                if !reach.discard_own_buffers(key) {
                    self.discard_buffers(reach, name, watched);
                }
                return Ok(());
            }
            ["raise"] => return Err(io::Error::other("raised")),
            ["raise", errno] => return Err(errno_named(errno).expect("it was checked").into()),
            _ => {}
        }
        let target = match *words {
            ["connect", target] | ["sendto", target, _] => Some(self.address(reach, target)?),
            _ => None,
        };
        let Some(channel) = reach.channel(key) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let result = self.use_channel(channel, name, watched, words, target);
        self.note_state(name, channel);
        result
    }

    fn use_channel(
        &self,
        channel: &Channel,
        name: &str,
        watched: &Watched,
        words: &[&str],
        target: Option<SockaddrStorage>,
    ) -> io::Result<()> {
        let received = |call: &str, size: &str, recv: &dyn Fn(&mut [u8]) -> io::Result<usize>| {
            let mut buffer = vec![0; size.parse().unwrap()];
            let result = recv(&mut buffer).map(|count| show(&buffer[..count]));
            if call == "recv" && watched.kind == Kind::Chat {
                // asynchat reads by itself, and what it reads is collected.
                return result.map(drop);
            }
            self.log_result(name, call, result)
        };
        match *words {
            ["bind"] => match self.family {
                Family::Inet => channel.bind("127.0.0.1:0"),
                Family::Inet6 => channel.bind("[::1]:0"),
                Family::Unix => channel.bind(Address::Unix(self.new_path())),
            },
            ["listen"] => channel.listen(16),
            ["listen", backlog] => channel.listen(backlog.parse().unwrap()),
            ["connect", _] => channel.connect(to_address(&target.unwrap())),
            ["recv", size] => received("recv", size, &|buffer| channel.recv(buffer)),
            ["recvfrom", size] => received("recvfrom", size, &|buffer| {
                channel.recv_from(buffer).map(|(count, _)| count)
            }),
            ["recv_oob"] => received("recv_oob", "1", &|buffer| channel.recv_oob(buffer)),
            ["sendto", _, word] => {
                channel.send_to(&bytes(word), to_address(&target.unwrap())).map(drop)
            }
            // That is what a dispatcher_with_send's send does.
            ["send", word] if watched.kind == Kind::WithSend => channel.push(&bytes(word)),
            ["send", word] if watched.kind == Kind::Chat => channel.send(&bytes(word)).map(drop),
            ["send", word] => {
                let result = channel.send(&bytes(word)).map(|count| count.to_string());
                self.log_result(name, "send", result)
            }
            ["send_oob", word] => channel.send_oob(&bytes(word)).map(drop),
            ["push", word] => channel.push(&bytes(word)),
            ["produce", word] => {
                channel.push_with_producer(SimpleProducer::with_piece(bytes(word), 4))
            }
            ["close_when_done"] => {
                channel.close_when_sent();
                Ok(())
            }
            ["fill"] => {
                let full = loop {
                    if let Err(error) = channel.send(&[b'f'; 4096]) {
                        break error;
                    }
                };
                self.log(format!("{name} filled, then {}", name_of(&full)));
                Ok(())
            }
            ["shutdown", how] => channel.shutdown(direction(how)),
            ["inline"] => Ok(socket::setsockopt(channel, sockopt::OobInline, &true)?),
            ["steal"] => Ok(unistd::close(channel.as_fd().as_raw_fd())?),
            ["port"] => {
                let address = channel.local_addr()?.as_inet().unwrap();
                let says = if address.port() == 0 { "port 0" } else { "its port" };
                self.log(format!("{name} says {says}"));
                Ok(())
            }
            ["set", which, value] => {
                let answer = Answer::Always(value.parse().unwrap());
                match which {
                    "readable" => watched.wants.readable.set(answer),
                    _ => watched.wants.writable.set(answer),
                }
                Ok(())
            }
            _ => unreachable!("the check refuses {words:?}"),
        }
    }

    /// What another chat has: the output, and the input that is not ended by its terminator.
    fn discard_buffers(self: &Rc<Self>, reach: &mut dyn Reach, name: &str, watched: &Watched) {
        if let Some(chat) = reach.chat(watched.key) {
            let script = Script::new(self, name, &watched.wants);
            let terminator = chat.terminator().clone();
            *chat = Chat::new(script, terminator);
        }
        if let Some(channel) = reach.channel(watched.key) {
            channel.discard_queue();
            self.note_state(name, channel);
        }
    }

    fn log_result(&self, name: &str, call: &str, result: io::Result<String>) -> io::Result<()> {
        let shown = result.as_ref().map_or_else(name_of, Clone::clone);
        self.log(format!("{name} {call} {shown}"));
        result.map(drop)
    }
}

fn terminator(word: &str) -> Terminator {
    match word.parse::<usize>() {
        _ if word == "none" => Terminator::None,
        Ok(length) => length.into(),
        Err(_) => bytes(word).into(),
    }
}

pub(crate) fn errno_named(name: &str) -> Option<Errno> {
    let name = match name {
        "EWOULDBLOCK" => "EAGAIN",
        "EDEADLOCK" => "EDEADLK",
        "ENOTSUP" => "EOPNOTSUPP",
        other => other,
    };
    (1..200).map(Errno::from_raw).find(|errno| format!("{errno:?}") == name)
}
