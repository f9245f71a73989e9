//! The dialogue with one client (RFC 5321).

use crate::mail::{Envelope, Mail, Sink, TOO_LARGE};
use asyncore::{AsyncChat, Channel, ChatContext, InputTooLong};
use std::{
    borrow::Cow,
    io::{self, ErrorKind},
    rc::Rc,
};

pub(crate) const GREETING: &[u8] = b"220 localhost ESMTP, and nothing goes any further\r\n";

/// In bytes. The RFC asks for 512 at least, and for more with each extension.
pub(crate) const LONGEST_COMMAND: usize = 1000;

/// Of one mail, as many as the RFC asks for.
const MOST_RECIPIENTS: usize = 100;

/// A client that gets more than this wrong between two mails is not one.
const MOST_ERRORS: u32 = 20;

/// A client that does not read its replies is not read from, either.
const MOST_QUEUED: usize = 64 << 10;

const OK: &str = "250 OK";
const SYNTAX: &str = "501 Not the syntax of this command";
const SEQUENCE: &str = "503 Not now";

/// A reply is a line, or several; a refusal is one as well, that begins with a 4 or a 5.
type Reply = Result<Cow<'static, str>, &'static str>;

pub(crate) struct Session {
    sink: Rc<Sink>,
    greeted: bool,
    /// From `MAIL` to `DATA`.
    envelope: Option<Envelope>,
    /// From `DATA` to the line with the dot: what comes is mail, not commands.
    mail: Option<Mail>,
    errors: u32,
}

impl AsyncChat for Session {
    fn readable(&self, channel: &Channel) -> bool {
        channel.queued() < MOST_QUEUED
    }

    fn collect_incoming_data(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        data: &[u8],
    ) -> io::Result<()> {
        match &mut self.mail {
            Some(mail) => mail.text(data),
            None => cx.collect(data)?,
        }
        Ok(())
    }

    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        if self.mail.is_none() {
            let line = cx.take_data();
            let reply = self.command(cx, &line);
            return self.reply(cx, reply);
        }
        let Some(mail) = self.mail.take_if(Mail::end_of_line) else { return Ok(()) };
        cx.set_input_limit(LONGEST_COMMAND);
        let reply = mail.keep(&self.sink).map(|()| {
            self.errors = 0;
            "250 Kept".into()
        });
        self.reply(cx, reply)
    }

    fn handle_timeout(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        if cx.has_output() {
            // It does not listen, either.
            return Err(ErrorKind::TimedOut.into());
        }
        self.reply(cx, Ok("421 Too long without a word".into()))
    }

    fn handle_error(&mut self, cx: &mut ChatContext<'_, '_>, error: io::Error) -> io::Result<()> {
        if !error.get_ref().is_some_and(|error| error.is::<InputTooLong>()) {
            return Err(error);
        }
        self.reply(cx, Err("500 The line is too long"))
    }
}

impl Session {
    pub(crate) fn new(sink: Rc<Sink>) -> Self {
        Self { sink, greeted: false, envelope: None, mail: None, errors: 0 }
    }

    fn reply(&mut self, cx: &ChatContext<'_, '_>, reply: Reply) -> io::Result<()> {
        let mut reply = reply.unwrap_or_else(Cow::from);
        self.errors += u32::from(reply.starts_with('5'));
        if self.errors > MOST_ERRORS {
            reply = "421 Too many errors".into();
        }
        cx.push(format!("{reply}\r\n").as_bytes())?;
        // These two say that it is the last one.
        if reply.starts_with("221") || reply.starts_with("421") {
            cx.close_when_done();
        }
        Ok(())
    }

    fn command(&mut self, cx: &mut ChatContext<'_, '_>, line: &[u8]) -> Reply {
        let line = str::from_utf8(line).map_err(|_| "500 Not text")?.trim_end_matches(' ');
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        match (&*verb.to_ascii_uppercase(), argument) {
            ("HELO" | "EHLO" | "VRFY", "") => Err(SYNTAX),
            ("HELO", _) => Ok(self.greet("250 localhost".into())),
            ("EHLO", _) => {
                let size = format!("250 SIZE {}", self.sink.max_size);
                let lines = ["250-localhost", "250-PIPELINING", "250-8BITMIME", &size];
                Ok(self.greet(lines.join("\r\n").into()))
            }
            ("MAIL", argument) => self.mail_from(argument),
            ("RCPT", argument) => self.rcpt_to(argument),
            ("DATA", "") => self.data(cx),
            ("RSET", "") => {
                self.envelope = None;
                Ok(OK.into())
            }
            ("NOOP", _) => Ok(OK.into()),
            ("VRFY", _) => Ok("252 Everybody is welcome".into()),
            ("HELP", _) => Ok("214 HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT".into()),
            ("QUIT", "") => Ok("221 Goodbye".into()),
            ("DATA" | "RSET" | "QUIT", _) => Err(SYNTAX),
            _ => Err("500 No such command"),
        }
    }

    fn greet(&mut self, reply: Cow<'static, str>) -> Cow<'static, str> {
        self.greeted = true;
        self.envelope = None;
        reply
    }

    fn mail_from(&mut self, argument: &str) -> Reply {
        if !self.greeted || self.envelope.is_some() {
            return Err(SEQUENCE);
        }
        let (from, parameters) = path("FROM:", argument)?;
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (&*name.to_ascii_uppercase(), &*value.to_ascii_uppercase()) {
                ("SIZE", size) if !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit()) => {
                    // One that is no u64 is larger still.
                    if size.parse().is_ok_and(|size: u64| size <= self.sink.max_size) {
                        continue;
                    }
                    return Err(TOO_LARGE);
                }
                ("BODY", "7BIT" | "8BITMIME") => {}
                ("SIZE" | "BODY", _) => return Err(SYNTAX),
                _ => return Err("555 No such parameter"),
            }
        }
        self.envelope = Some(Envelope { from: from.to_owned(), to: Vec::new() });
        Ok(OK.into())
    }

    fn rcpt_to(&mut self, argument: &str) -> Reply {
        let envelope = self.envelope.as_mut().ok_or(SEQUENCE)?;
        match path("TO:", argument)? {
            ("", _) => Err(SYNTAX),
            (_, parameters) if !parameters.is_empty() => Err("555 No such parameter"),
            _ if envelope.to.len() == MOST_RECIPIENTS => Err("452 Too many recipients"),
            (to, _) => {
                envelope.to.push(to.to_owned());
                Ok(OK.into())
            }
        }
    }

    fn data(&mut self, cx: &mut ChatContext<'_, '_>) -> Reply {
        let envelope = self.envelope.take_if(|envelope| !envelope.to.is_empty()).ok_or(SEQUENCE)?;
        self.mail = Some(Mail::new(&self.sink, &envelope)?);
        // Its lines are written as they come, so they may be of any length.
        cx.set_input_limit(usize::MAX);
        Ok("354 Go on; a line with a dot ends it".into())
    }
}

/// Takes `KEYWORD<ADDRESS> PARAMETERS` apart.
fn path<'a>(keyword: &str, argument: &'a str) -> Result<(&'a str, &'a str), &'static str> {
    let (head, tail) = argument.split_at_checked(keyword.len()).ok_or(SYNTAX)?;
    let tail = tail.trim_start_matches(' ').strip_prefix('<').ok_or(SYNTAX)?;
    let (address, parameters) = tail.split_once('>').ok_or(SYNTAX)?;
    // No white space above all: the address becomes a line in a file.
    let is_address = address.len() <= 254 && address.bytes().all(|b| b.is_ascii_graphic());
    let is_apart = parameters.is_empty() || parameters.starts_with(' ');
    if !head.eq_ignore_ascii_case(keyword) || !is_address || !is_apart {
        return Err(SYNTAX);
    }
    Ok((address, parameters))
}
