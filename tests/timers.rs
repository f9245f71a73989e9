//! Timers and the timeouts of channels: never early, in order, and in nobody's way.
//!
//! Time decides nothing here but that something came too soon.

mod common;

use asyncore::{Channel, Family, Interest, Scope, State, Timer, Type};
use common::{HangGuard, Log, Probe, assert_quiet, on_both_backends, reactor};
use std::{
    cell::{Cell, RefCell},
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, Instant},
};

const MS: Duration = Duration::from_millis(1);

/// An hour: it does not come.
const LONG: Duration = Duration::from_secs(3600);

/// A callback that writes down that it was called.
fn entry(log: &Log, name: &str) -> impl FnOnce(&mut Scope<'_>) + 'static {
    let (log, name) = (log.clone(), name.to_string());
    move |_| log.push(name)
}

/// All that can be done with timers, on whoever offers it.
macro_rules! use_timers {
    ($site:expr, $log:expr) => {{
        $site.call_later(Duration::ZERO, entry($log, "later"));
        $site.call_at(Instant::now(), entry($log, "at"));
        let log = $log.clone();
        let every = $site.call_every(LONG, move |scope| {
            log.push("every");
            scope.stop();
        });
        assert!($site.reschedule(every, Duration::ZERO));
        let never = $site.call_later(Duration::ZERO, entry($log, "cancelled"));
        assert!($site.cancel(never));
        assert!(!$site.cancel(never) && !$site.reschedule(never, Duration::ZERO));
    }};
}

on_both_backends! {
    fn a_callback_and_another_timer_set_them_as_the_reactor_does<B>() {
        let called = ["later", "at", "every"];
        let log = Log::default();
        let mut direct = reactor::<B>();
        use_timers!(direct, &log);
        direct.run().unwrap();
        assert_eq!(log.take(), called);

        let mut by_timer = reactor::<B>();
        let inner = log.clone();
        by_timer.call_later(Duration::ZERO, move |scope| use_timers!(scope, &inner));
        by_timer.run().unwrap();
        assert_eq!(log.take(), called);

        let mut by_callback = reactor::<B>();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let inner = log.clone();
        let probe = Probe::new("a", &log).on("read", move |cx| {
            use_timers!(cx, &inner);
            cx.recv(&mut [0]).map(drop)
        });
        by_callback.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        theirs.write_all(b"x").unwrap();
        by_callback.run().unwrap();
        assert_eq!(log.take(), ["a.read", "later", "at", "every"]);
    }

    fn they_come_in_order_and_never_early<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let begin = Instant::now();
        for delay in [3, 1, 0, 2, 1] {
            let log = log.clone();
            reactor.call_later(delay * MS, move |_| {
                assert!(begin.elapsed() >= delay * MS, "{delay} ms: early");
                log.push(delay.to_string());
            });
        }
        reactor.run().unwrap();
        assert_eq!(log.take(), ["0", "1", "1", "2", "3"]);
    }

    fn those_of_the_same_time_come_in_the_order_in_which_they_were_made<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let time = Instant::now() + 2 * MS;
        let timers: Vec<_> =
            ["a", "b", "c", "d"].map(|name| reactor.call_at(time, entry(&log, name))).into();
        reactor.call_at(time - MS, entry(&log, "before"));
        assert!(reactor.cancel(timers[1]));
        reactor.run().unwrap();
        assert_eq!(log.take(), ["before", "a", "c", "d"]);
    }

    fn a_time_that_has_passed_is_due_in_the_next_pass<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        reactor.call_at(Instant::now() - MS, entry(&log, "past"));
        assert_eq!(reactor.poll(Some(LONG)).unwrap(), 0);
        assert_eq!(log.take(), ["past"]);
    }

    fn a_wait_ends_when_a_timer_is_due<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        reactor.call_later(MS, entry(&log, "due"));
        reactor.call_later(LONG, entry(&log, "not due"));
        let _guard = HangGuard::new();
        assert_eq!(reactor.poll(None).unwrap(), 0);
        assert_eq!(log.take(), ["due"]);
        assert_quiet(&mut reactor);
    }

    fn channels_come_before_timers<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        theirs.write_all(b"x").unwrap();
        reactor.call_later(Duration::ZERO, entry(&log, "timer"));
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.read x", "timer"]);
    }

    fn one_that_is_set_again_and_again_for_now_keeps_no_channel_waiting<B>() {
        fn again(scope: &mut Scope<'_>, count: Rc<Cell<u32>>) {
            count.set(count.get() + 1);
            scope.call_later(Duration::ZERO, move |scope| again(scope, count));
        }
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let count = Rc::new(Cell::new(0));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        let counted = Rc::clone(&count);
        reactor.call_later(Duration::ZERO, move |scope| again(scope, counted));
        for pass in 1..=10 {
            theirs.write_all(b"x").unwrap();
            assert_eq!(reactor.poll(None).unwrap(), 1);
            assert_eq!(log.take(), ["a.read x"]);
            assert_eq!(count.get(), pass, "once in each pass");
        }
    }

    fn a_cancelled_one_is_over_and_a_stale_name_finds_nothing<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let timer = reactor.call_later(Duration::ZERO, entry(&log, "a"));
        assert!(reactor.cancel(timer) && !reactor.cancel(timer));
        // Its place is taken.
        let successor = reactor.call_later(Duration::ZERO, entry(&log, "b"));
        assert!(!reactor.cancel(timer) && !reactor.reschedule(timer, LONG));
        assert_ne!(timer, successor);
        let mut other = common::reactor::<B>();
        other.call_later(LONG, entry(&log, "other"));
        assert!(!other.cancel(successor) && !other.reschedule(successor, LONG));
        reactor.run().unwrap();
        assert_eq!(log.take(), ["b"]);
        assert!(!reactor.cancel(successor));
    }

    fn one_can_be_moved_both_ways<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let begin = Instant::now();
        let a = reactor.call_later(LONG, entry(&log, "a"));
        let b = reactor.call_later(Duration::ZERO, entry(&log, "b"));
        assert!(reactor.reschedule(a, 2 * MS) && reactor.reschedule(b, 3 * MS));
        reactor.run().unwrap();
        assert!(begin.elapsed() >= 3 * MS);
        assert_eq!(log.take(), ["a", "b"]);
    }

    fn one_beyond_all_time_is_pending_and_never_due<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let timer = reactor.call_later(Duration::MAX, entry(&log, "never"));
        reactor.call_every(Duration::MAX, |_| panic!("never"));
        reactor.poll(Some(MS)).unwrap();
        assert!(reactor.reschedule(timer, Duration::ZERO));
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["never"]);
    }

    /// None comes before its time, and none that was missed comes afterwards.
    fn a_periodic_one_neither_bursts_nor_comes_early<B>() {
        let mut reactor = reactor::<B>();
        let period = 2 * MS;
        let begin = Instant::now();
        let times = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&times);
        let timer = Rc::new(Cell::new(None::<Timer>));
        let own = Rc::clone(&timer);
        timer.set(Some(reactor.call_every(period, move |scope| {
            noted.borrow_mut().push(begin.elapsed());
            if noted.borrow().len() == 2 {
                // A stall of several periods.
                let stalled = Instant::now();
                while stalled.elapsed() < 5 * period {}
            }
            if noted.borrow().len() == 8 {
                assert!(scope.cancel(own.get().unwrap()));
            }
        })));
        reactor.run().unwrap();
        // Its times are multiples of the period from when it was made, which is after `begin`.
        for (index, time) in times.borrow().iter().enumerate() {
            // Those that went by during the stall are not made up for.
            let missed = if index < 2 { 0 } else { 4 };
            assert!(*time >= (index as u32 + 1 + missed) * period, "{index}: {times:?}");
        }
    }

    fn a_callback_has_the_reactor<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (other, _peer) = UnixStream::pair().unwrap();
        let probe = Probe::new("other", &log);
        let other = reactor.add_channel(Channel::new(other).unwrap(), probe).unwrap();
        let joined = log.clone();
        reactor.call_later(Duration::ZERO, move |scope| {
            assert_eq!(scope.len(), 1);
            let probe = Probe::new("joined", &joined);
            let key = scope.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            assert!(scope.get(key).is_some() && scope.get_mut(key).is_some());
            assert!(scope.pause(key, Interest::READ) && scope.resume(key, Interest::READ));
            scope.channel(key).unwrap().push(b"hello").unwrap();
            assert!(scope.touch(key));
            assert!(scope.close_channel(other) && !scope.close_channel(other));
            scope.stop();
        });
        reactor.run().unwrap();
        assert_eq!((log.take(), reactor.len()), (vec!["other.drop".to_string()], 1));
        let mut buffer = [0; 5];
        theirs.read_exact(&mut buffer).unwrap();
        drop(theirs);
        reactor.run().unwrap();
        assert_eq!(log.take(), ["joined.eof", "joined.close", "joined.drop"]);
    }

    fn run_ends_when_no_channel_and_no_timer_is_left<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, theirs) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        drop(theirs);
        reactor.call_later(3 * MS, entry(&log, "last"));
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop", "last"]);
        assert!(reactor.is_empty());
        reactor.run().unwrap();
    }

    fn a_panic_costs_one_timer<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let time = Instant::now();
        reactor.call_at(time, |_| panic!("on purpose"));
        let periodic = reactor.call_every(Duration::ZERO, |_| panic!("on purpose"));
        reactor.call_later(Duration::ZERO, entry(&log, "whole"));
        for _ in 0..2 {
            catch_unwind(AssertUnwindSafe(|| reactor.poll(None))).unwrap_err();
        }
        assert!(!reactor.cancel(periodic), "it is gone");
        reactor.run().unwrap();
        assert_eq!(log.take(), ["whole"]);
    }

    fn a_million_are_pending_and_come_in_order<B>() {
        const COUNT: u32 = 1_000_000;
        let mut reactor = reactor::<B>();
        let last = Rc::new(Cell::new((Duration::ZERO, 0)));
        let called = Rc::new(Cell::new(0));
        let begin = Instant::now();
        let mut random = 1_u64;
        let timers: Vec<_> = (0..COUNT)
            .map(|order| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let delay = Duration::from_nanos(random % 1000 * 1000);
                let (last, called) = (Rc::clone(&last), Rc::clone(&called));
                reactor.call_at(begin + delay, move |_| {
                    assert!(last.replace((delay, order)) <= (delay, order), "out of order");
                    called.set(called.get() + 1);
                })
            })
            .collect();
        for timer in timers.iter().skip(1).step_by(2) {
            assert!(reactor.cancel(*timer));
        }
        reactor.run().unwrap();
        assert_eq!(called.get(), COUNT / 2);
    }

    fn a_quiet_channel_times_out_and_is_closed<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.set_timeout(Some(3 * MS));
        assert_eq!(channel.timeout(), Some(3 * MS));
        let begin = Instant::now();
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        reactor.run().unwrap();
        assert!(begin.elapsed() >= 3 * MS, "early");
        assert_eq!(log.take(), ["a.timeout", "a.error timed out", "a.close timed out", "a.drop"]);
    }

    /// Whatever moves bytes begins the time anew.
    fn an_active_channel_times_out_after_its_last_activity<B>() {
        let timeout = 4 * MS;
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.set_timeout(Some(timeout));
        let active = Rc::new(Cell::new(Instant::now()));
        let key = {
            let (read, ended) = (Rc::clone(&active), Rc::clone(&active));
            let probe = Probe::new("a", &log)
                .on("read", move |cx| {
                    read.set(Instant::now());
                    cx.recv(&mut [0; 16]).map(drop)
                })
                .on("timeout", move |_| {
                    assert!(ended.get().elapsed() >= timeout, "early");
                    Err(io::ErrorKind::TimedOut.into())
                });
            reactor.add_channel(channel, probe).unwrap()
        };
        for _ in 0..10 {
            reactor.poll(Some(MS)).unwrap();
            if theirs.write_all(b"x").is_err() {
                // Too slow a machine: it has timed out, and not early.
                break;
            }
            reactor.poll(Some(MS)).unwrap();
            if let Some(channel) = reactor.channel(key) {
                active.set(Instant::now());
                channel.push(b"y").unwrap();
            }
        }
        reactor.run().unwrap();
        assert!(log.contains("a.timeout") && log.contains("a.close timed out"), "{log:?}");
    }

    fn a_handler_may_keep_a_quiet_channel_and_is_called_again<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.set_timeout(Some(MS));
        // Nobody reads; it is no less quiet for that.
        channel.pause(Interest::READ);
        let begin = Instant::now();
        let mut times = 0;
        let probe = Probe::new("a", &log).on("timeout", move |cx| {
            times += 1;
            assert!(begin.elapsed() >= times * MS, "early");
            if times == 3 {
                cx.set_timeout(None);
                cx.call_later(Duration::ZERO, |scope| scope.stop());
            }
            Ok(())
        });
        reactor.add_channel(channel, probe).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.timeout"; 3]);
        assert_quiet(&mut reactor);
    }

    fn a_timeout_can_be_shortened_lengthened_and_taken_back<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.set_timeout(Some(LONG));
        let probe = Probe::new("a", &log).on("timeout", |_| Ok(()));
        let key = reactor.add_channel(channel, probe).unwrap();
        reactor.poll(Some(Duration::ZERO)).unwrap();
        reactor.channel(key).unwrap().set_timeout(Some(MS));
        let _guard = HangGuard::new();
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.timeout"]);
        reactor.channel(key).unwrap().set_timeout(Some(LONG));
        assert_quiet(&mut reactor);
        reactor.channel(key).unwrap().set_timeout(Some(Duration::ZERO));
        reactor.poll(None).unwrap();
        assert_eq!(log.take(), ["a.timeout"]);
        reactor.channel(key).unwrap().set_timeout(None);
        assert_quiet(&mut reactor);
        assert!(log.take().is_empty());
    }

    fn a_timeout_goes_with_its_channel<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let channels = [(); 4].map(|()| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let channel = Channel::new(ours).unwrap();
            channel.set_timeout(Some(LONG));
            (reactor.add_channel(channel, Probe::new("a", &log)).unwrap(), theirs)
        });
        reactor.poll(Some(Duration::ZERO)).unwrap();
        let [removed, closed, by_hand, gone] = channels;
        let (channel, _) = reactor.del_channel(removed.0).unwrap();
        assert!(reactor.close_channel(closed.0));
        reactor.channel(by_hand.0).unwrap().close();
        drop(gone.1);
        let _guard = HangGuard::new();
        // If a timer were left, this would last an hour.
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.drop", "a.drop", "a.drop", "a.eof", "a.close", "a.drop"]);

        // In another reactor it begins anew.
        let mut other = common::reactor::<B>();
        channel.set_timeout(Some(MS));
        let begin = Instant::now();
        other.add_channel(channel, Probe::new("b", &log)).unwrap();
        other.run().unwrap();
        assert!(begin.elapsed() >= MS);
        assert!(log.contains("b.close timed out"));
    }

    fn the_next_channel_with_the_number_has_its_own_timeout<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (next, _peer) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.set_timeout(Some(2 * MS));
        let key = reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        reactor.poll(Some(Duration::ZERO)).unwrap();
        let (channel, _) = reactor.del_channel(key).unwrap();
        // The number goes to another socket, without a gap in which somebody else could get it.
        let mut number = channel.into_fd().unwrap();
        nix::unistd::dup2(&next, &mut number).unwrap();
        drop(theirs);
        reactor.add_channel(Channel::new(number).unwrap(), Probe::new("b", &log)).unwrap();
        log.take();
        let begin = Instant::now();
        while begin.elapsed() < 5 * MS {
            reactor.poll(Some(MS)).unwrap();
        }
        assert!(log.take().is_empty());
    }

    fn a_connect_that_takes_too_long_times_out<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        // A full queue: the kernel drops what else knocks.
        let listener = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        listener.bind("127.0.0.1:0").unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || {
            let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
            channel.connect(&address).unwrap();
            channel
        };
        let _filler = [connect(), connect()];
        let channel = connect();
        assert_eq!(channel.state(), State::Connecting);
        channel.set_timeout(Some(5 * MS));
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        reactor.run().unwrap();
        assert_eq!(log.take(), ["a.timeout", "a.error timed out", "a.close timed out", "a.drop"]);
    }

    fn a_panic_in_handle_timeout_costs_one_channel<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        channel.set_timeout(Some(Duration::ZERO));
        let probe = Probe::new("a", &log).on("timeout", |_| panic!("on purpose"));
        reactor.add_channel(channel, probe).unwrap();
        catch_unwind(AssertUnwindSafe(|| reactor.run())).unwrap_err();
        assert_eq!(log.take(), ["a.timeout", "a.drop"]);
        let _guard = HangGuard::new();
        reactor.run().unwrap();
    }
}
