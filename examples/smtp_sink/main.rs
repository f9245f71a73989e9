//! An SMTP server that takes every mail and delivers none: each becomes a file.
//!
//! `cargo run --release --example smtp_sink -- --dir /tmp/mail`, then
//! `curl smtp://127.0.0.1:8025 --mail-from me@here --mail-rcpt you@there --upload-file mail.txt`.
//!
//! `session.rs` is the dialogue, an `AsyncChat` handler; `mail.rs` what becomes a file.

#[path = "../common/mod.rs"]
mod common;
mod mail;
mod session;

use asyncore::{Address, Channel, Chat, Context, Dispatcher, ToAddress};
use clap::Parser;
use common::serve;
use mail::Sink;
use session::{GREETING, LONGEST_COMMAND, Session};
use std::{io, path::PathBuf, process::ExitCode, rc::Rc, time::Duration};

/// Take mail by SMTP and write it to a directory, until SIGINT or SIGTERM
///
/// Each mail is a file of its own, `SECONDS.NANOSECONDS.PID.eml`, which is there once it is
/// complete, for its owner alone to read. It begins with the envelope: a line `X-RcptTo: <ADDRESS>`
/// for each recipient and then one line `X-MailFrom: <ADDRESS>`. Everything behind that line is the
/// mail, byte by byte. What is still on its way has a name that begins with a dot.
#[derive(Parser)]
struct Args {
    /// Where to listen: IP:PORT, or the path of a Unix socket; port 0 takes a free one
    #[arg(default_value = "127.0.0.1:8025")]
    addr: String,
    /// Where to write mail
    #[arg(long)]
    dir: PathBuf,
    /// The largest mail that is taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20)]
    max_size: u64,
    /// Close connections that were quiet for so long, as 30s or 5min
    #[arg(long, value_name = "TIME", default_value = "5min")]
    idle: humantime::Duration,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

struct SmtpServer {
    sink: Rc<Sink>,
    idle: Duration,
}

impl Dispatcher for SmtpServer {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        // Never a line feed alone: what one server takes for the end of a mail and another does
        // not, smuggles a second mail into the first.
        let mut chat = Chat::new(Session::new(Rc::clone(&self.sink)), "\r\n");
        chat.set_input_limit(LONGEST_COMMAND);
        channel.set_timeout(Some(self.idle));
        common::send_at_once(&channel);
        // A client that has gone already is no error of the server's.
        let _ = channel.push(GREETING);
        cx.add_channel(channel, chat).map(drop)
    }
}

fn main() -> ExitCode {
    let Args { addr, dir, max_size, idle, backend } = Args::parse();
    let sink = match Sink::new(&dir, max_size) {
        Ok(sink) => Rc::new(sink),
        Err(error) => {
            eprintln!("smtp_sink: {}: {error}", dir.display());
            return ExitCode::FAILURE;
        }
    };
    let server = SmtpServer { sink, idle: idle.into() };
    match addr.to_address().and_then(|addr| common::run_on!(backend, serve(&addr, server))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("smtp_sink: {addr}: {error}");
            ExitCode::FAILURE
        }
    }
}
