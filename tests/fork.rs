//! After a `fork`: a reactor goes on in both processes, a remote handle in the one that made it.
//!
//! The tests run one after the other on the main thread, so that there is no other at a fork.

mod common;

use asyncore::{Backend, Channel, Destination, Reactor};
use common::{Log, PATIENCE, Probe, assert_quiet, pass, reactor};
use fork::Fork;
use libtest_mimic::{Arguments, Trial};
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{Pid, alarm},
};
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    process::exit,
    time::Duration,
};

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let mut trials = Vec::new();
    #[cfg(feature = "poll")]
    trials.extend(trials_on::<asyncore::Poll>());
    #[cfg(feature = "select")]
    trials.extend(trials_on::<asyncore::Select>());
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials_on<B: Backend + Default + 'static>() -> Vec<Trial> {
    let tests: [(&str, fn()); 8] = [
        ("a_reactor_goes_on_in_both_processes", a_reactor_goes_on_in_both_processes::<B>),
        ("one_of_them_accepts_each_connection", one_of_them_accepts_each_connection::<B>),
        ("a_handle_is_refused_in_the_child", a_handle_is_refused_in_the_child::<B>),
        ("a_wake_of_the_parent_is_the_parents", a_wake_of_the_parent_is_the_parents::<B>),
        ("the_child_has_a_handle_of_its_own", the_child_has_a_handle_of_its_own::<B>),
        ("a_reactor_without_a_handle_gets_one_in_both", a_handle_made_in_each::<B>),
        ("names_are_looked_up_in_both", names_are_looked_up_in_both::<B>),
        ("a_grandchild_is_a_process_of_its_own", a_grandchild_is_a_process_of_its_own::<B>),
    ];
    let trial = |(name, test): (&str, fn())| {
        Trial::test(format!("{name}::{}", B::NAME), move || {
            // Ends a test that hangs, and the process with it. A `run` here has a channel that is
            // idle, so it returns if it is stopped and not before.
            alarm::set(PATIENCE.as_secs() as u32 * 2);
            test();
            alarm::cancel();
            Ok(())
        })
    };
    tests.into_iter().map(trial).collect()
}

/// A child that does this, and is then over.
#[must_use]
struct Child(Pid);

impl Child {
    fn start(act: impl FnOnce()) -> Self {
        // What is not written yet is not to be written twice.
        io::stdout().flush().unwrap();
        match fork::fork().unwrap() {
            Fork::Parent(id) => Self(Pid::from_raw(id)),
            Fork::Child => {
                alarm::set(PATIENCE.as_secs() as u32);
                exit(i32::from(catch_unwind(AssertUnwindSafe(act)).is_err()));
            }
        }
    }

    #[track_caller]
    fn succeeded(self) {
        assert_eq!(waitpid(self.0, None).unwrap(), WaitStatus::Exited(self.0, 0));
    }
}

/// A reactor with one channel that reads, and its peer.
fn reading<B: Backend + Default>() -> (Reactor<B>, UnixStream, Log) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
    (reactor, theirs, log)
}

fn a_reactor_goes_on_in_both_processes<B: Backend + Default>() {
    let (mut reactor, mut theirs, log) = reading::<B>();
    assert_eq!(reactor.poll(Some(Duration::ZERO)).unwrap(), 0);
    let child = Child::start(|| {
        theirs.write_all(b"to the child").unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.read to the child"]);
        let (own, mut other) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(own).unwrap(), Probe::new("b", &log)).unwrap();
        other.write_all(b"of the child").unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["b.read of the child"]);
        reactor.close_all().unwrap();
        assert!(reactor.is_empty());
    });
    child.succeeded();
    // Nothing of that is seen here, not even that the child has closed its half of the descriptor.
    assert_eq!(reactor.len(), 1);
    assert_quiet(&mut reactor);
    theirs.write_all(b"to the parent").unwrap();
    assert_eq!(pass(&mut reactor), 1);
    assert_eq!(log.take(), ["a.read to the parent"]);
}

fn one_of_them_accepts_each_connection<B: Backend + Default>() {
    const CLIENTS: usize = 40;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    reactor.add_channel(Channel::new(listener).unwrap(), Probe::new("a", &log)).unwrap();
    let (mut told, mut tells) = UnixStream::pair().unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut accept_all = || {
        // Until another process has the last one: then a look finds nothing.
        while reactor.poll(Some(Duration::ZERO)).unwrap() > 0 {}
        log.count("a.accepted") as u8
    };
    let child = Child::start(|| tells.write_all(&[accept_all()]).unwrap());
    let ours = accept_all();
    let mut theirs = [0];
    told.read_exact(&mut theirs).unwrap();
    assert_eq!(usize::from(ours + theirs[0]), CLIENTS);
    child.succeeded();
    drop(clients);
}

fn a_handle_is_refused_in_the_child<B: Backend + Default>() {
    let (mut reactor, _theirs, _log) = reading::<B>();
    let remote = reactor.remote().unwrap();
    let child = Child::start(|| {
        for refused in [remote.wake(), remote.stop(), remote.clone().wake()] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains("fork"), "{error}");
        }
        assert_quiet(&mut reactor);
    });
    child.succeeded();
    assert_quiet(&mut reactor);
    remote.stop().unwrap();
    reactor.run().unwrap();
}

fn a_wake_of_the_parent_is_the_parents<B: Backend + Default>() {
    let (mut reactor, mut theirs, log) = reading::<B>();
    let remote = reactor.remote().unwrap();
    remote.stop().unwrap();
    let child = Child::start(|| {
        // It may look at what is the parent's once, and then leaves it alone.
        assert_eq!(reactor.poll(Some(Duration::ZERO)).unwrap(), 0);
        assert_quiet(&mut reactor);
        theirs.write_all(b"hello").unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.read hello"]);
    });
    child.succeeded();
    reactor.run().unwrap();
}

fn the_child_has_a_handle_of_its_own<B: Backend + Default>() {
    let (mut reactor, _theirs, _log) = reading::<B>();
    let remote = reactor.remote().unwrap();
    let child = Child::start(|| {
        for _ in 0..2 {
            let own = reactor.remote().unwrap();
            assert_eq!(reactor.len(), 1);
            own.stop().unwrap();
            reactor.run().unwrap();
        }
        assert!(remote.wake().is_err());
        assert_quiet(&mut reactor);
    });
    child.succeeded();
    assert_quiet(&mut reactor);
    remote.stop().unwrap();
    reactor.run().unwrap();
}

fn a_handle_made_in_each<B: Backend + Default>() {
    let (mut reactor, _theirs, _log) = reading::<B>();
    let mut make_and_use = || {
        reactor.remote().unwrap().stop().unwrap();
        reactor.run().unwrap();
        assert_quiet(&mut reactor);
    };
    let child = Child::start(&mut make_and_use);
    make_and_use();
    child.succeeded();
}

fn names_are_looked_up_in_both<B: Backend + Default>() {
    let (mut reactor, _theirs, _log) = reading::<B>();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut look_up = || {
        let (begins, begun) = std::sync::mpsc::channel();
        let name = Destination::looked_up(move || {
            begins.send(std::process::id()).unwrap();
            Ok(vec![address])
        });
        reactor.connect_to(name, |scope, result| {
            result.unwrap();
            scope.stop();
        });
        reactor.run().unwrap();
        assert_eq!(begun.recv(), Ok(std::process::id()));
    };
    look_up();
    // The thread is over: there is no other at the fork.
    #[cfg(target_os = "linux")]
    while std::fs::read_dir("/proc/self/task").unwrap().count() > 1 {
        std::thread::yield_now();
    }
    let child = Child::start(&mut look_up);
    look_up();
    child.succeeded();
}

fn a_grandchild_is_a_process_of_its_own<B: Backend + Default>() {
    let (mut reactor, _theirs, _log) = reading::<B>();
    let of_the_parent = reactor.remote().unwrap();
    let child = Child::start(|| {
        let of_the_child = reactor.remote().unwrap();
        let grandchild = Child::start(|| {
            assert!(of_the_parent.wake().is_err() && of_the_child.wake().is_err());
            reactor.remote().unwrap().stop().unwrap();
            reactor.run().unwrap();
        });
        grandchild.succeeded();
        assert_quiet(&mut reactor);
        of_the_child.stop().unwrap();
        reactor.run().unwrap();
    });
    child.succeeded();
    assert_quiet(&mut reactor);
    of_the_parent.stop().unwrap();
    reactor.run().unwrap();
}
