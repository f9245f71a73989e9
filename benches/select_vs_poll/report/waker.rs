//! The other process: it sends a message when ours is asleep.
//!
//! This program again, with an argument of its own. It gets a delay, sleeps for that long, answers,
//! and ends when the socket does.

use std::{
    env,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// The argument that makes this program the other process.
pub(crate) const ARGUMENT: &str = "--be-the-waker";

#[derive(Debug)]
pub(crate) struct Waker(Child);

impl Waker {
    /// Starts it at the other end of `socket`.
    pub(crate) fn start(socket: UnixStream) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(ARGUMENT).stdin(OwnedFd::from(socket)).stdout(Stdio::null());
        // In a group of its own, so that a Ctrl-C is left to this process.
        Ok(Self(command.process_group(0).spawn()?))
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a message that asks for an answer says.
pub(crate) fn request(delay: Duration) -> [u8; 8] {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX).to_le_bytes()
}

/// The other process's whole life.
pub(crate) fn run() -> io::Result<()> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut request = [0; 8];
    while socket.read_exact(&mut request).is_ok() {
        thread::sleep(Duration::from_nanos(u64::from_le_bytes(request)));
        socket.write_all(&[0; super::work::MESSAGE])?;
    }
    Ok(())
}
