//! Connections that come, are answered, and go; and what they leave behind.

use crate::{Result, rounds::progress, server::Server};
use asyncore::Backend;
use nix::sys::socket::{setsockopt, sockopt::Linger};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

/// Tables may have grown a little; an object of each connection would be a thousand times as much.
const MOST_LEFT: i64 = 64 << 10;

pub(crate) fn run<B: Backend + Default>(connections: usize) -> Result<()> {
    let descriptors = fs::read_dir("/dev/fd")?.count();
    let server = Server::start::<B>()?;
    let (bar, begin) = (progress(connections as u64, "churn"), Instant::now());
    for number in 0..connections {
        one(server.addresses[number % server.addresses.len()])?;
        if number % 1000 == 999 {
            bar.inc(1000);
        }
    }
    bar.finish_and_clear();
    let rate = connections as f64 / begin.elapsed().as_secs_f64();
    let bytes = server.stop()?;
    let more = fs::read_dir("/dev/fd")?.count() as isize - descriptors as isize;
    let verdict = if bytes < MOST_LEFT && more == 0 { "met" } else { "MISSED" };
    println!(
        "  churn: {connections} connections, {rate:.0} per second, left {bytes} bytes and {more} \
         descriptors; less than {MOST_LEFT}, and none: {verdict}"
    );
    Ok(())
}

fn one(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"hello")?;
    stream.read_exact(&mut [0; 5])?;
    // Otherwise its port would be taken for a minute.
    setsockopt(&stream, Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    Ok(())
}
