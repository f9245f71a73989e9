//! A chat: many people in one room.
//!
//! `cargo run --release --example chat_server`, then `nc 127.0.0.1 8080` from several terminals.

mod common;

use asyncore::{
    Address, AsyncChat, Backend, Channel, Chat, ChatContext, Context, Dispatcher, InputTooLong,
    Key, Reactor, ToAddress,
};
use clap::Parser;
use common::serve;
use signal_hook::consts::SIGHUP;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    rc::Rc,
    time::Duration,
};

/// Let people talk to each other, until SIGINT or SIGTERM
///
/// Whoever connects is asked for a name, and hears from then on what the others say, who comes and
/// who leaves. Every line is said to everybody else. SIGHUP has the message of the day read again.
#[derive(Parser)]
struct Args {
    /// Where to listen: IP:PORT, or the path of a Unix socket; port 0 takes a free one
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
    /// What everybody is greeted with
    #[arg(long, value_name = "FILE")]
    motd: Option<PathBuf>,
}

/// In bytes.
const LONGEST_LINE: usize = 1000;

/// In characters.
const LONGEST_NAME: usize = 30;

/// Whoever leaves this much unread has to leave, too.
const MOST_UNREAD: usize = 256 << 10;

const QUESTION: &str = "What is your name?\n";

/// How long somebody may think about a name.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who is here, by name.
type Room = Rc<RefCell<BTreeMap<String, Key>>>;

struct Person {
    room: Room,
    /// `None` until the question is answered.
    name: Option<String>,
}

impl AsyncChat for Person {
    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        let line = printable(&cx.take_data());
        match &self.name {
            Some(name) => self.tell_others(cx, &format!("<{name}> {line}\n")),
            None => self.join(cx, line.trim())?,
        }
        Ok(())
    }

    /// The last line is one even without its end.
    fn handle_eof(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        if cx.collected().is_empty() { Ok(()) } else { self.found_terminator(cx) }
    }

    fn handle_error(&mut self, cx: &mut ChatContext<'_, '_>, error: io::Error) -> io::Result<()> {
        if !error.get_ref().is_some_and(|error| error.is::<InputTooLong>()) {
            return Err(error);
        }
        cx.push(format!("A line has at most {LONGEST_LINE} bytes; nobody heard it.\n").as_bytes())
    }

    /// Everybody leaves this way: by an end of file, by a reset, or for not reading.
    fn handle_close(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        _: Option<io::Error>,
    ) -> io::Result<()> {
        if let Some(name) = &self.name {
            self.room.borrow_mut().remove(name);
            self.tell_others(cx, &format!("* {name} has left\n"));
        }
        Ok(())
    }
}

impl Person {
    fn join(&mut self, cx: &mut ChatContext<'_, '_>, name: &str) -> io::Result<()> {
        if !is_name(name) {
            let rule = format!("A name is a word of at most {LONGEST_NAME} letters and digits.\n");
            return cx.push((rule + QUESTION).as_bytes());
        }
        if self.room.borrow().contains_key(name) {
            return cx.push(format!("Somebody has that name.\n{QUESTION}").as_bytes());
        }
        let others: Vec<_> = self.room.borrow().keys().cloned().collect();
        let others = if others.is_empty() { "nobody".to_owned() } else { others.join(", ") };
        cx.push(format!("Welcome, {name}. Here with you: {others}\n").as_bytes())?;
        self.tell_others(cx, &format!("* {name} has joined\n"));
        self.room.borrow_mut().insert(name.to_owned(), cx.key());
        self.name = Some(name.to_owned());
        cx.set_timeout(None);
        Ok(())
    }

    /// What becomes of each is that person's own affair, and never fails the one who speaks.
    fn tell_others(&self, cx: &mut ChatContext<'_, '_>, line: &str) {
        let own = cx.key();
        for &key in self.room.borrow().values().filter(|key| **key != own) {
            let Some(other) = cx.channel(key) else { continue };
            let told = other.push(line.as_bytes());
            // A broken connection will have its handle_close anyway. A full queue gets it thus.
            if told.is_err_and(|error| error.kind() == ErrorKind::QuotaExceeded) {
                other.discard_queue();
                other.close_when_sent();
            }
        }
    }
}

/// One word that cannot be taken for anything else.
fn is_name(text: &str) -> bool {
    let is_allowed = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    (1..=LONGEST_NAME).contains(&text.chars().count()) && text.chars().all(is_allowed)
}

/// A line as others' terminals may have it: what could command them is escaped.
fn printable(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut text = String::with_capacity(line.len());
    for character in String::from_utf8_lossy(line).chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

struct ChatServer {
    room: Room,
    /// Read again on SIGHUP.
    motd: Rc<RefCell<String>>,
}

impl Dispatcher for ChatServer {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        let mut chat = Chat::new(Person { room: Rc::clone(&self.room), name: None }, "\n");
        chat.set_input_limit(LONGEST_LINE);
        channel.set_queue_limit(MOST_UNREAD);
        channel.set_timeout(Some(PATIENCE));
        common::send_at_once(&channel);
        // Somebody who has gone already is no error of the server's.
        let _ = channel.push((self.motd.borrow().clone() + QUESTION).as_bytes());
        cx.add_channel(channel, chat).map(drop)
    }
}

fn run<B: Backend>(mut reactor: Reactor<B>, args: &Args) -> Result<(), String> {
    let motd = match &args.motd {
        Some(file) => read_motd(file)?,
        None => String::new(),
    };
    let motd = Rc::new(RefCell::new(motd));
    let server = ChatServer { room: Room::default(), motd: Rc::clone(&motd) };
    let at = |error: io::Error| format!("{}: {error}", args.addr);
    if let Some(file) = args.motd.clone() {
        let reload = move |_: &mut Context<'_>| match read_motd(&file) {
            Ok(text) => *motd.borrow_mut() = text,
            // The old one is better than none.
            Err(message) => complain(&message),
        };
        common::on_signals(&mut reactor, &[SIGHUP], reload).map_err(at)?;
    }
    args.addr.to_address().and_then(|addr| serve(reactor, &addr, server)).map_err(at)
}

fn read_motd(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Nobody may be reading it; the server goes on.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "chat_server: {message}");
}

fn main() -> ExitCode {
    let args = Args::parse();
    match common::run_on!(args.backend, run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}
