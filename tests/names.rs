//! Connections to names and to several addresses: the first that connects wins, and nothing is left
//! of the others.
//!
//! Time decides nothing here but that something came too soon.

mod common;

use asyncore::{Backend, Channel, Destination, Family, Reactor, Type};
use common::{
    HangGuard, Log, Probe, alone, assert_quiet, families::has_ipv6, name_of, on_both_backends,
    pass, poll_until, reactor, run_out,
};
use std::{
    cell::RefCell,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicPtr, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

const MS: Duration = Duration::from_millis(1);

/// An hour: it does not come.
const LONG: Duration = Duration::from_secs(3600);

/// What the callback was called with.
type Outcome = Rc<RefCell<Vec<io::Result<Channel>>>>;

fn into(outcome: &Outcome) -> impl FnOnce(&mut asyncore::Scope<'_>, io::Result<Channel>) + 'static {
    let outcome = Rc::clone(outcome);
    move |_, result| outcome.borrow_mut().push(result)
}

/// Runs until the connection is made or not, which has to end `run` as well.
#[track_caller]
fn connected<B: Backend>(
    reactor: &mut Reactor<B>,
    destination: impl Into<Destination>,
) -> io::Result<Channel> {
    let _guard = HangGuard::new();
    let outcome = Outcome::default();
    let timer = reactor.connect_to(destination, into(&outcome));
    assert!(outcome.borrow().is_empty(), "called at once");
    reactor.run().unwrap();
    assert!(!reactor.cancel(timer), "it is over");
    assert!(reactor.is_empty());
    let mut outcome = outcome.take();
    assert_eq!(outcome.len(), 1);
    outcome.remove(0)
}

/// Makes passes until so many attempts are under way.
#[track_caller]
fn until_there_are<B: Backend>(attempts: usize, reactor: &mut Reactor<B>) {
    let _guard = HangGuard::new();
    while reactor.len() < attempts {
        pass(reactor);
    }
}

#[track_caller]
fn peer(channel: &Channel) -> SocketAddr {
    channel.peer_addr().unwrap().as_inet().unwrap()
}

fn listener(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Nobody listens there, and while it lives nobody can.
fn refusing() -> (Channel, SocketAddr) {
    let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
    channel.bind("127.0.0.1:0").unwrap();
    let address = channel.local_addr().unwrap().as_inet().unwrap();
    (channel, address)
}

/// A listener whose queue is full: the kernel drops what else knocks, and an attempt hangs.
struct Hanging {
    listener: Channel,
    _filler: [Channel; 2],
    address: SocketAddr,
}

impl Hanging {
    fn new() -> Self {
        let listener = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        listener.bind("127.0.0.1:0").unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_inet().unwrap();
        let _filler = [(); 2].map(|()| {
            let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
            channel.connect(address).unwrap();
            channel
        });
        Self { listener, _filler, address }
    }

    /// Lets in whoever knocks: again and again, for those that fill the queue knock as well.
    fn let_in(&self) {
        while self.listener.accept().unwrap().is_some() {}
    }
}

/// There is no way to it: TCP cannot be broadcast.
const UNREACHABLE: &str = "255.255.255.255:80";

/// A lookup that waits until it is told what to find.
fn held_up() -> (Destination, mpsc::Sender<io::Result<Vec<SocketAddr>>>, mpsc::Receiver<()>) {
    let (answer, told) = mpsc::channel();
    let (begins, begun) = mpsc::channel();
    let destination = Destination::looked_up(move || {
        begins.send(()).unwrap();
        told.recv().unwrap_or_else(|_| Ok(Vec::new()))
    });
    (destination, answer, begun)
}

fn found(addresses: Vec<SocketAddr>) -> Destination {
    Destination::looked_up(move || Ok(addresses))
}

/// How many entries a directory of `/proc/self` has: `fd` or `task`.
#[cfg(target_os = "linux")]
fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// Names the calling test as skipped.
fn skip(why: &str) {
    let test = thread::current().name().unwrap_or_default().to_string();
    // Not eprintln, which would be captured and lost.
    let _ = io::stderr().write_all(format!("{test}: skipped, {why}\n").as_bytes());
}

on_both_backends! {
    fn an_ipv4_address<B>() {
        let (_listener, address) = listener("127.0.0.1:0");
        let mut reactor = reactor::<B>();
        let channel = connected(&mut reactor, ("127.0.0.1", address.port())).unwrap();
        assert_eq!(peer(&channel), address);
        assert_eq!(peer(&connected(&mut reactor, address).unwrap()), address);
    }

    fn an_ipv6_address<B>() {
        if has_ipv6() {
            let (_listener, address) = listener("[::1]:0");
            let channel = connected(&mut reactor::<B>(), (String::from("::1"), address.port()));
            assert_eq!(peer(&channel.unwrap()), address);
        }
    }

    /// It may have an IPv6 address, too, where nobody listens.
    fn a_name<B>() {
        let (_listener, address) = listener("127.0.0.1:0");
        let channel = connected(&mut reactor::<B>(), ("localhost", address.port())).unwrap();
        assert_eq!(peer(&channel), address);
    }

    fn a_name_whose_server_has_ipv6_only<B>() {
        use std::net::ToSocketAddrs;
        if !has_ipv6() {
            return;
        }
        let (_listener, address) = listener("[::1]:0");
        let name = ("localhost", address.port());
        if !name.to_socket_addrs().unwrap().any(|found| found == address) {
            return skip("localhost has no IPv6 address");
        }
        assert_eq!(peer(&connected(&mut reactor::<B>(), name).unwrap()), address);
    }

    fn a_name_that_cannot_exist<B>() {
        let mut reactor = reactor::<B>();
        // A label that long is no name, and no server need be asked.
        let name = format!("{}.invalid", "x".repeat(64));
        let error = connected(&mut reactor, (name, 80)).unwrap_err();
        assert!(error.to_string().contains("lookup"), "{error}");
        let error = connected(&mut reactor, ("a\0b", 80)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    fn no_address_at_all<B>() {
        let mut reactor = reactor::<B>();
        for destination in [Destination::any([]), found(Vec::new())] {
            let error = connected(&mut reactor, destination).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }

    fn a_lookup_that_fails_or_panics_is_an_error<B>() {
        let mut reactor = reactor::<B>();
        let fails = Destination::looked_up(|| Err(io::Error::other("on purpose")));
        assert_eq!(name_of(&connected(&mut reactor, fails).unwrap_err()), "on purpose");
        let panics = Destination::looked_up(|| panic!("on purpose"));
        let error = connected(&mut reactor, panics).unwrap_err();
        assert_eq!(name_of(&error), "the lookup panicked");
        let (_listener, address) = listener("127.0.0.1:0");
        assert!(connected(&mut reactor, found(vec![address])).is_ok(), "the others go on");
    }

    /// If the delay were waited for, this would last an hour.
    fn after_a_failure_the_next_is_tried_at_once<B>() {
        let (_nobody, refusing) = refusing();
        let (_listener, address) = listener("127.0.0.1:0");
        let addresses = [UNREACHABLE.parse().unwrap(), refusing, address];
        let destination = Destination::any(addresses).attempt_delay(LONG);
        assert_eq!(peer(&connected(&mut reactor::<B>(), destination).unwrap()), address);
    }

    fn beside_one_that_hangs_the_next_is_tried_after_the_delay_and_not_before<B>() {
        let hanging = Hanging::new();
        let (_listener, address) = listener("127.0.0.1:0");
        let mut reactor = reactor::<B>();
        // The last is less than what is allowed.
        for (delay, least) in [(30 * MS, 30 * MS), (Duration::ZERO, 10 * MS)] {
            let begin = Instant::now();
            let destination = Destination::any([hanging.address, address]).attempt_delay(delay);
            assert_eq!(peer(&connected(&mut reactor, destination).unwrap()), address);
            assert!(begin.elapsed() >= least, "early");
        }
    }

    fn the_delay_is_250_ms_unless_set<B>() {
        let hanging = Hanging::new();
        let (_listener, address) = listener("127.0.0.1:0");
        let begin = Instant::now();
        let destination = Destination::any([hanging.address, address]);
        assert_eq!(peer(&connected(&mut reactor::<B>(), destination).unwrap()), address);
        assert!(begin.elapsed() >= 250 * MS, "early");
    }

    /// The kernel knocks again after a second.
    fn an_attempt_goes_on_beside_the_next<B>() {
        let (first, second) = (Hanging::new(), Hanging::new());
        let mut reactor = reactor::<B>();
        let outcome = Outcome::default();
        let both = Destination::any([first.address, second.address]).attempt_delay(10 * MS);
        reactor.connect_to(both, into(&outcome));
        until_there_are(2, &mut reactor);
        poll_until(&mut reactor, || {
            first.let_in();
            !outcome.borrow().is_empty()
        });
        assert_eq!(peer(outcome.borrow()[0].as_ref().unwrap()), first.address);
        assert!(reactor.is_empty(), "the other one is closed");
        assert_quiet(&mut reactor);
    }

    fn the_last_to_be_tried_may_fail_before_another_has_connected<B>() {
        let hanging = Hanging::new();
        let (_nobody, refusing) = refusing();
        let mut reactor = reactor::<B>();
        let outcome = Outcome::default();
        let both = Destination::any([hanging.address, refusing]).attempt_delay(10 * MS);
        reactor.connect_to(both, into(&outcome));
        let failed = |reactor: &Reactor<B>| reactor.stats().handle_close == 1;
        while !failed(&reactor) {
            reactor.poll(Some(LONG)).unwrap();
        }
        // Its turn to say that all is over, if it does not know better.
        reactor.poll(Some(Duration::ZERO)).unwrap();
        assert!(outcome.borrow().is_empty(), "{:?}", outcome.borrow());
        poll_until(&mut reactor, || {
            hanging.let_in();
            !outcome.borrow().is_empty()
        });
        assert_eq!(peer(outcome.borrow()[0].as_ref().unwrap()), hanging.address);
        assert_quiet(&mut reactor);
    }

    /// The second of the same family would have its turn only after this one has won.
    fn the_families_take_turns<B>() {
        if has_ipv6() {
            let hanging = Hanging::new();
            let (_four, four) = listener("127.0.0.1:0");
            let (_six, six) = listener("[::1]:0");
            let destination = found(vec![hanging.address, four, six]).attempt_delay(10 * MS);
            assert_eq!(peer(&connected(&mut reactor::<B>(), destination).unwrap()), six);
            // What is given has the order that it is given in.
            let given = Destination::any([hanging.address, four, six]).attempt_delay(10 * MS);
            assert_eq!(peer(&connected(&mut reactor::<B>(), given).unwrap()), four);
        }
    }

    fn if_all_fail_the_error_says_the_most<B>() {
        let mut reactor = reactor::<B>();
        let (_nobody, refusing) = refusing();
        let unreachable = UNREACHABLE.parse().unwrap();
        for (addresses, error) in [
            (vec![refusing, refusing], "ECONNREFUSED"),
            (vec![unreachable, refusing], "ECONNREFUSED"),
            (vec![refusing, unreachable], "ECONNREFUSED"),
            (vec![unreachable], "ENETUNREACH"),
        ] {
            let all = Destination::any(addresses).attempt_delay(LONG);
            assert_eq!(name_of(&connected(&mut reactor, all).unwrap_err()), error);
        }
    }

    fn the_timeout_is_of_everything_and_never_early<B>() {
        let mut reactor = reactor::<B>();
        let hanging = [Hanging::new(), Hanging::new()];
        let (lookup, _never, _begun) = held_up();
        let attempts = || Destination::any(hanging.each_ref().map(|hanging| hanging.address));
        let (many, few) = (attempts().attempt_delay(10 * MS), attempts().attempt_delay(LONG));
        for destination in [lookup, many, few] {
            let begin = Instant::now();
            let error = connected(&mut reactor, destination.timeout(25 * MS)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(begin.elapsed() >= 25 * MS, "early");
        }
    }

    fn the_timeout_can_be_moved<B>() {
        let mut reactor = reactor::<B>();
        let hanging = Hanging::new();
        let outcome = Outcome::default();
        for timeout in [None, Some(Duration::ZERO), Some(LONG)] {
            let destination = Destination::from(hanging.address);
            let destination = match timeout {
                Some(timeout) => destination.timeout(timeout),
                None => destination,
            };
            let begin = Instant::now();
            let timer = reactor.connect_to(destination, into(&outcome));
            assert!(reactor.reschedule(timer, 5 * MS));
            let _guard = HangGuard::new();
            reactor.run().unwrap();
            assert!(begin.elapsed() >= 5 * MS, "early");
            let error = outcome.borrow_mut().pop().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }

    /// What a callback took too long for is not the connection's fault.
    fn a_connection_that_was_made_in_time_counts<B>() {
        let mut reactor = reactor::<B>();
        let (listener, address) = listener("127.0.0.1:0");
        let outcome = Outcome::default();
        let timer = reactor.connect_to(address, into(&outcome));
        pass(&mut reactor);
        let _server = listener.accept().unwrap();
        assert!(outcome.borrow().is_empty() && reactor.reschedule(timer, Duration::ZERO));
        let _guard = HangGuard::new();
        reactor.run().unwrap();
        assert_eq!(peer(outcome.borrow()[0].as_ref().unwrap()), address);
    }

    fn a_cancelled_one_is_over<B>() {
        let mut reactor = reactor::<B>();
        let hanging = [Hanging::new(), Hanging::new()];
        let attempts = Destination::any(hanging.each_ref().map(|hanging| hanging.address));
        let outcome = Outcome::default();
        let timer = reactor.connect_to(attempts.attempt_delay(10 * MS), into(&outcome));
        until_there_are(2, &mut reactor);
        assert!(reactor.cancel(timer) && !reactor.cancel(timer));
        assert!(reactor.is_empty());
        assert_eq!(Rc::strong_count(&outcome), 1, "the callback is dropped");
        let _guard = HangGuard::new();
        reactor.run().unwrap();

        // If the next attempt were still to come, this would last an hour.
        let addresses = hanging.each_ref().map(|hanging| hanging.address);
        let attempts = Destination::any(addresses).attempt_delay(LONG);
        let timer = reactor.connect_to(attempts, into(&outcome));
        pass(&mut reactor);
        assert!(reactor.len() == 1 && reactor.cancel(timer));
        reactor.run().unwrap();

        // Before anything was tried, and when the winner is known.
        let (listener, address) = listener("127.0.0.1:0");
        let timer = reactor.connect_to(address, into(&outcome));
        assert!(reactor.cancel(timer));
        reactor.run().unwrap();
        let timer = reactor.connect_to(address, into(&outcome));
        pass(&mut reactor);
        let (mut server, _) = listener.accept().unwrap();
        assert!(reactor.cancel(timer) && reactor.is_empty());
        assert_eq!(server.read(&mut [0]).unwrap(), 0, "closed");
        reactor.run().unwrap();
        assert!(outcome.borrow().is_empty() && Rc::strong_count(&outcome) == 1);
    }

    /// The answer comes when another one has its place.
    fn the_answer_to_a_cancelled_lookup_is_dropped<B>() {
        let mut reactor = reactor::<B>();
        let (_listener, address) = listener("127.0.0.1:0");
        let outcome = Outcome::default();
        let (cancelled, answer, begun) = held_up();
        let timer = reactor.connect_to(cancelled, into(&outcome));
        begun.recv().unwrap();
        assert!(reactor.cancel(timer));
        assert_eq!(Rc::strong_count(&outcome), 1);
        let (next, answer_to_next, _begun) = held_up();
        reactor.connect_to(next, into(&outcome));
        answer.send(Ok(vec![address])).unwrap();
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
        assert!(outcome.borrow().is_empty() && reactor.is_empty());
        answer_to_next.send(Ok(vec![address])).unwrap();
        let _guard = HangGuard::new();
        reactor.run().unwrap();
        assert_eq!(peer(outcome.borrow()[0].as_ref().unwrap()), address);
    }

    fn lookups_one_after_the_other_are_all_answered<B>() {
        let mut reactor = reactor::<B>();
        let (_listener, address) = listener("127.0.0.1:0");
        for _ in 0..30 {
            assert_eq!(peer(&connected(&mut reactor, found(vec![address])).unwrap()), address);
        }
    }

    /// And a cancelled one that waits for its turn is never called.
    fn many_lookups_have_few_threads_and_all_are_answered<B>() {
        const LOOKUPS: usize = 50;
        const MOST: usize = 8;
        let mut reactor = reactor::<B>();
        let (_listener, address) = listener("127.0.0.1:0");
        let outcome = Outcome::default();
        let gate = Arc::new(std::sync::RwLock::new(()));
        let closed = gate.write().unwrap();
        let [running, called] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let timers: Vec<_> = (0..LOOKUPS)
            .map(|_| {
                let (gate, running, called) = (gate.clone(), running.clone(), called.clone());
                let lookup = move || {
                    assert!(running.fetch_add(1, Ordering::SeqCst) < MOST);
                    called.fetch_add(1, Ordering::SeqCst);
                    drop(gate.read().unwrap());
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(vec![address])
                };
                reactor.connect_to(Destination::looked_up(lookup), into(&outcome))
            })
            .collect();
        let guard = HangGuard::new();
        while running.load(Ordering::SeqCst) < MOST {
            thread::yield_now();
        }
        assert!(reactor.cancel(timers[LOOKUPS - 1]));
        assert_eq!(Arc::strong_count(&gate), LOOKUPS, "49 and ours");
        drop(closed);
        reactor.run().unwrap();
        drop(guard);
        assert_eq!(called.load(Ordering::SeqCst), LOOKUPS - 1);
        let outcome = outcome.take();
        assert_eq!(outcome.len(), LOOKUPS - 1);
        outcome.into_iter().for_each(|result| assert_eq!(peer(&result.unwrap()), address));
    }

    fn a_lookup_that_hangs_does_not_hold_up_the_reactors_end<B>() {
        let mut reactor = reactor::<B>();
        let outcome = Outcome::default();
        let lookups: Vec<_> = (0..9).map(|_| held_up()).collect();
        let (mut answers, mut begun) = (Vec::new(), Vec::new());
        for (destination, answer, begins) in lookups {
            reactor.connect_to(destination, into(&outcome));
            answers.push(answer);
            begun.push(begins);
        }
        let guard = HangGuard::new();
        begun[..8].iter().for_each(|begun| begun.recv().unwrap());
        drop(reactor);
        drop(guard);
        assert_eq!(Rc::strong_count(&outcome), 1);
        // The one that waits for its turn is not called any more, whoever answers.
        assert!(answers.pop().unwrap().send(Ok(Vec::new())).is_err());
        answers.iter().for_each(|answer| answer.send(Ok(Vec::new())).unwrap());
        begun.iter().for_each(|begun| assert!(begun.recv().is_err()));
    }

    fn a_lookup_that_hangs_does_not_hold_up_the_programs_end<B>() {
        let _guard = HangGuard::new();
        if alone() {
            let mut reactor = reactor::<B>();
            let (lookup, answer, begun) = held_up();
            reactor.connect_to(lookup, |_, _| ());
            begun.recv().unwrap();
            // Neither dropped nor leaked.
            static KEPT: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
            KEPT.store(Box::into_raw(Box::new((reactor, answer))).cast(), Ordering::Relaxed);
        }
    }

    fn close_all_calls_everything_off<B>() {
        let mut reactor = reactor::<B>();
        let hanging = Hanging::new();
        let outcome = Outcome::default();
        let (lookup, _never, _begun) = held_up();
        let destinations = [lookup, hanging.address.into()];
        let timers = destinations.map(|each| reactor.connect_to(each, into(&outcome)));
        let log = Log::default();
        let other = log.clone();
        reactor.call_later(30 * MS, move |_| other.push("another timer"));
        until_there_are(1, &mut reactor);
        reactor.close_all().unwrap();
        assert_eq!((reactor.len(), Rc::strong_count(&outcome)), (0, 1));
        assert!(!timers.into_iter().any(|timer| reactor.cancel(timer)));
        let _guard = HangGuard::new();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["another timer"]);
    }

    /// The dispatcher hears of all that has come, and of no connect.
    fn nothing_is_lost_before_the_channel_has_its_dispatcher<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (listener, address) = listener("127.0.0.1:0");
        let noted = log.clone();
        reactor.connect_to(address, move |scope, result| {
            let channel = result.unwrap();
            assert_eq!(channel.state(), asyncore::State::Connected);
            channel.push(b"hello").unwrap();
            scope.add_channel(channel, Probe::new("a", &noted)).unwrap();
        });
        pass(&mut reactor);
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"banner").unwrap();
        server.shutdown(std::net::Shutdown::Write).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.read banner", "a.eof", "a.close", "a.drop"]);
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"hello");
    }

    fn a_connection_that_has_ended_before_it_is_told_was_one<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (listener, address) = listener("127.0.0.1:0");
        let noted = log.clone();
        reactor.connect_to(address, move |scope, result| {
            scope.add_channel(result.unwrap(), Probe::new("a", &noted)).unwrap();
        });
        pass(&mut reactor);
        drop(listener.accept().unwrap());
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn a_callback_of_a_channel_connects_and_so_does_a_timer<B>() {
        let mut reactor = reactor::<B>();
        let (_listener, address) = listener("127.0.0.1:0");
        let outcome = Outcome::default();
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let connect = into(&outcome);
        let mut connect = Some(connect);
        let probe = Probe::new("a", &Log::default()).on("read", move |cx| {
            cx.connect_to(address, connect.take().unwrap());
            cx.close();
            Ok(())
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let connect = into(&outcome);
        reactor.call_later(MS, move |scope| {
            scope.connect_to(address, connect);
        });
        let _guard = HangGuard::new();
        reactor.run().unwrap();
        assert_eq!(outcome.borrow().len(), 2);
        outcome.borrow().iter().for_each(|each| assert_eq!(peer(each.as_ref().unwrap()), address));
    }

    fn a_panic_in_the_callback_costs_one_connection<B>() {
        let mut reactor = reactor::<B>();
        let (listener, address) = listener("127.0.0.1:0");
        reactor.connect_to(address, |_, _| panic!("on purpose"));
        let _guard = HangGuard::new();
        catch_unwind(AssertUnwindSafe(|| reactor.run())).unwrap_err();
        assert_eq!(listener.accept().unwrap().0.read(&mut [0]).unwrap(), 0, "closed");
        reactor.run().unwrap();
        assert!(connected(&mut reactor, address).is_ok());
    }
}

#[cfg(target_os = "linux")]
on_both_backends! {
    fn no_descriptor_is_left<B>() {
        if !alone() {
            return;
        }
        let mut reactor = reactor::<B>();
        let hanging = [Hanging::new(), Hanging::new()];
        let (_nobody, refusing) = refusing();
        let (_listener, address) = listener("127.0.0.1:0");
        let before = count("fd");
        let addresses = [hanging[0].address, refusing, hanging[1].address, address];
        let destination = || Destination::any(addresses).attempt_delay(10 * MS);
        let channel = connected(&mut reactor, destination()).unwrap();
        assert_eq!((peer(&channel), count("fd")), (address, before + 1));
        drop(channel);
        connected(&mut reactor, destination().timeout(15 * MS)).unwrap_err();
        assert_eq!(count("fd"), before);
        let timer = reactor.connect_to(destination(), |_, _| ());
        until_there_are(2, &mut reactor);
        reactor.cancel(timer);
        assert_eq!(count("fd"), before);
        reactor.connect_to(destination(), |_, _| ());
        pass(&mut reactor);
        drop(reactor);
        assert_eq!(count("fd"), before);
    }

    fn a_thread_is_there_only_while_it_is_needed<B>() {
        if !alone() {
            return;
        }
        let mut reactor = reactor::<B>();
        let (_listener, address) = listener("127.0.0.1:0");
        let alone = count("task");
        let (fds, threads) = (count("fd"), Rc::new(RefCell::new(Vec::new())));
        for destination in [address.into(), Destination::host("127.0.0.1", address.port())] {
            let threads = Rc::clone(&threads);
            let mut noted = threads.borrow_mut();
            noted.push(count("task"));
            drop(noted);
            reactor.connect_to(destination, move |_, _| threads.borrow_mut().push(count("task")));
            reactor.run().unwrap();
        }
        assert_eq!((threads.take(), count("fd")), (vec![alone; 4], fds), "for literal addresses");
        let (lookup, answer, begun) = held_up();
        reactor.connect_to(lookup, |_, result| drop(result.unwrap()));
        begun.recv().unwrap();
        assert_eq!(count("task"), alone + 1);
        answer.send(Ok(vec![address])).unwrap();
        reactor.run().unwrap();
        let _guard = HangGuard::new();
        while count("task") > alone + 1 {
            thread::yield_now();
        }
    }
}
