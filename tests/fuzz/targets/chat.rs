//! Any input, split anywhere, cut at any terminators within any limits: the calls are those of a
//! plain search.
#![no_main]

use asyncore::{AsyncChat, Channel, Chat, ChatContext, Poll, Reactor, Terminator};
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use nix::errno::Errno;
use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    rc::Rc,
    time::Duration,
};

#[derive(Debug, Arbitrary)]
struct Talk {
    /// Of four letters only, so that terminators and their beginnings are everywhere.
    narrow: bool,
    terminator: End,
    limit: Option<u8>,
    moves: Vec<Move>,
    /// What each `found_terminator` does, until there are no more.
    answers: VecDeque<Answer>,
}

#[derive(Debug, Clone, Arbitrary)]
enum End {
    Bytes(Vec<u8>),
    Length(u8),
    None,
}

/// What happens outside, in this order.
#[derive(Debug, Arbitrary)]
enum Move {
    Say(Vec<u8>),
    SetTerminator(End),
    SetLimit(u8),
}

#[derive(Debug, Clone, Arbitrary)]
enum Answer {
    Nothing,
    Take,
    SetTerminator(End),
    SetLimit(u8),
    Discard,
    Fail,
    GiveUp,
    Close,
    CloseWhenDone,
}

/// What is called; data that follows data is one piece.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Data(Vec<u8>),
    Found,
    Took(Vec<u8>),
    TooLong,
    Failed,
    Eof,
    Close,
}

impl Talk {
    fn letters(&self, bytes: &[u8]) -> Vec<u8> {
        let letter = |byte: &u8| if self.narrow { b"ab\r\n"[usize::from(byte % 4)] } else { *byte };
        bytes.iter().map(letter).collect()
    }

    fn terminator(&self, end: &End) -> Terminator {
        match end {
            End::Bytes(bytes) => self.letters(bytes).into(),
            End::Length(length) => usize::from(*length).into(),
            End::None => Terminator::None,
        }
    }
}

fuzz_target!(|talk: Talk| {
    let expected = model(&talk);
    let found = reality(talk);
    assert_eq!(found, expected);
});

/// The parser, naively.
struct Model<'t> {
    talk: &'t Talk,
    answers: VecDeque<Answer>,
    terminator: Terminator,
    limit: usize,
    /// Come, and not given out.
    pending: Vec<u8>,
    /// How much was given out since the last terminator.
    line: usize,
    /// Up to the next terminator everything is passed over.
    skips: bool,
    collected: Vec<u8>,
    spilled: bool,
    calls: Vec<Call>,
    over: bool,
}

fn model(talk: &Talk) -> Vec<Call> {
    let mut model = Model {
        talk,
        answers: talk.answers.clone(),
        terminator: Terminator::None,
        limit: talk.limit.map_or(usize::MAX, usize::from),
        pending: Vec::new(),
        line: 0,
        skips: false,
        collected: Vec::new(),
        spilled: false,
        calls: Vec::new(),
        over: false,
    };
    model.set_terminator(&talk.terminator);
    for each in &talk.moves {
        match each {
            // An empty write says nothing.
            Move::Say(bytes) if bytes.is_empty() => {}
            Move::Say(bytes) => {
                model.pending.extend(talk.letters(bytes));
                model.cut(false);
            }
            Move::SetTerminator(end) => model.set_terminator(end),
            Move::SetLimit(limit) => model.limit = usize::from(*limit),
        }
        if model.over {
            return model.calls;
        }
    }
    model.cut(true);
    if !model.over {
        model.calls.extend([Call::Eof, Call::Close]);
    }
    model.calls
}

impl Model<'_> {
    fn set_terminator(&mut self, end: &End) {
        self.terminator = match self.talk.terminator(end) {
            Terminator::Bytes(bytes) if bytes.is_empty() => Terminator::None,
            Terminator::Length(0) => Terminator::None,
            other => other,
        };
        self.line = 0;
        if !matches!(self.terminator, Terminator::Bytes(_)) {
            self.skips = false;
        }
    }

    fn cut(&mut self, last: bool) {
        while !self.over && !self.pending.is_empty() {
            let (mut length, mut after, mut found) =
                (self.pending.len(), self.pending.len(), false);
            let mut limited = false;
            match &mut self.terminator {
                Terminator::None => {}
                Terminator::Length(left) => {
                    length = length.min(*left);
                    (after, found) = (length, length == *left);
                    *left -= length;
                    if found {
                        self.terminator = Terminator::None;
                    }
                }
                Terminator::Bytes(bytes) => {
                    limited = true;
                    let all = &self.pending;
                    let place = all.windows(bytes.len()).position(|window| window == &bytes[..]);
                    if let Some(place) = place {
                        (length, after, found) = (place, place + bytes.len(), true);
                    } else if !last {
                        // The longest end that may be the beginning of the terminator stays.
                        let stays = (0..bytes.len()).rev().find(|n| all.ends_with(&bytes[..*n]));
                        length -= stays.unwrap();
                        after = length;
                    }
                }
            }
            if limited && self.skips {
                self.skips = !found;
                self.pending.drain(..after);
                if after == 0 { return } else { continue }
            }
            let room = self.limit.saturating_sub(self.line);
            if limited && length > room {
                let data: Vec<u8> = self.pending.drain(..room).collect();
                self.collect(data);
                self.calls.push(Call::TooLong);
                (self.line, self.skips) = (0, true);
                (self.collected, self.spilled) = (Vec::new(), false);
                continue;
            }
            let data: Vec<u8> = self.pending.drain(..after).take(length).collect();
            self.line += if limited { length } else { 0 };
            self.collect(data);
            if found {
                self.line = 0;
                self.calls.push(Call::Found);
                self.answer();
            } else if after < length || after == 0 || !self.pending.is_empty() {
                return;
            }
        }
    }

    fn collect(&mut self, data: Vec<u8>) {
        if data.is_empty() {
            return;
        }
        let room = self.limit.saturating_sub(self.collected.len());
        if !self.spilled {
            self.collected.extend(&data[..data.len().min(room)]);
            self.spilled = data.len() > room;
        }
        say_data(&mut self.calls, &data);
    }

    fn answer(&mut self) {
        match self.answers.pop_front().unwrap_or(Answer::Nothing) {
            Answer::Nothing => {}
            Answer::Take => {
                self.calls.push(Call::Took(std::mem::take(&mut self.collected)));
                self.spilled = false;
            }
            Answer::SetTerminator(end) => self.set_terminator(&end),
            Answer::SetLimit(limit) => self.limit = usize::from(limit),
            Answer::Discard => {
                self.pending.clear();
                self.collected.clear();
                self.spilled = false;
            }
            Answer::Fail => self.calls.push(Call::Failed),
            Answer::GiveUp => {
                self.calls.extend([Call::Failed, Call::Close]);
                self.over = true;
            }
            Answer::Close => self.over = true,
            Answer::CloseWhenDone => {
                self.calls.push(Call::Close);
                self.over = true;
            }
        }
    }
}

fn say_data(calls: &mut Vec<Call>, data: &[u8]) {
    match calls.last_mut() {
        Some(Call::Data(last)) => last.extend(data),
        _ => calls.push(Call::Data(data.to_vec())),
    }
}

/// The real thing, on a real socket.
fn reality(talk: Talk) -> Vec<Call> {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let calls = Rc::new(RefCell::new(Vec::new()));
    let talk = Rc::new(talk);
    let recorder = Recorder {
        answers: talk.answers.clone(),
        talk: Rc::clone(&talk),
        calls: Rc::clone(&calls),
        gives_up: false,
    };
    let mut chat = Chat::new(recorder, talk.terminator(&talk.terminator));
    chat.set_input_limit(talk.limit.map_or(usize::MAX, usize::from));
    let mut reactor = Reactor::with_backend(Poll::new());
    let key = reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
    for each in &talk.moves {
        match each {
            // One read takes no more than this.
            Move::Say(bytes) => {
                assert!(bytes.len() <= 8192, "run with -max_len=4096");
                peer.write_all(&talk.letters(bytes)).unwrap();
                while reactor.poll(Some(Duration::ZERO)).unwrap() > 0 {}
            }
            Move::SetTerminator(end) => {
                reactor.get_mut(key).unwrap().set_terminator(talk.terminator(end));
            }
            Move::SetLimit(limit) => {
                reactor.get_mut(key).unwrap().set_input_limit(usize::from(*limit));
            }
        }
        if reactor.is_empty() {
            return calls.take();
        }
    }
    peer.shutdown(Shutdown::Write).unwrap();
    for _ in 0..10 {
        reactor.poll(Some(Duration::ZERO)).unwrap();
    }
    assert!(reactor.is_empty(), "it is not at its end");
    calls.take()
}

struct Recorder {
    talk: Rc<Talk>,
    answers: VecDeque<Answer>,
    calls: Rc<RefCell<Vec<Call>>>,
    gives_up: bool,
}

impl Recorder {
    fn say(&self, call: Call) {
        self.calls.borrow_mut().push(call);
    }
}

impl AsyncChat for Recorder {
    fn collect_incoming_data(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        data: &[u8],
    ) -> io::Result<()> {
        assert!(!data.is_empty());
        say_data(&mut self.calls.borrow_mut(), data);
        // Where it is full depends on the pieces; what is in it at the end does not.
        let _ = cx.collect(data);
        Ok(())
    }

    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.say(Call::Found);
        match self.answers.pop_front().unwrap_or(Answer::Nothing) {
            Answer::Nothing => {}
            Answer::Take => self.say(Call::Took(cx.take_data())),
            Answer::SetTerminator(end) => cx.set_terminator(self.talk.terminator(&end)),
            Answer::SetLimit(limit) => cx.set_input_limit(usize::from(limit)),
            Answer::Discard => cx.discard_buffers(),
            Answer::Fail => return Err(Errno::EPERM.into()),
            Answer::GiveUp => {
                self.gives_up = true;
                return Err(Errno::EPERM.into());
            }
            Answer::Close => cx.close(),
            Answer::CloseWhenDone => cx.close_when_done(),
        }
        Ok(())
    }

    fn handle_eof(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.say(Call::Eof);
        Ok(())
    }

    fn handle_close(
        &mut self,
        _: &mut ChatContext<'_, '_>,
        _: Option<io::Error>,
    ) -> io::Result<()> {
        self.say(Call::Close);
        Ok(())
    }

    fn handle_error(&mut self, _: &mut ChatContext<'_, '_>, error: io::Error) -> io::Result<()> {
        let failed = error.raw_os_error() == Some(nix::libc::EPERM);
        self.say(if failed { Call::Failed } else { Call::TooLong });
        if self.gives_up { Err(error) } else { Ok(()) }
    }
}
