//! A child process that does not outlive its test and cannot make it hang.

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        socket::{
            AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket,
            sockopt,
        },
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

/// No test waits longer than this for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An example program from the same build directory as this test.
pub(crate) fn example_program(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.exists(), "`cargo build --examples` makes {}", program.display());
    program
}

/// The same, on this backend.
pub(crate) fn example(name: &str, backend: &str) -> Command {
    let mut command = command(example_program(name));
    command.args(["--backend", backend]);
    command
}

/// A CPython program: a function of `peers.py` with its arguments.
pub(crate) fn python(function: &str, arguments: &[&str]) -> Command {
    python_script("peers.py", function, arguments)
}

/// The same, of another script.
pub(crate) fn python_script(script: &str, function: &str, arguments: &[&str]) -> Command {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(script);
    let mut command = command("python3");
    command.args(["-u", "-W", "ignore"]).arg(script).arg(function).args(arguments);
    command
}

/// Nothing to read, and a pipe to write to.
pub(crate) fn command(program: impl Into<std::ffi::OsString>) -> Command {
    let mut command = Command::new(program.into());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A running program; killed when dropped.
pub(crate) struct Program {
    child: Child,
    /// None if it was given another standard output than a pipe.
    stdout: Option<Stream>,
    stderr: Stream,
}

/// What became of a program.
#[derive(Debug)]
pub(crate) struct Finished {
    /// None if a signal killed it.
    pub(crate) code: Option<i32>,
    /// What was not read before.
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Program {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().map(Stream::new);
        let stderr = Stream::new(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(command: &mut Command) -> Finished {
        Self::start(command).finish()
    }

    /// The next line of its output.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let line = self.stdout.as_mut().unwrap().line();
        line.unwrap_or_else(|| panic!("no line: {}", self.stderr.rest().escape_ascii()))
    }

    /// The next line of its standard error.
    #[track_caller]
    pub(crate) fn complaint(&mut self) -> String {
        self.stderr.line().expect("it complains")
    }

    #[track_caller]
    pub(crate) fn write(&mut self, data: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(data).unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it has ever had, in bytes.
    pub(crate) fn most_memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It is a child that was not waited for, so the number is still its own.
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Has it find at once whatever is done meanwhile.
    #[track_caller]
    pub(crate) fn while_stopped(&self, act: impl FnOnce()) {
        self.signal(Signal::SIGSTOP);
        let id = Pid::from_raw(self.child.id() as i32);
        let status = waitpid(id, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert_eq!(status, WaitStatus::Stopped(id, Signal::SIGSTOP));
        act();
        self.signal(Signal::SIGCONT);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        let stdout = self.stdout.as_mut().map(Stream::rest).unwrap_or_default();
        // Its standard error ends with it, so nothing waits without a limit.
        let stderr = String::from_utf8_lossy(&self.stderr.rest()).into_owned();
        Finished { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// Fails unless the program ended well and had nothing to complain about.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""));
        self
    }

    /// Fails unless it ended with this status and said all of this on its standard error.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, messages: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for message in messages {
            assert!(self.stderr.contains(message), "no {message:?} in {:?}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

/// What a thread reads from elsewhere, so that whoever waits for it can give up.
pub(crate) struct Stream {
    chunks: Receiver<Vec<u8>>,
    unread: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(mut source: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            // The master of a terminal ends in an error.
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { chunks, unread: Vec::new() }
    }

    /// The next line without its end; `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Everything up to its end.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.unread)
    }

    #[track_caller]
    fn fill(&mut self) -> bool {
        match self.chunks.recv_timeout(PATIENCE) {
            Ok(chunk) => {
                self.unread.extend(chunk);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => {
                panic!("it hangs, after {:?}", String::from_utf8_lossy(&self.unread))
            }
        }
    }
}

/// Waits until a read, or an accept, will not block.
#[track_caller]
pub(crate) fn await_input(fd: impl AsFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut fds, timeout).unwrap(), 1, "it hangs");
}

/// Bytes that do not repeat soon, so that none can be lost or exchanged unnoticed.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(length + 8);
    while noise.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    noise.truncate(length);
    noise
}

/// An address where a connection is refused, as long as the descriptor is held.
pub(crate) fn refusing_address() -> (OwnedFd, String) {
    // Bound, so that nobody else can be given the port, and not listening.
    let nobody = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(nobody.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let address: SockaddrIn = getsockname(nobody.as_raw_fd()).unwrap();
    (nobody, address.to_string())
}

/// Closes with a reset instead of an end of file.
pub(crate) fn reset(stream: TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &linger).unwrap();
}
