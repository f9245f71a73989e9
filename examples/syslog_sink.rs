//! A sink for syslog: a line for each datagram, from the network or from programs on this machine.
//!
//! `cargo run --release --example syslog_sink`, then
//! `logger --udp --server 127.0.0.1 --port 5140 hello` from another terminal. With a path it is
//! what `/dev/log` is: `syslog_sink /tmp/log`, then `logger --socket /tmp/log hello`.

mod common;

use asyncore::{Address, Backend, Channel, Context, Dispatcher, Family, Reactor, ToAddress, Type};
use clap::Parser;
use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};
use syslog_loose::{
    Message, SyslogFacility, SyslogSeverity, Variant, decompose_pri, parse_message,
};

/// Print every syslog message, RFC 3164 or RFC 5424, until SIGINT or SIGTERM
#[derive(Parser)]
struct Args {
    /// Where to receive: IP:PORT, or the path of a Unix socket; port 0 takes a free one
    #[arg(default_value = "127.0.0.1:5140")]
    addr: String,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

/// What a datagram has beyond this is lost. UDP carries less; a Unix socket may carry more.
const LONGEST: usize = 64 << 10;

struct Sink {
    /// A byte longer, so that a message that was cut is known.
    buffer: Box<[u8; LONGEST + 1]>,
}

impl Dispatcher for Sink {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    /// One datagram, which may be empty: only on a connection is that the end.
    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let (count, sender) = cx.recv_from(&mut *self.buffer)?;
        let cut = if count > LONGEST { " (cut)" } else { "" };
        let line = line(&sender, &self.buffer[..count.min(LONGEST)]);
        // Nobody may be reading what is printed; the sink goes on.
        let _ = writeln!(io::stdout(), "{line}{cut}");
        Ok(())
    }
}

/// `SENDER FACILITY.SEVERITY TIME HOST APP[PID]: MESSAGE`, with a dash for what is not said.
///
/// A sender may send anything: what could be taken for the next line, or for a command to the
/// terminal, is escaped.
fn line(sender: &Address, datagram: &[u8]) -> String {
    let text = String::from_utf8_lossy(datagram);
    // Some end their messages as strings of C do, or as lines.
    let message = parse(text.trim_end_matches(['\0', '\n', '\r']));
    // What RFC 3164 says of a message without a priority (4.3.3).
    let facility = message.facility.unwrap_or(SyslogFacility::LOG_USER).as_str();
    let severity = message.severity.unwrap_or(SyslogSeverity::SEV_NOTICE).as_str();
    let time = or_dash(message.timestamp.map(|time| time.to_rfc3339()));
    let (host, app) = (or_dash(message.hostname), or_dash(message.appname));
    let process = message.procid.map_or_else(String::new, |id| format!("[{id}]"));
    let mut line = format!("{sender} {facility}.{severity} {time} {host} {app}{process}: ");
    for element in &message.structured_data {
        line += &format!("{element} ");
    }
    line += message.msg.trim_start_matches('\u{feff}');
    line.chars().flat_map(escape_control).collect()
}

/// The message with what it says of itself. Many programs, CPython's among them, send a priority
/// and no more of the header.
fn parse(text: &str) -> Message<&str> {
    let mut message = parse_message(text, Variant::Either);
    if message.facility.is_none()
        && let Some((priority, rest)) = text.strip_prefix('<').and_then(|rest| rest.split_once('>'))
        && let Some(priority) = priority.parse().ok().filter(|priority| *priority < 192)
    {
        (message.facility, message.severity) = decompose_pri(priority);
        message.msg = rest;
    }
    message
}

fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn escape_control(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

fn receive<B: Backend>(reactor: Reactor<B>, address: &Address) -> io::Result<()> {
    let socket = Channel::create_socket(Family::of(address), Type::Datagram)?;
    socket.bind(address)?;
    let sink = Sink { buffer: Box::new([0; LONGEST + 1]) };
    common::run_until_signal(reactor, socket, sink)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let received =
        args.addr.to_address().and_then(|addr| common::run_on!(args.backend, receive(&addr)));
    match received {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("syslog_sink: {}: {error}", args.addr);
            ExitCode::FAILURE
        }
    }
}
