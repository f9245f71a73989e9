//! Rows B1 to B13: the loop, its passes, its time and its order.
#![cfg_attr(not(target_os = "linux"), allow(unused_imports, reason = "some rows are Linux's"))]

#[cfg(target_os = "linux")]
use crate::common::Sleeper;
use crate::common::{
    HangGuard, Log, PATIENCE, Probe, assert_quiet, on_both_backends, reactor, tcp_pair, wait_for,
};
use asyncore::{Channel, Context, Dispatcher, LoopOptions, Reactor};
use nix::{
    poll::PollFlags,
    sys::socket::{MsgFlags, send},
};
use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

/// Counts how often it is asked, which every pass of a reactor that asks every pass does.
struct Asked(Rc<Cell<u32>>);

impl Dispatcher for Asked {
    fn readable(&self, _: &Channel) -> bool {
        self.0.update(|count| count + 1);
        true
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }
}

fn passes(count: u64) -> LoopOptions {
    LoopOptions { timeout: Some(Duration::ZERO), count: Some(count) }
}

on_both_backends! {
    fn b01_run_returns_when_nothing_is_left<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let (first, peer_of_first) = UnixStream::pair().unwrap();
        let (second, peer_of_second) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(first).unwrap(), Probe::new("a", &log)).unwrap();
        // The second ends only after the first has, so run must go on in between.
        let mut kept = Some(peer_of_second);
        let probe = Probe::new("b", &log).writable(true).on("write", {
            let log = log.clone();
            move |_| {
                if log.contains("a.drop") {
                    drop(kept.take());
                }
                Ok(())
            }
        });
        reactor.add_channel(Channel::new(second).unwrap(), probe).unwrap();
        drop(peer_of_first);
        reactor.run().unwrap();
        assert!(reactor.is_empty());
        let entries: Vec<_> = log.take().into_iter().filter(|entry| entry != "b.write").collect();
        assert_eq!(entries, ["a.eof", "a.close", "a.drop", "b.eof", "b.close", "b.drop"]);
    }

    fn b01_run_returns_when_a_callback_closes_the_last_channel<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("write", |cx| {
            cx.close();
            Ok(())
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.write", "a.drop"]);
    }

    fn b01_an_empty_reactor_does_not_run_and_a_remote_handle_is_no_channel<B>() {
        let _guard = HangGuard::new();
        let mut reactor = reactor::<B>();
        reactor.run().unwrap();
        let _remote = reactor.remote().unwrap();
        reactor.run().unwrap();
    }

    fn b02_count_is_the_number_of_passes_with_events<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true);
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.run_with(LoopOptions { count: Some(5), ..LoopOptions::default() }).unwrap();
        assert_eq!(log.take(), ["a.write"; 5]);
    }

    fn b02_count_is_the_number_of_passes_without_events<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut reactor = Reactor::builder().ask_every_pass(true).backend(B::default()).build();
        let asked = Rc::new(Cell::new(0));
        reactor.add_channel(Channel::new(ours).unwrap(), Asked(asked.clone())).unwrap();
        reactor.run_with(passes(1)).unwrap();
        // From the second pass on nothing is new.
        asked.set(0);
        reactor.run_with(passes(1)).unwrap();
        let once = asked.take();
        assert!(once > 0);
        reactor.run_with(passes(7)).unwrap();
        assert_eq!(asked.get(), 7 * once);
        assert_eq!(reactor.len(), 1);
    }

    fn b02_each_pass_without_events_waits_for_the_timeout<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut reactor = reactor::<B>();
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &Log::default())).unwrap();
        let timeout = Duration::from_millis(5);
        let start = Instant::now();
        reactor.run_with(LoopOptions { timeout: Some(timeout), count: Some(3) }).unwrap();
        assert!(start.elapsed() >= 3 * timeout, "early");
    }

    fn b02_a_count_of_0_returns_at_once<B>() {
        let _guard = HangGuard::new();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        reactor.run_with(LoopOptions { timeout: None, count: Some(0) }).unwrap();
        assert_eq!(log.take(), [""; 0]);
        reactor.run_with(passes(1)).unwrap();
        assert_eq!(log.take(), ["a.read x"]);
    }

    #[cfg(target_os = "linux")]
    fn b04_a_wait_without_end_on_nothing_is_woken_by_the_remote_handle<B>() {
        let _guard = HangGuard::new();
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        let (sleeper, woken) = (Sleeper::this_thread(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                sleeper.until_asleep();
                woken.store(true, SeqCst);
                remote.wake().unwrap();
            });
            assert_eq!(reactor.poll(None).unwrap(), 0);
            assert!(woken.load(SeqCst), "returned before it was woken");
        });
        assert_quiet(&mut reactor);
    }

    #[cfg(target_os = "linux")]
    fn b04_run_on_an_idle_channel_is_stopped_by_the_remote_handle<B>() {
        let _guard = HangGuard::new();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false);
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let remote = reactor.remote().unwrap();
        let (sleeper, stopped) = (Sleeper::this_thread(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                sleeper.until_asleep();
                stopped.store(true, SeqCst);
                remote.stop().unwrap();
            });
            reactor.run().unwrap();
            assert!(stopped.load(SeqCst), "returned before it was stopped");
        });
        assert_eq!(reactor.len(), 1);
        assert_eq!(log.take(), [""; 0]);
    }

    #[cfg(target_os = "linux")]
    fn b04_without_a_remote_handle_a_wait_on_nothing_blocks<B>() {
        let (tell, told) = std::sync::mpsc::channel();
        // It sleeps until the process ends.
        let waiter = thread::spawn(move || {
            let mut reactor = reactor::<B>();
            tell.send(Sleeper::this_thread()).unwrap();
            reactor.poll(None).map(drop)
        });
        assert!(told.recv().unwrap().until_asleep(), "it returned: {:?}", waiter.join());
    }

    #[cfg(target_os = "linux")]
    fn b06_a_short_timeout_is_neither_early_nor_a_busy_loop<B>() {
        use nix::sys::{
            resource::{UsageWho, getrusage},
            time::TimeValLike,
        };
        let cpu_time = || {
            let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
            let micros = (usage.user_time() + usage.system_time()).num_microseconds();
            Duration::from_micros(micros as u64)
        };
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut watching = reactor::<B>();
        let probe = Probe::new("a", &Log::default());
        watching.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        for mut reactor in [watching, reactor::<B>()] {
            let (start, cpu_at_start) = (Instant::now(), cpu_time());
            for _ in 0..300 {
                for timeout in [900, 999, 1100].map(Duration::from_micros) {
                    let start = Instant::now();
                    assert_eq!(reactor.poll(Some(timeout)).unwrap(), 0);
                    assert!(start.elapsed() >= timeout, "early");
                }
            }
            let (elapsed, burnt) = (start.elapsed(), cpu_time() - cpu_at_start);
            assert!(burnt < elapsed / 2, "a busy loop: {burnt:?} of {elapsed:?}");
        }
    }

    #[cfg(target_os = "linux")]
    fn b06_a_timeout_below_a_millisecond_is_not_rounded_up_to_one<B>() {
        let mut reactor = reactor::<B>();
        let timeout = Duration::from_micros(100);
        // A busy machine makes single waits long, but not all of them.
        let end = Instant::now() + PATIENCE;
        loop {
            let start = Instant::now();
            reactor.poll(Some(timeout)).unwrap();
            assert!(start.elapsed() >= timeout, "early");
            if start.elapsed() < Duration::from_millis(1) {
                break;
            }
            assert!(start < end, "never below a millisecond");
        }
    }

    #[cfg(target_os = "linux")]
    fn b07_a_huge_timeout_waits_until_something_comes<B>() {
        let _guard = HangGuard::new();
        let huge = [
            Duration::MAX,
            Duration::from_secs(i64::MAX as u64),
            Duration::from_secs(i64::MAX as u64 + 1),
            Duration::from_secs(1 << 33),
            Duration::from_millis(i32::MAX as u64 + 1),
        ];
        for timeout in huge {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
            let (sleeper, written) = (Sleeper::this_thread(), AtomicBool::new(false));
            thread::scope(|scope| {
                scope.spawn(|| {
                    sleeper.until_asleep();
                    written.store(true, SeqCst);
                    theirs.write_all(b"x").unwrap();
                });
                let options = LoopOptions { timeout: Some(timeout), count: Some(1) };
                reactor.run_with(options).unwrap();
                assert!(written.load(SeqCst), "{timeout:?} was cut short");
            });
            assert_eq!(log.take(), ["a.read x"]);
        }
    }

    fn b11_what_is_left_unread_is_told_of_again_in_every_pass<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"abc").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut passes_to_skip = 2;
        let probe = Probe::new("a", &log).on("read", move |cx| {
            if passes_to_skip > 0 {
                passes_to_skip -= 1;
                return Ok(());
            }
            cx.recv(&mut [0]).map(drop)
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        for _ in 0..5 {
            assert_eq!(reactor.poll(None).unwrap(), 1);
            assert_eq!(log.take(), ["a.read"]);
        }
        assert_quiet(&mut reactor);
    }

    fn b11_room_to_write_is_told_of_in_every_pass<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true);
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        for _ in 0..3 {
            assert_eq!(reactor.poll(None).unwrap(), 1);
            assert_eq!(log.take(), ["a.write"]);
        }
    }

    fn b12_channels_come_in_ascending_order_each_with_all_its_events<B>() {
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut peers = Vec::new();
        let mut channels: Vec<_> = (0..3)
            .map(|_| {
                let (ours, mut theirs) = tcp_pair();
                theirs.write_all(b"ab").unwrap();
                send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
                wait_for(&ours, PollFlags::POLLPRI);
                peers.push(theirs);
                Channel::new(ours).unwrap()
            })
            .collect();
        channels.sort_by_key(|channel| std::os::fd::AsFd::as_fd(channel).as_raw_fd());
        // The order in which they join must not matter.
        let mut named: Vec<_> = channels.into_iter().zip(["a", "b", "c"]).collect();
        named.rotate_left(1);
        named.swap(0, 1);
        for (channel, name) in named {
            reactor.add_channel(channel, Probe::new(name, &log).writable(true)).unwrap();
        }
        assert_eq!(reactor.poll(None).unwrap(), 3);
        let expected = ["a", "b", "c"].map(|name| {
            ["read ab", "write", "expt"].map(|event| format!("{name}.{event}"))
        });
        assert_eq!(log.take(), expected.concat());
    }

    fn b13_a_callback_cannot_reach_the_loop_that_runs_it<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let reactor = Rc::new(RefCell::new(reactor::<B>()));
        let (log, loop_of_all) = (Log::default(), Rc::downgrade(&reactor));
        let probe = Probe::new("a", &log).writable(true).on("write", {
            let log = log.clone();
            move |cx| {
                // Even a shared reactor is out of reach: poll has it exclusively.
                let shared = loop_of_all.upgrade().unwrap();
                if shared.try_borrow_mut().is_err() {
                    log.push("out of reach");
                }
                cx.close();
                Ok(())
            }
        });
        let channel = Channel::new(ours).unwrap();
        reactor.borrow_mut().add_channel(channel, probe).unwrap();
        reactor.borrow_mut().run().unwrap();
        assert_eq!(log.take(), ["a.write", "out of reach", "a.drop"]);
    }

    fn b13_another_reactor_may_run_in_a_callback<B>() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (log, mut outer) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true).on("write", {
            let log = log.clone();
            move |cx| {
                let (ours, mut theirs) = UnixStream::pair()?;
                theirs.write_all(b"x")?;
                drop(theirs);
                let mut inner = reactor::<B>();
                inner.add_channel(Channel::new(ours)?, Probe::new("b", &log))?;
                inner.run()?;
                cx.close();
                Ok(())
            }
        });
        outer.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        outer.run().unwrap();
        assert_eq!(log.take(), ["a.write", "b.read x", "b.eof", "b.close", "b.drop", "a.drop"]);
    }
}

/// What a callback gets has no loop: these methods would lose against inherent ones of that name,
/// and then the types below would not fit.
trait NoLoop {
    fn poll(&self, _: Option<Duration>) -> Absent {
        Absent
    }

    fn run(&self) -> Absent {
        Absent
    }

    fn run_with(&self, _: LoopOptions) -> Absent {
        Absent
    }
}

struct Absent;

impl NoLoop for Context<'_> {}

#[test]
fn b13_the_context_has_no_loop() {
    struct Nested;
    impl Dispatcher for Nested {
        fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            let _: (Absent, Absent, Absent) =
                (cx.poll(None), cx.run(), cx.run_with(LoopOptions::default()));
            cx.close();
            Ok(())
        }
    }
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let mut reactor = Reactor::new();
    reactor.add_channel(Channel::new(ours).unwrap(), Nested).unwrap();
    reactor.run().unwrap();
}
