//! What is watched: Unix stream sockets.

use asyncore::Backend;
use asyncore_backends::check_fd;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    io::{self, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
};

/// As much as anything here needs, and some more.
const OPEN_FILES: u64 = 10_100;

/// As far as it goes, and as far as it is of use.
pub(crate) fn raise_the_limit_of_open_files() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Where it fails, what has no room is left out.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(OPEN_FILES)), hard);
}

/// So many connected pairs. None, and a line that says so, where the process may not open as many
/// or the backend cannot watch them.
pub(crate) fn pairs<B: Backend>(group: &str, count: usize) -> Option<Vec<[UnixStream; 2]>> {
    let pair = || {
        let (one, other) = UnixStream::pair()?;
        check_fd(one.as_raw_fd().max(other.as_raw_fd()), B::FD_LIMIT)?;
        Ok([one, other])
    };
    let result: io::Result<_> = (0..count).map(|_| pair()).collect();
    result
        .inspect_err(|error| {
            println!("{group}/{} with {} sockets is left out: {error}", B::NAME, 2 * count);
        })
        .ok()
}

/// Writes until there is no room.
pub(crate) fn fill(mut socket: &UnixStream) {
    socket.set_nonblocking(true).unwrap();
    while socket.write(&[0; 64 << 10]).is_ok() {}
}
