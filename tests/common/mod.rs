//! What the suites share: every test on both backends, a dispatcher that writes down what it is
//! called for, and pairs of real descriptors.
#![allow(dead_code, unused_macros, unused_imports, reason = "each suite uses its part")]

pub(crate) mod families;

use asyncore::{Address, Backend, Channel, Context, Dispatcher, Reactor};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
};
use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    time::{Duration, Instant},
};

/// Defines tests that run once on each backend that is compiled in: `name::poll`, `name::select`.
macro_rules! on_both_backends {
    ($($(#[$attribute:meta])* fn $name:ident<$backend:ident>() $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;
            fn test<$backend: asyncore::Backend + Default + 'static>() $body

            #[cfg(feature = "poll")]
            #[test]
            fn poll() {
                $crate::common::leaving_nothing_open(test::<asyncore::Poll>);
            }

            #[cfg(feature = "select")]
            #[test]
            fn select() {
                $crate::common::leaving_nothing_open(test::<asyncore::Select>);
            }
        }
    )*};
}
pub(crate) use on_both_backends;

/// Runs a test. If the tests run one after the other (`--test-threads=1`), it must leave as many
/// descriptors open as there were; what other threads opened cannot be told from a leak. A process
/// of the test's own ends with it, and may leave some.
#[track_caller]
pub(crate) fn leaving_nothing_open(test: impl FnOnce()) {
    let one_by_one = std::env::args().any(|argument| argument == "--test-threads=1")
        && std::env::var_os(ALONE).is_none();
    let before = one_by_one.then(open_descriptors);
    test();
    let Some(before) = before else { return };
    let end = Instant::now() + PATIENCE;
    loop {
        let after = open_descriptors();
        if after.len() == before.len() {
            return;
        }
        // A thread that was not waited for may hold one a moment longer.
        assert!(Instant::now() < end, "left open: {after:?}, and it began with {before:?}");
        std::thread::yield_now();
    }
}

/// The numbers that are open, in ascending order; that of this look is among them.
pub(crate) fn open_descriptors() -> Vec<RawFd> {
    let numbers = std::fs::read_dir("/dev/fd").unwrap().map(|entry| entry.unwrap().file_name());
    let mut numbers: Vec<_> = numbers.map(|name| name.to_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// No test waits longer than this for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What was called, in order; see [`Probe`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, entry: impl Into<String>) {
        self.0.borrow_mut().push(entry.into());
    }

    /// Everything since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub(crate) fn contains(&self, entry: &str) -> bool {
        self.count(entry) > 0
    }

    pub(crate) fn count(&self, entry: &str) -> usize {
        self.0.borrow().iter().filter(|each| *each == entry).count()
    }

    /// What was read under this name, joined.
    pub(crate) fn bytes_read(&self, name: &str) -> String {
        let prefix = format!("{name}.read ");
        self.0.borrow().iter().filter_map(|each| each.strip_prefix(&prefix)).collect()
    }
}

type Hook = Box<dyn FnMut(&mut Context<'_>) -> io::Result<()>>;
type AcceptedHook = Box<dyn FnMut(&mut Context<'_>, Channel, Address) -> io::Result<()>>;

/// A dispatcher that writes each callback into a [`Log`] and then does what its hook says.
///
/// Entries: `a.connect`, `a.accepted`, `a.read hello` (without a hook it reads, and an end of file
/// is `a.eof`; with one it is `a.read`), `a.write`, `a.drained`, `a.expt`, `a.error ECONNREFUSED`,
/// `a.close` with ` ECONNRESET` if there is a cause, `a.timeout` (without a hook it is an error),
/// `a.notify`, `a.drop`.
///
/// It wants to read and not to write unless told otherwise; `handle_error` keeps the default.
pub(crate) struct Probe {
    name: &'static str,
    log: Log,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    hooks: HashMap<&'static str, Hook>,
    accepted: Option<AcceptedHook>,
    keep_on_error: bool,
}

impl Probe {
    pub(crate) fn new(name: &'static str, log: &Log) -> Self {
        Self {
            name,
            log: log.clone(),
            readable: true,
            writable: false,
            hooks: HashMap::new(),
            accepted: None,
            keep_on_error: false,
        }
    }

    pub(crate) fn readable(mut self, readable: bool) -> Self {
        self.readable = readable;
        self
    }

    pub(crate) fn writable(mut self, writable: bool) -> Self {
        self.writable = writable;
        self
    }

    /// `handle_error` returns `Ok`.
    pub(crate) fn keep_on_error(mut self) -> Self {
        self.keep_on_error = true;
        self
    }

    /// `event`: `connect`, `read`, `write`, `drained`, `expt`, `timeout`, `notify`, `error`
    /// or `close`.
    pub(crate) fn on(
        mut self,
        event: &'static str,
        hook: impl FnMut(&mut Context<'_>) -> io::Result<()> + 'static,
    ) -> Self {
        self.hooks.insert(event, Box::new(hook));
        self
    }

    pub(crate) fn on_accepted(
        mut self,
        hook: impl FnMut(&mut Context<'_>, Channel, Address) -> io::Result<()> + 'static,
    ) -> Self {
        self.accepted = Some(Box::new(hook));
        self
    }

    fn entry(&self, entry: &str) {
        self.log.push(format!("{}.{entry}", self.name));
    }

    fn call(&mut self, event: &'static str, cx: &mut Context<'_>) -> io::Result<()> {
        self.entry(event);
        self.hooks.get_mut(event).map_or(Ok(()), |hook| hook(cx))
    }
}

impl Dispatcher for Probe {
    fn readable(&self, _: &Channel) -> bool {
        self.readable
    }

    fn writable(&self, _: &Channel) -> bool {
        self.writable
    }

    fn handle_connect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call("connect", cx)
    }

    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        peer: Address,
    ) -> io::Result<()> {
        self.entry("accepted");
        self.accepted.as_mut().map_or(Ok(()), |hook| hook(cx, channel, peer))
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.hooks.contains_key("read") {
            return self.call("read", cx);
        }
        let mut buffer = [0; 4096];
        match cx.recv(&mut buffer)? {
            0 => self.entry("eof"),
            count => self.entry(&format!("read {}", buffer[..count].escape_ascii())),
        }
        Ok(())
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call("write", cx)
    }

    fn handle_drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call("drained", cx)
    }

    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call("expt", cx)
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.entry("timeout");
        self.hooks.get_mut("timeout").map_or(Err(io::ErrorKind::TimedOut.into()), |hook| hook(cx))
    }

    fn handle_notify(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call("notify", cx)
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        match cause {
            None => self.entry("close"),
            Some(cause) => self.entry(&format!("close {}", name_of(&cause))),
        }
        self.hooks.get_mut("close").map_or(Ok(()), |hook| hook(cx))
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        self.entry(&format!("error {}", name_of(&error)));
        if let Some(hook) = self.hooks.get_mut("error") {
            hook(cx)?;
        }
        if self.keep_on_error || cx.survives(&error) { Ok(()) } else { Err(error) }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.entry("drop");
    }
}

/// `ECONNRESET`, or the message of an error that has no errno.
pub(crate) fn name_of(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => format!("{:?}", Errno::from_raw(errno)),
        None => error.to_string(),
    }
}

/// A reactor on the backend under test.
pub(crate) fn reactor<B: Backend + Default>() -> Reactor<B> {
    Reactor::with_backend(B::default())
}

/// Makes passes until `done`, and fails if that takes too long.
#[track_caller]
pub(crate) fn poll_until<B: Backend>(reactor: &mut Reactor<B>, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "it did not come: {reactor:?}");
        reactor.poll(Some(left.min(Duration::from_millis(100)))).unwrap();
    }
}

/// Makes a few passes and fails if any of them has something to serve.
///
/// Used where nothing may come; a wait is given the time to be wrong.
#[track_caller]
pub(crate) fn assert_quiet<B: Backend>(reactor: &mut Reactor<B>) {
    for _ in 0..3 {
        let start = Instant::now();
        let wait = Duration::from_millis(10);
        assert_eq!(reactor.poll(Some(wait)).unwrap(), 0, "{reactor:?}");
        assert!(start.elapsed() >= wait, "returned early");
    }
}

/// Two ends of a TCP connection on loopback.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

/// Closes with a reset instead of an end of file.
pub(crate) fn reset(stream: impl AsFd) {
    use nix::sys::socket::{setsockopt, sockopt::Linger};
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, Linger, &linger).unwrap();
}

/// Waits until the kernel reports `events` (`POLLIN`, ...) for a descriptor that no reactor has.
#[track_caller]
pub(crate) fn wait_for(fd: impl AsFd, events: nix::poll::PollFlags) {
    use nix::poll::{PollFd, PollTimeout, poll};
    let mut fds = [PollFd::new(fd.as_fd(), events)];
    let timeout = PollTimeout::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut fds, timeout).unwrap(), 1, "the kernel reports nothing");
}

/// No callback but the defaults.
pub(crate) struct Silent;

impl Dispatcher for Silent {}

/// Ends the process if it lives too long: for a wait that may be without end.
pub(crate) struct HangGuard {
    /// Its drop is the sign of life.
    _alive: std::sync::mpsc::Sender<()>,
}

impl HangGuard {
    pub(crate) fn new() -> Self {
        use std::sync::mpsc::{RecvTimeoutError, channel};
        let (_alive, gone) = channel::<()>();
        let test = std::thread::current().name().unwrap_or_default().to_string();
        std::thread::spawn(move || {
            if gone.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // Not eprintln, which would be captured and lost.
                let _ = io::Write::write_all(
                    &mut io::stderr(),
                    format!("{test}: a wait did not end\n").as_bytes(),
                );
                std::process::exit(101);
            }
        });
        Self { _alive }
    }
}

/// A thread that is expected to wait in the kernel.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sleeper(nix::libc::pid_t);

#[cfg(target_os = "linux")]
impl Sleeper {
    /// The calling thread.
    pub(crate) fn this_thread() -> Self {
        Self(nix::unistd::gettid().as_raw())
    }

    /// Returns once the thread sleeps in the kernel; false if it has ended instead.
    pub(crate) fn until_asleep(self) -> bool {
        loop {
            let path = format!("/proc/self/task/{}/stat", self.0);
            let Ok(stat) = std::fs::read_to_string(path) else { return false };
            if stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S')) {
                return true;
            }
            std::thread::yield_now();
        }
    }
}

/// Pairs of Unix sockets, the first ends in ascending order of their numbers: that of service.
pub(crate) fn ascending_pairs<const N: usize>() -> [(UnixStream, UnixStream); N] {
    let mut pairs = std::array::from_fn(|_| UnixStream::pair().unwrap());
    pairs.sort_unstable_by_key(|(ours, _)| ours.as_raw_fd());
    pairs
}

/// Appends what can be read without waiting; true if that is the end of it. For a stream that is
/// non-blocking.
#[track_caller]
pub(crate) fn read_available(mut stream: impl io::Read, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What `run` does, but it fails if that takes too long: makes passes until no channel is left.
#[track_caller]
pub(crate) fn run_out<B: Backend>(reactor: &mut Reactor<B>) {
    let start = Instant::now();
    while !reactor.is_empty() {
        reactor.poll(Some(PATIENCE.saturating_sub(start.elapsed()))).unwrap();
        assert!(start.elapsed() < PATIENCE, "it did not end: {reactor:?}");
    }
}

/// One pass that has something to serve: it does not wait for ever if that does not come.
#[track_caller]
pub(crate) fn pass<B: Backend>(reactor: &mut Reactor<B>) -> usize {
    reactor.poll(Some(PATIENCE)).unwrap()
}

/// How much processor time this thread has spent.
#[cfg(target_os = "linux")]
pub(crate) fn time_spent() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let time = usage.user_time() + usage.system_time();
    Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
}

/// Set in a process of a test's own.
const ALONE: &str = "ASYNCORE_TEST_ALONE";

/// Runs the calling test once more, in a process of its own, and returns whether this is that one.
///
/// For what belongs to the whole process. A lock is not enough: threads that only just start open
/// descriptors for a moment.
#[track_caller]
pub(crate) fn alone() -> bool {
    let this = std::thread::current();
    // On the main thread the harness runs one test after the other.
    let Some(name) = this.name().filter(|name| *name != "main") else { return true };
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--test-threads=1", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let [out, error] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && out.contains("1 passed"), "{out}{error}");
    false
}

pub(crate) fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap());
    flags.contains(OFlag::O_NONBLOCK)
}

pub(crate) fn is_cloexec(fd: impl AsFd) -> bool {
    let flags = FdFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFD).unwrap());
    flags.contains(FdFlag::FD_CLOEXEC)
}

/// A duplicate that has exactly this number, which is free.
#[track_caller]
pub(crate) fn at_number(fd: impl AsFd, number: RawFd) -> OwnedFd {
    let mut lower = Vec::new();
    loop {
        let duplicate = fd.as_fd().try_clone_to_owned().unwrap();
        if duplicate.as_raw_fd() == number {
            return duplicate;
        }
        assert!(duplicate.as_raw_fd() < number, "{number} is not free");
        lower.push(duplicate);
    }
}

#[track_caller]
pub(crate) fn close_behind_its_back(number: RawFd) {
    nix::unistd::close(number).unwrap();
}
