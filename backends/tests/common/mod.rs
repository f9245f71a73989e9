//! What the tests share: real descriptors, and short questions to a backend and to the kernel.
#![allow(dead_code, reason = "every test crate uses a part of it")]
#![allow(unused_macros, reason = "every test crate uses a part of it")]

use asyncore_backends::{Backend, Event, Interest, Readiness};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        socket::{
            AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect,
            listen, send, setsockopt, socket, sockopt,
        },
    },
};
use std::{
    io::{PipeReader, PipeWriter},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    process::Command,
    sync::Once,
    time::Duration,
};

/// Runs each generic test `fn name<B: Backend + Default>()` on every backend that is built.
macro_rules! on_each_backend {
    ($($name:ident),+ $(,)?) => {
        #[cfg(feature = "poll")]
        mod poll {
            $(#[test] fn $name() { super::$name::<asyncore_backends::Poll>() })+
        }
        #[cfg(feature = "select")]
        mod select {
            $(#[test] fn $name() { super::$name::<asyncore_backends::Select>() })+
        }
        #[cfg(feature = "poll")]
        mod hot_set_over_poll {
            $(#[test] fn $name() {
                super::$name::<asyncore_backends::HotSet<asyncore_backends::Poll>>()
            })+
        }
        #[cfg(feature = "select")]
        mod hot_set_over_select {
            $(#[test] fn $name() {
                super::$name::<asyncore_backends::HotSet<asyncore_backends::Select>>()
            })+
        }
    };
}

/// The same without what lies over them.
macro_rules! on_each_bare_backend {
    ($($name:ident),+ $(,)?) => {
        #[cfg(feature = "poll")]
        mod poll {
            $(#[test] fn $name() { super::$name::<asyncore_backends::Poll>() })+
        }
        #[cfg(feature = "select")]
        mod select {
            $(#[test] fn $name() { super::$name::<asyncore_backends::Select>() })+
        }
    };
}

pub(crate) const READ: Interest = Interest::READ;
pub(crate) const WRITE: Interest = Interest::WRITE;
pub(crate) const PRIORITY: Interest = Interest::PRIORITY;
pub(crate) const NOTHING: Interest = Interest::empty();

pub(crate) const HINTS: Readiness = Readiness::HANG_UP.union(Readiness::ERROR);

/// All eight of them.
pub(crate) fn every_interest() -> impl Iterator<Item = Interest> {
    (0..=Interest::all().bits()).map(Interest::from_bits_truncate)
}

/// A backend that watches `fd` for `interest`.
pub(crate) fn watching<B: Backend + Default>(fd: &impl AsRawFd, interest: Interest) -> B {
    let mut backend = B::default();
    backend.add(fd.as_raw_fd(), interest).unwrap();
    backend
}

/// What the backend reports at once, to the last hint.
pub(crate) fn probe(backend: &mut impl Backend) -> Vec<(RawFd, Readiness)> {
    wait(backend, Some(Duration::ZERO))
}

/// What the backend reports, to the last hint.
pub(crate) fn wait(
    backend: &mut impl Backend,
    timeout: Option<Duration>,
) -> Vec<(RawFd, Readiness)> {
    // What was there before must not survive.
    let mut ready = vec![Event { fd: -7, readiness: Readiness::all() }];
    backend.wait(timeout, &mut ready).unwrap();
    ready.iter().map(|event| (event.fd, event.readiness)).collect()
}

/// What the backend reports at once and both backends agree upon.
pub(crate) fn told(backend: &mut impl Backend) -> Vec<(RawFd, Readiness)> {
    without_hints(probe(backend))
}

pub(crate) fn without_hints(mut events: Vec<(RawFd, Readiness)>) -> Vec<(RawFd, Readiness)> {
    for (_, readiness) in &mut events {
        readiness.remove(HINTS);
    }
    events
}

/// The numbers alone.
pub(crate) fn numbers(events: Vec<(RawFd, Readiness)>) -> Vec<RawFd> {
    events.into_iter().map(|(fd, _)| fd).collect()
}

/// Sleeps in the kernel until it says one of `flags` of `fd`: what was sent has arrived.
pub(crate) fn settle(fd: &impl AsFd, flags: PollFlags) {
    let mut entry = [PollFd::new(fd.as_fd(), flags)];
    loop {
        match nix::poll::poll(&mut entry, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result.unwrap(),
        };
        if entry[0].revents().unwrap().intersects(flags) {
            return;
        }
    }
}

pub(crate) fn set_nonblocking(fd: &impl AsFd) {
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR)).unwrap();
}

/// Two ends, both non-blocking.
pub(crate) fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    set_nonblocking(&a);
    set_nonblocking(&b);
    (a, b)
}

pub(crate) fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().unwrap()
}

/// Two ends, both non-blocking.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (b, peer) = listener.accept().unwrap();
    assert_eq!(peer, a.local_addr().unwrap(), "a stranger connected");
    set_nonblocking(&a);
    set_nonblocking(&b);
    (a, b)
}

/// A TCP socket, non-blocking, neither bound nor connected.
pub(crate) fn fresh_tcp() -> OwnedFd {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap()
}

/// Connects `socket` to `address`, now or later.
pub(crate) fn start_to_connect(socket: &OwnedFd, address: SocketAddrV4) {
    match connect(socket.as_raw_fd(), &SockaddrIn::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(error) => panic!("{error}"),
    }
}

/// A local address, and the socket that keeps everybody from listening there while it lives.
pub(crate) fn address_that_refuses() -> (OwnedFd, SocketAddrV4) {
    let keeper = fresh_tcp();
    let any = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
    bind(keeper.as_raw_fd(), &any).unwrap();
    let address: SockaddrIn = nix::sys::socket::getsockname(keeper.as_raw_fd()).unwrap();
    (keeper, SocketAddrV4::new(address.ip(), address.port()))
}

/// Turns a bound socket into a listener.
pub(crate) fn start_to_listen(socket: &OwnedFd) {
    listen(socket, Backlog::new(8).unwrap()).unwrap();
}

pub(crate) fn send_out_of_band(socket: &impl AsRawFd) {
    assert_eq!(send(socket.as_raw_fd(), b"!", MsgFlags::MSG_OOB), Ok(1));
}

/// Closes `socket` so that its peer gets a reset.
pub(crate) fn reset(socket: impl AsFd) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&socket, sockopt::Linger, &linger).unwrap();
}

/// Writes until the kernel takes no more.
pub(crate) fn fill(fd: &impl AsFd) -> usize {
    let chunk = [b'x'; 4096];
    let mut total = 0;
    loop {
        match nix::unistd::write(fd, &chunk) {
            Ok(count) => total += count,
            Err(Errno::EAGAIN) => return total,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads until nothing is left.
pub(crate) fn drain(fd: &impl AsFd) -> usize {
    let mut chunk = [0; 65536];
    let mut total = 0;
    loop {
        match nix::unistd::read(fd, &mut chunk) {
            Ok(0) | Err(Errno::EAGAIN) => return total,
            Ok(count) => total += count,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Lets the process open as many descriptors as it may; returns how many those are.
pub(crate) fn raise_limit() -> RawFd {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // macOS says "unlimited" and refuses it.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    });
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    RawFd::try_from(soft).unwrap_or(RawFd::MAX)
}

/// The same open file under the first free number from `least` on.
pub(crate) fn dup_from(least: RawFd, fd: &impl AsFd) -> OwnedFd {
    raise_limit();
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(least)).unwrap();
    // SAFETY: the kernel just opened `number` for us, so nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Where nobody opens descriptors but tests that reserve a number, and `B` still takes them.
pub(crate) fn reserve<B: Backend>() -> RawFd {
    B::FD_LIMIT.map_or(3000, |limit| limit - 124)
}

/// Runs `test`, which is all of the test called `name`, in a child process of its own.
#[track_caller]
pub(crate) fn in_a_child(name: &str, test: impl FnOnce()) {
    const MARK: &str = "ASYNCORE_BACKENDS_CHILD";
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "there is no test {name}: {out}");
}

/// A small generator of random numbers: Marsaglia's xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % limit
    }

    pub(crate) fn interest(&mut self) -> Interest {
        Interest::from_bits_truncate(self.below(8) as u8)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

/// What the calling thread has cost so far.
#[cfg(target_os = "linux")]
pub(crate) struct Cost {
    /// Time on a processor, in user space and in the kernel.
    pub(crate) busy: Duration,
    /// How often it went to sleep.
    pub(crate) sleeps: i64,
}

#[cfg(target_os = "linux")]
impl Cost {
    fn so_far() -> Self {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Self {
            busy: Duration::from_micros(micros as u64),
            sleeps: usage.voluntary_context_switches(),
        }
    }

    /// What `work` cost the calling thread.
    pub(crate) fn of<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let before = Self::so_far();
        let result = work();
        let after = Self::so_far();
        let cost = Self { busy: after.busy - before.busy, sleeps: after.sleeps - before.sleeps };
        (result, cost)
    }
}

/// A thread that can be seen asleep from another one.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy)]
pub(crate) struct Sleeper(nix::libc::pid_t);

#[cfg(target_os = "linux")]
impl Sleeper {
    /// The calling thread.
    pub(crate) fn this_thread() -> Self {
        Self(nix::unistd::gettid().as_raw())
    }

    /// Returns once the thread sleeps in the kernel.
    pub(crate) fn until_asleep(self) {
        loop {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.0)).unwrap();
            let state = stat.rsplit_once(") ").unwrap().1;
            if state.starts_with('S') {
                return;
            }
            std::thread::yield_now();
        }
    }
}
