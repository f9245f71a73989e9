//! A process that says one line and ends, and is not waited for longer than it may take.

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{prctl, signal::Signal},
};
use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The last line of its standard output, or why there is none.
pub(crate) fn line(command: &mut Command, limit: Duration) -> Result<String, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let result = collect(&mut child, limit);
    // Harmless if it has ended.
    let _ = child.kill();
    let status = child.wait().map_err(|error| error.to_string())?;
    let (stdout, stderr) = result.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(stdout.lines().last().unwrap_or_default().to_string());
    }
    Err(reason(&stderr).unwrap_or_else(|| status.to_string()))
}

/// What a process that failed had to say, in a line.
fn reason(stderr: &str) -> Option<String> {
    // glibc's abort, and CPython's exception.
    let too_large = ["FD_SETSIZE", "filedescriptor out of range"];
    if too_large.iter().any(|sign| stderr.contains(sign)) {
        return Some("its select takes no descriptor of 1024 or above".into());
    }
    let mut lines = stderr.lines().map(str::trim);
    lines.rfind(|line| !line.is_empty() && !line.starts_with("note:")).map(String::from)
}

/// Reads its standard output and its standard error to their ends.
fn collect(child: &mut Child, limit: Duration) -> io::Result<(String, String)> {
    let end = Instant::now() + limit;
    let pipes = [
        OwnedFd::from(child.stdout.take().expect("a pipe")),
        OwnedFd::from(child.stderr.take().expect("a pipe")),
    ];
    let mut pipes = pipes.map(|fd| (Some(File::from(fd)), Vec::new()));
    while pipes.iter().any(|(pipe, _)| pipe.is_some()) {
        let open = pipes.iter().filter_map(|(pipe, _)| pipe.as_ref());
        let mut fds: Vec<_> =
            open.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)).collect();
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut fds, timeout)? == 0 {
            return Err(io::Error::other(format!("not done after {} s", limit.as_secs())));
        }
        let mut ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        for (pipe, text) in &mut pipes {
            let Some(file) = pipe else { continue };
            let mut buffer = [0; 4096];
            if ready.remove(0) {
                match file.read(&mut buffer)? {
                    0 => *pipe = None,
                    count => text.extend_from_slice(&buffer[..count]),
                }
            }
        }
    }
    Ok(pipes.map(|(_, text)| String::from_utf8_lossy(&text).into_owned()).into())
}

/// Called by whoever is started: does not outlive who started it.
pub(crate) fn end_with_parent() {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
}
