//! Many bytes through `examples/proxy.rs`, which keeps few of them.

use crate::{Result, rounds::progress};
use asyncore::Backend;
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

const BLOCK: usize = 1 << 20;

/// In bytes, the program itself included.
const MOST_MEMORY: usize = 16 << 20;

/// Killed when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run<B: Backend>(bytes: u64) -> Result<()> {
    let target = TcpListener::bind("127.0.0.1:0")?;
    let (program, address) = start::<B>(&target.local_addr()?.to_string())?;
    let blocks = bytes / BLOCK as u64;
    let begin = Instant::now();
    let sender = thread::spawn(move || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        let mut block = block();
        for number in 0..blocks {
            block[..8].copy_from_slice(&number.to_ne_bytes());
            stream.write_all(&block)?;
        }
        Ok(())
    });
    let (mut stream, _) = target.accept()?;
    let bar = progress(blocks, "proxy, MiB");
    let (mut received, mut expected) = (vec![0; BLOCK], block());
    for number in 0..blocks {
        expected[..8].copy_from_slice(&number.to_ne_bytes());
        stream.read_exact(&mut received)?;
        if received != expected {
            return Err(format!("MiB {number} is not what was sent").into());
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let rate = bytes as f64 / begin.elapsed().as_secs_f64() / f64::from(1 << 20);
    sender.join().expect("the sender panicked")?;
    let memory = most_memory(program.0.id())?;
    let verdict = if memory <= MOST_MEMORY { "met" } else { "MISSED" };
    println!(
        "  proxy: {} GiB as they were sent, {rate:.0} MiB per second, with {:.1} MiB of memory at \
         the most; no more than {}: {verdict}",
        bytes >> 30,
        memory as f64 / f64::from(1 << 20),
        MOST_MEMORY >> 20
    );
    Ok(())
}

fn block() -> Vec<u8> {
    (0..BLOCK).map(|at| (at % 251) as u8).collect()
}

/// Cargo makes the examples beside the benches, but not for them.
fn start<B: Backend>(target: &str) -> Result<(Program, String)> {
    let this = env::current_exe()?;
    let path = this.ancestors().nth(2).ok_or("no build directory")?.join("examples/proxy");
    let mut command = Command::new(&path);
    command.args(["127.0.0.1:0", target, "--backend", B::NAME]).stdout(Stdio::piped());
    let child = command.spawn().map_err(|error| {
        format!("{}: {error}; cargo build --release --examples", path.display())
    })?;
    let mut program = Program(child);
    let stdout = program.0.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim_end().strip_prefix("listening on ").ok_or("it does not listen")?;
    Ok((program, address.to_owned()))
}

fn most_memory(id: u32) -> Result<usize> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).ok_or("no VmHWM")?;
    Ok(peak.parse::<usize>()? << 10)
}
