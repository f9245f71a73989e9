//! The remote handle: nothing that is said to it is lost, and nothing it does blocks.

mod common;

use asyncore::{Channel, Scope};
use common::{HangGuard, Log, Probe, assert_quiet, on_both_backends, reactor};
use std::{
    cell::Cell,
    io::{self, Write},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// What is in reach of a posted callback, which crosses threads and so cannot hold an `Rc`.
fn add_to(count: &Arc<AtomicUsize>) -> impl FnOnce(&mut Scope<'_>) + Send + 'static {
    let count = Arc::clone(count);
    move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

on_both_backends! {
    fn what_is_posted_runs_on_the_reactors_thread_in_order<B>() {
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        let here = thread::current().id();
        let (sender, received) = mpsc::channel();
        let poster = thread::spawn(move || {
            for number in 0..100 {
                let sender = sender.clone();
                remote
                    .post(move |scope| {
                        sender.send((number, thread::current().id())).unwrap();
                        if number == 99 {
                            scope.stop();
                        }
                    })
                    .unwrap();
            }
        });
        let _guard = HangGuard::new();
        reactor.run_forever().unwrap();
        poster.join().unwrap();
        let expected: Vec<_> = (0..100).map(|number| (number, here)).collect();
        assert_eq!(received.try_iter().collect::<Vec<_>>(), expected);
    }

    /// Each round trip needs its wake: one that is lost hangs.
    fn no_wake_is_lost<B>() {
        const ROUNDS: usize = 5_000;
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        let _guard = HangGuard::new();
        let (done, heard) = mpsc::channel();
        let poster = thread::spawn(move || {
            for _ in 0..ROUNDS {
                let done = done.clone();
                remote.post(move |_| done.send(()).unwrap()).unwrap();
                heard.recv().unwrap();
            }
            remote.stop().unwrap();
        });
        reactor.run_forever().unwrap();
        poster.join().unwrap();
    }

    /// Before, during and after a wait; from several threads at once.
    fn what_many_threads_post_is_all_called<B>() {
        const EACH: usize = 2_000;
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (remote, count) = (remote.clone(), Arc::clone(&count));
                thread::spawn(move || {
                    for _ in 0..EACH {
                        remote.post(add_to(&count)).unwrap();
                    }
                })
            })
            .collect();
        let _guard = HangGuard::new();
        while count.load(Ordering::Relaxed) < 4 * EACH {
            reactor.poll(None).unwrap();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // What was posted last may have been found before its wake had come.
        assert_eq!(reactor.poll(Some(Duration::ZERO)).unwrap(), 0);
        assert_quiet(&mut reactor);
        assert_eq!(count.load(Ordering::Relaxed), 4 * EACH);
    }

    fn a_million_wakes_are_one<B>() {
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        for _ in 0..1_000_000 {
            remote.wake().unwrap();
        }
        let _guard = HangGuard::new();
        assert_eq!(reactor.poll(None).unwrap(), 0);
        assert_quiet(&mut reactor);
        remote.wake().unwrap();
        reactor.poll(None).unwrap();
        assert_quiet(&mut reactor);
    }

    fn when_the_reactor_is_gone_the_callback_comes_back<B>() {
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        let key = {
            let (ours, _) = UnixStream::pair().unwrap();
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &Log::default()))
        };
        let count = Arc::new(AtomicUsize::new(0));
        // A wake that is pending does not hide it.
        remote.wake().unwrap();
        remote.post(add_to(&count)).unwrap();
        assert_eq!(Arc::strong_count(&count), 2);
        drop(reactor);
        assert_eq!((Arc::strong_count(&count), count.load(Ordering::Relaxed)), (1, 0), "dropped");

        let error = remote.post(add_to(&count)).unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::BrokenPipe);
        assert!(error.to_string().starts_with("not posted: "));
        let mut another = common::reactor::<B>();
        another.remote().unwrap().post(error.callback).unwrap();
        another.poll(None).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        for error in [remote.wake(), remote.stop(), remote.notify(key.unwrap())] {
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }

    fn what_a_post_posts_runs_in_the_next_pass<B>() {
        fn again(remote: asyncore::Remote, count: Arc<AtomicUsize>) {
            let next = remote.clone();
            let callback = move |_: &mut Scope<'_>| {
                count.fetch_add(1, Ordering::Relaxed);
                again(next, count);
            };
            remote.post(callback).unwrap();
        }
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        again(reactor.remote().unwrap(), Arc::clone(&count));
        for pass in 1..10 {
            theirs.write_all(b"x").unwrap();
            assert_eq!(reactor.poll(None).unwrap(), 1, "nobody waits for it");
            assert_eq!((log.take(), count.load(Ordering::Relaxed)), (vec!["a.read x".into()], pass));
        }
    }

    fn a_panic_in_a_post_costs_that_one<B>() {
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        remote.post(|_| panic!("on purpose")).unwrap();
        remote.post(add_to(&count)).unwrap();
        catch_unwind(AssertUnwindSafe(|| reactor.poll(None))).unwrap_err();
        let _guard = HangGuard::new();
        reactor.poll(None).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        remote.post(add_to(&count)).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 2, "the handle lives on");
    }

    fn a_channel_is_notified_once_in_a_pass_and_only_while_it_is_there<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let remote = reactor.remote().unwrap();
        let channels: Vec<_> = ["a", "b", "gone"]
            .map(|name| {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let probe = Probe::new(name, &log);
                (reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap(), theirs)
            })
            .into();
        let keys: Vec<_> = channels.iter().map(|(key, _)| *key).collect();
        let notifier = thread::spawn(move || {
            for _ in 0..1000 {
                for key in keys.iter().rev() {
                    remote.notify(*key).unwrap();
                }
            }
        });
        notifier.join().unwrap();
        assert!(reactor.close_channel(channels[2].0));
        reactor.poll(None).unwrap();
        let mut entries = log.take();
        // In the order of the numbers, which is not known here.
        entries.sort();
        assert_eq!(entries, ["a.notify", "b.notify", "gone.drop"]);
        assert_quiet(&mut reactor);
    }

    fn a_callback_of_notify_is_one_like_others<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let remote = reactor.remote().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let told = Rc::new(Cell::new(false));
        let seen = Rc::clone(&told);
        let probe = Probe::new("a", &log).on("notify", move |cx| {
            // The answer of `writable` may change: it is asked again.
            seen.set(true);
            cx.push(b"x")?;
            Err(io::Error::other("no"))
        });
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        remote.notify(key).unwrap();
        reactor.run().unwrap();
        assert!(told.get());
        assert_eq!(log.take(), ["a.notify", "a.error no", "a.close no", "a.drop"]);
    }

    fn run_forever_waits_without_a_channel<B>() {
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        drop(theirs);
        let worker = thread::spawn(move || {
            let stopper = remote.clone();
            remote
                .post(move |scope| {
                    let probe = Probe::new("a", &Log::default());
                    scope.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
                    // When it has come and gone.
                    scope.call_later(Duration::from_millis(1), move |_| stopper.stop().unwrap());
                })
                .unwrap();
        });
        let _guard = HangGuard::new();
        reactor.run_forever().unwrap();
        worker.join().unwrap();
        assert!(reactor.is_empty());
    }
}
