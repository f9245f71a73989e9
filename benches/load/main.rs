//! Heavy load and hostile clients, against a server that does not mind: `cargo bench --bench load`,
//! or one part of it, as in `cargo bench --bench load -- churn`.
//!
//! Server and clients share the machine, so what else it does is in the figures. A ratio is always
//! that of a round without and the round with it that comes next.

mod attacks;
mod churn;
mod fairness;
mod proxy;
mod rounds;
mod server;

use asyncore::Backend;
use clap::{Parser, ValueEnum};
use std::{error::Error, fs};

/// What the server does under load, and whether that is within its targets
#[derive(Parser)]
struct Args {
    /// Only these parts
    parts: Vec<Part>,
    /// How many connections come and go in `churn`
    #[arg(long, default_value_t = 1_000_000)]
    connections: usize,
    /// How much goes through the proxy
    #[arg(long, default_value_t = 10)]
    gib: u64,
    /// How many rounds are compared in `attacks` and `fairness`
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Short connections, and what they leave behind
    Churn,
    /// Many bytes through `examples/proxy.rs`, and its memory
    Proxy,
    /// What clients who behave get done beside others who do not
    Attacks,
    /// How long they wait beside one who sends without end
    Fairness,
}

impl Args {
    fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn run<B: Backend + Default>(args: &Args) -> Result<()> {
    println!("\n{}", B::NAME);
    if args.has(Part::Churn) {
        churn::run::<B>(args.connections)?;
    }
    if args.has(Part::Proxy) {
        proxy::run::<B>(args.gib << 30)?;
    }
    if args.has(Part::Attacks) {
        attacks::run::<B>(args.rounds)?;
    }
    if args.has(Part::Fairness) {
        fairness::run::<B>(args.rounds)?;
    }
    Ok(())
}

fn main() -> Result<()> {
    // `cargo test --benches` runs this, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let args = Args::parse();
    if let Ok(load) = fs::read_to_string("/proc/loadavg") {
        let processors = std::thread::available_parallelism()?;
        println!("{processors} processors; load before: {}", load.trim_end());
    }
    #[cfg(feature = "poll")]
    run::<asyncore::Poll>(&args)?;
    #[cfg(feature = "select")]
    run::<asyncore::Select>(&args)?;
    Ok(())
}
