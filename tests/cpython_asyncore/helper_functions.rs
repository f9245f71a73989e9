//! `HelperFunctionTests`: from what the kernel reports to callbacks, what becomes of their
//! failures, and `close_all`.

use crate::common::{
    HangGuard, Log, PATIENCE, Probe, on_both_backends, pass, reactor, read_available, tcp_pair,
    wait_for,
};
use asyncore::{Backend, Channel, Context, Reactor};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, send},
};
use std::{
    io::{self, Write, pipe},
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    panic::{AssertUnwindSafe, catch_unwind},
};

fn send_urgent(stream: &TcpStream) {
    assert_eq!(send(stream.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap(), 1);
}

type Hook = fn(&mut Context<'_>) -> io::Result<()>;

/// A reactor with `a`, which is ready for this callback alone and runs `hook` in it, and `b`, to
/// which nothing happens.
struct Ready<B> {
    reactor: Reactor<B>,
    log: Log,
    b: Log,
    b_peer: UnixStream,
    _a_peer: TcpStream,
}

const EVENTS: [&str; 4] = ["read", "write", "expt", "close"];

fn ready<B: Backend + Default>(
    event: &'static str,
    adjust: impl FnOnce(Probe) -> Probe,
    hook: Hook,
) -> Ready<B> {
    let (ours, mut theirs) = tcp_pair();
    let flag = match event {
        "write" => PollFlags::POLLOUT,
        "expt" => PollFlags::POLLPRI,
        _ => PollFlags::POLLIN,
    };
    match event {
        "read" => theirs.write_all(b"x").unwrap(),
        "expt" => send_urgent(&theirs),
        "close" => theirs.shutdown(Shutdown::Write).unwrap(),
        _ => {}
    }
    wait_for(&ours, flag);
    let (idle, b_peer) = UnixStream::pair().unwrap();
    let ([log, b], mut reactor) = ([(); 2].map(|()| Log::default()), reactor::<B>());
    let probe = adjust(Probe::new("a", &log)).writable(event == "write").on(event, hook);
    reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
    reactor.add_channel(Channel::new(idle).unwrap(), Probe::new("b", &b)).unwrap();
    Ready { reactor, log, b, b_peer, _a_peer: theirs }
}

impl<B> Ready<B> {
    /// The callback, what came before it, and this after it.
    #[track_caller]
    fn assert_called(&self, event: &str, then: &[&str]) {
        let called = format!("a.{event}");
        let before: &[_] = if event == "close" { &["a.eof"] } else { &[] };
        assert_eq!(self.log.take(), [before, &[&called], then].concat());
        assert_eq!(self.b.take(), [""; 0]);
    }
}

/// The kernel reports `flag` and nothing else for `fd`, and this is what is called for it.
#[track_caller]
fn assert_calls<B: Backend + Default>(
    flag: PollFlags,
    fd: impl Into<OwnedFd>,
    writable: bool,
    expected: &[&str],
) {
    let fd = fd.into();
    // Errors and hang-ups come unasked.
    let asked = flag & (PollFlags::POLLIN | PollFlags::POLLPRI | PollFlags::POLLOUT);
    let mut fds = [PollFd::new(fd.as_fd(), asked)];
    poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()).unwrap();
    assert_eq!(fds[0].revents(), Some(flag));

    let (log, mut reactor) = (Log::default(), reactor::<B>());
    let probe = Probe::new("a", &log).writable(writable);
    let key = reactor.add_channel(Channel::new(fd).unwrap(), probe).unwrap();
    assert_eq!(pass(&mut reactor), 1);
    assert_eq!(log.take(), expected);
    reactor.close_channel(key);
}

/// Ten channels, and their peers.
fn ten<B: Backend>(reactor: &mut Reactor<B>, log: &Log) -> [UnixStream; 10] {
    [(); 10].map(|()| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", log)).unwrap();
        theirs.set_nonblocking(true).unwrap();
        theirs
    })
}

fn is_closed(peer: &UnixStream) -> bool {
    read_available(peer, &mut Vec::new())
}

on_both_backends! {
    /// A failure goes to `handle_error`, a request to stop leaves the loop with every channel in
    /// place, and a panic unwinds through it. Nobody else hears of any of them.
    fn readwriteexc<B>() {
        for event in EVENTS {
            let fails: Hook = |_| Err(io::Error::other("boom"));
            let mut failed = ready::<B>(event, |probe| probe, fails);
            assert_eq!(pass(&mut failed.reactor), 1);
            if event == "close" {
                // There is nothing to decide any more: it is logged.
                failed.assert_called(event, &["a.drop"]);
            } else {
                failed.assert_called(event, &["a.error boom", "a.close boom", "a.drop"]);
                let mut kept = ready::<B>(event, Probe::keep_on_error, fails);
                assert_eq!(pass(&mut kept.reactor), 1);
                kept.assert_called(event, &["a.error boom"]);
                assert_eq!(kept.reactor.len(), 2);
            }
            assert_eq!(failed.reactor.len(), 1);

            let stops: Hook = |cx| {
                cx.stop();
                Ok(())
            };
            let mut stopped = ready::<B>(event, |probe| probe, stops);
            let _guard = HangGuard::new();
            stopped.reactor.run().unwrap();
            stopped.assert_called(event, if event == "close" { &["a.drop"] } else { &[] });
            assert_eq!(stopped.reactor.len(), if event == "close" { 1 } else { 2 });

            let mut burst = ready::<B>(event, |probe| probe, |_| panic!("boom"));
            catch_unwind(AssertUnwindSafe(|| pass(&mut burst.reactor))).unwrap_err();
            burst.assert_called(event, &["a.drop"]);
            burst.b_peer.write_all(b"x").unwrap();
            assert_eq!(pass(&mut burst.reactor), 1);
            assert_eq!(burst.b.take(), ["b.read x"]);
        }
    }

    /// One flag of the kernel, one callback. A hang-up is read first, so that nothing the peer sent
    /// before is lost. What `POLLNVAL` does is in `lost_numbers`.
    fn readwrite<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert_calls::<B>(PollFlags::POLLOUT, ours.try_clone().unwrap(), true, &["a.write"]);
        theirs.write_all(b"x").unwrap();
        assert_calls::<B>(PollFlags::POLLIN, ours, false, &["a.read x"]);

        let (ours, theirs) = tcp_pair();
        send_urgent(&theirs);
        wait_for(&ours, PollFlags::POLLPRI);
        assert_calls::<B>(PollFlags::POLLPRI, ours, false, &["a.expt"]);

        let (reader, writer) = pipe().unwrap();
        drop(reader);
        assert_calls::<B>(PollFlags::POLLERR, writer, false, &["a.close EPIPE", "a.drop"]);
        let (reader, writer) = pipe().unwrap();
        drop(writer);
        assert_calls::<B>(PollFlags::POLLHUP, reader, false, &["a.eof", "a.close", "a.drop"]);
    }

    /// Without a callback. All of them are closed even if one cannot be: that is in `lost_numbers`.
    fn closeall<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let peers = ten(&mut reactor, &log);
        reactor.close_all().unwrap();
        assert_eq!(log.take(), ["a.drop"; 10]);
        assert!(reactor.is_empty());
        assert!(peers.iter().all(is_closed));
    }

    /// There is no default map. Each reactor has its own, and closes nobody else's channels.
    fn closeall_default<B>() {
        let (logs, mut ours, mut others) =
            ([(); 2].map(|()| Log::default()), reactor::<B>(), Reactor::new());
        let our_peers = ten(&mut ours, &logs[0]);
        let mut other_peers = ten(&mut others, &logs[1]);
        ours.close_all().unwrap();
        assert!(our_peers.iter().all(is_closed));
        assert_eq!(logs.each_ref().map(Log::take).concat(), ["a.drop"; 10]);
        for peer in &mut other_peers {
            peer.write_all(b"x").unwrap();
        }
        assert_eq!(pass(&mut others), 10);
        assert_eq!(logs[1].take(), ["a.read x"; 10]);
    }
}
