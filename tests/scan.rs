//! Looking at the busy channels first: what it may not change.

mod common;

use asyncore::{Backend, Channel, Context, Dispatcher, Reactor, Scan};
use common::{Log, PATIENCE, Probe, on_both_backends};
use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    rc::Rc,
    sync::mpsc,
};

/// One that is ready in every pass, among many that are quiet: `busy` and `0` to `49`.
struct Crowd<B> {
    reactor: Reactor<B>,
    log: Log,
    busy: UnixStream,
    quiet: Vec<UnixStream>,
}

impl<B: Backend> Crowd<B> {
    fn new(scan: Scan, urgent: Option<usize>) -> Self {
        const NAMES: [&str; 50] = {
            let mut names = ["quiet"; 50];
            names[20] = "the twentieth";
            names
        };
        let log = Log::default();
        let mut reactor = Reactor::builder().backend(B::default()).scan(scan).build();
        let mut add = |name, urgent| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let channel = Channel::new(ours).unwrap();
            channel.set_urgent(urgent);
            reactor.add_channel(channel, Probe::new(name, &log)).unwrap();
            theirs
        };
        let quiet = NAMES.iter().enumerate();
        let quiet = quiet.map(|(index, name)| add(*name, urgent == Some(index))).collect();
        let busy = add("busy", false);
        Self { reactor, log, busy, quiet }
    }

    /// So many passes, in each of which the busy one is served; whatever else was.
    fn passes(&mut self, count: usize) -> Vec<String> {
        for _ in 0..count {
            self.busy.write_all(b"x").unwrap();
            self.reactor.poll(Some(PATIENCE)).unwrap();
        }
        let mut entries = self.log.take();
        let all = entries.len();
        entries.retain(|entry| entry != "busy.read x");
        assert_eq!(all - entries.len(), count, "the busy one is served in every pass");
        entries
    }
}

/// Reads what is there, but no more than a byte, and notes that it was served.
struct Client {
    number: usize,
    served: Rc<RefCell<Vec<usize>>>,
}

impl Dispatcher for Client {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.served.borrow_mut().push(self.number);
        cx.recv(&mut [0]).map(drop)
    }
}

/// Counts how often it was served, and is urgent from the first time on.
struct Caller {
    served: Rc<Cell<usize>>,
}

impl Dispatcher for Caller {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.served.set(self.served.get() + 1);
        cx.set_urgent(true);
        cx.recv(&mut [0]).map(drop)
    }
}

const ONE: Scan = Scan::Forced { slice: 1 };

/// How long one is quiet before it is to be served in the same pass: several times, so that it is
/// not just the turn of its slice.
const QUIET_PASSES: std::ops::Range<usize> = 100..105;

on_both_backends! {
    fn a_quiet_channel_is_served_while_another_is_busy<B>() {
        let mut crowd = Crowd::<B>::new(ONE, None);
        assert_eq!(crowd.passes(100), [""; 0]);
        crowd.quiet[20].write_all(b"hello").unwrap();
        // select looks at whole words of 64.
        assert_eq!(crowd.passes(128), ["the twentieth.read hello"]);
    }

    fn an_urgent_channel_is_served_in_the_same_pass<B>() {
        let mut crowd = Crowd::<B>::new(ONE, Some(20));
        for quiet_passes in QUIET_PASSES {
            crowd.passes(quiet_passes);
            crowd.quiet[20].write_all(b"hello").unwrap();
            assert_eq!(crowd.passes(1), ["the twentieth.read hello"]);
        }
    }

    fn who_becomes_urgent_in_a_callback_is_so_from_then_on<B>() {
        let mut crowd = Crowd::<B>::new(ONE, None);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let served = Rc::default();
        let caller = Caller { served: Rc::clone(&served) };
        crowd.reactor.add_channel(Channel::new(ours).unwrap(), caller).unwrap();
        theirs.write_all(b"x").unwrap();
        crowd.passes(128);
        assert_eq!(served.get(), 1);
        for (quiet_passes, before) in QUIET_PASSES.zip(1..) {
            crowd.passes(quiet_passes);
            theirs.write_all(b"x").unwrap();
            crowd.passes(1);
            assert_eq!(served.get(), before + 1);
        }
    }

    fn a_listener_accepts_in_the_same_pass<B>() {
        let mut crowd = Crowd::<B>::new(ONE, None);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = crowd.log.clone();
        let listener = Channel::new(listener).unwrap();
        crowd.reactor.add_channel(listener, Probe::new("listener", &log)).unwrap();
        let mut clients = Vec::new();
        for quiet_passes in QUIET_PASSES {
            crowd.passes(quiet_passes);
            clients.push(TcpStream::connect(address).unwrap());
            assert_eq!(crowd.passes(1), ["listener.accepted"]);
        }
    }

    fn what_was_posted_is_called_in_the_same_pass<B>() {
        let mut crowd = Crowd::<B>::new(ONE, None);
        let remote = crowd.reactor.remote().unwrap();
        for quiet_passes in QUIET_PASSES {
            crowd.passes(quiet_passes);
            let (called, calls) = mpsc::channel();
            assert!(remote.post(move |_| called.send(()).unwrap()).is_ok());
            crowd.passes(1);
            assert_eq!(calls.try_recv(), Ok(()));
        }
    }

    fn a_pass_that_does_not_wait_looks_at_everything<B>() {
        let mut crowd = Crowd::<B>::new(ONE, None);
        crowd.passes(100);
        for quiet in &mut crowd.quiet {
            quiet.write_all(b"hello").unwrap();
        }
        assert_eq!(crowd.reactor.poll(Some(std::time::Duration::ZERO)).unwrap(), 50);
    }

    /// Nobody has more of a pass than anybody else, however much he sends.
    fn a_flooder_and_a_hundred_others_are_each_served_once_in_a_pass<B>() {
        for scan in [Scan::Plain, Scan::Adaptive, ONE, Scan::Forced { slice: usize::MAX }] {
            let served = Rc::new(RefCell::new(Vec::new()));
            let mut reactor = Reactor::builder().backend(B::default()).scan(scan).build();
            let mut peers: Vec<_> = (0..=100)
                .map(|number| {
                    let (ours, theirs) = UnixStream::pair().unwrap();
                    theirs.set_nonblocking(true).unwrap();
                    let client = Client { number, served: Rc::clone(&served) };
                    reactor.add_channel(Channel::new(ours).unwrap(), client).unwrap();
                    theirs
                })
                .collect();
            let mut pass = || {
                // The first sends as much as anybody takes, the others a byte each.
                while peers[0].write(&[b'x'; 4096]).is_ok() {}
                peers[1..].iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
                reactor.poll(Some(PATIENCE)).unwrap();
                let mut served = served.take();
                served.sort_unstable();
                served
            };
            let all: Vec<_> = (0..=100).collect();
            // Those who were quiet are looked at in turns, until they are known to be busy. select
            // looks at whole words of 64.
            let known = (0..256).position(|_| {
                let mut served = pass();
                let count = served.len();
                served.dedup();
                assert_eq!(served.len(), count, "{scan:?}: one was served twice");
                served == all
            });
            assert!(known.is_some(), "{scan:?}: one is never served");
            assert!(scan != Scan::Plain || known == Some(0));
            for _ in 0..50 {
                assert_eq!(pass(), all, "{scan:?}");
            }
        }
    }

    fn a_plain_scan_serves_everybody_in_every_pass<B>() {
        let mut crowd = Crowd::<B>::new(Scan::Plain, None);
        for quiet_passes in QUIET_PASSES {
            crowd.passes(quiet_passes);
            crowd.quiet[20].write_all(b"hello").unwrap();
            assert_eq!(crowd.passes(1), ["the twentieth.read hello"]);
        }
    }
}
