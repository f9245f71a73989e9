//! A server that opens files for programs which may not, and hands them the descriptors.
//!
//! What a Unix socket can do and no other: the kernel tells who is at the other end, and carries an
//! open file across. The client reads the file itself, with the rights of the one who opened it.
//!
//! `sudo file_broker /run/broker --dir /var/log --uid 1000`, then, as user 1000,
//! `file_broker /run/broker --get syslog`.

mod client;
#[path = "../common/mod.rs"]
mod common;
mod server;

use clap::Parser;
use client::get;
use server::hand_out;
use std::{io, path::PathBuf, process::ExitCode};

/// Hand out the files of a directory as open descriptors, until SIGINT or SIGTERM; or get one
#[derive(Parser)]
struct Args {
    /// The path of the Unix socket
    socket: PathBuf,
    #[command(flatten)]
    side: Side,
    /// Serve this user; repeat it for several [default: the one who runs the server]
    #[arg(long, conflicts_with = "get")]
    uid: Vec<u32>,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Side {
    /// Serve the regular files of this directory
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Ask the server for this file, and copy it to standard output
    #[arg(long, value_name = "NAME")]
    get: Option<String>,
}

fn run(args: &Args) -> io::Result<()> {
    if let Some(name) = &args.side.get {
        return common::run_on!(args.backend, get(&args.socket, name));
    }
    let Some(dir) = &args.side.dir else { return Ok(()) };
    common::run_on!(args.backend, hand_out(&args.socket, dir, &args.uid))
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("file_broker: {}: {error}", args.socket.display());
            ExitCode::FAILURE
        }
    }
}
