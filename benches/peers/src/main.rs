//! The comparison of asyncore-rs with its peers.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`, from the top of the repository,
//! runs all work on all peers, interleaved, and writes `benches/BENCHMARKS.md`; `-- --help` tells
//! more.
//!
//! [`driver`] starts a process of this same program for each round of each peer and collects what
//! they say. Such a process runs one of the shapes of load in [`work`], which are written against
//! the trait of [`peer`], which each file of [`peers`] implements. CPython's asyncore has a program
//! of its own, `peers/asyncore_peer.py`.

mod clock;
mod driver;
mod outcome;
mod peer;
mod peers;
mod spec;
mod work;

use clap::{Parser, Subcommand};
use peers::Entry;
use spec::Spec;
use std::{process::ExitCode, time::Duration};
use work::{Length, Round, Serve};

/// Compare asyncore-rs with its peers, and write benches/BENCHMARKS.md
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    plan: driver::Plan,
}

/// What the driver has its processes do.
#[derive(Debug, Subcommand)]
enum Role {
    /// One round of one peer
    #[command(hide = true)]
    Round {
        peer: Entry,
        spec: Spec,
        #[arg(long, default_value_t = 100)]
        ms: u64,
        /// That many samples, however long they take, and no warming up
        #[arg(long)]
        samples: Option<u64>,
    },
    /// The server of `echo`
    #[command(hide = true)]
    Serve { peer: Entry },
    /// The load of `echo`, on a server that it starts
    #[command(hide = true)]
    Load {
        spec: Spec,
        #[arg(long, default_value_t = 100)]
        ms: u64,
        #[arg(required = true, last = true)]
        server: Vec<String>,
    },
    /// The other process of `cold`
    #[command(hide = true)]
    WriteAtRandomTimes,
    /// Whether a peer is there, and its version
    #[command(hide = true)]
    Version { peer: Entry },
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.role.map_or_else(|| driver::run(args.plan), play) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn play(role: Role) -> std::io::Result<()> {
    driver::end_with_parent();
    match role {
        Role::Round { peer, spec, ms, samples } => {
            let length = samples.map_or(Length::For(Duration::from_millis(ms)), Length::Samples);
            println!("{}", peer.run(Round { spec: &spec, method: peer.method, length })?);
        }
        Role::Serve { peer } => peer.run(Serve { method: peer.method })?,
        Role::Load { spec: Spec::Echo { idle, active }, ms, server } => {
            println!("{}", work::load(idle, active, Duration::from_millis(ms), &server)?);
        }
        Role::Load { spec, .. } => {
            return Err(std::io::Error::other(format!("{spec} has no load")));
        }
        Role::WriteAtRandomTimes => work::write_at_random_times()?,
        Role::Version { peer } => println!("{}", peer.version().unwrap_or_default()),
    }
    Ok(())
}
