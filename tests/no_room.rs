//! Row B55: a listener that has no room for another connection. The limit on descriptors is the
//! process's, so each test has one of its own.

mod common;

use asyncore::{Backend, Channel, Context, Dispatcher, Key, Reactor};
use common::{Log, Probe, alone, on_both_backends, pass, poll_until, reactor};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    rc::Rc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How many descriptors the process may have here.
const LIMIT: u64 = 64;

/// How long a listener rests.
const REST: Duration = Duration::from_millis(100);

/// Whether to go on: with the limit lowered, in a process of the test's own.
fn lowered() -> bool {
    let alone = alone();
    if alone {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, LIMIT, most).unwrap();
    }
    alone
}

/// Takes every descriptor that is left.
fn fill() -> Vec<File> {
    let filler: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!filler.is_empty());
    filler
}

/// A listener `l` in a reactor, and its clients, who wait: a Unix connect is over when it returns.
struct Server<B> {
    reactor: Reactor<B>,
    log: Log,
    clients: Vec<UnixStream>,
    _directory: TempDir,
}

fn server<B: Backend + Default>(clients: usize, adjust: impl FnOnce(Probe) -> Probe) -> Server<B> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener");
    let listener = Channel::new(UnixListener::bind(&path).unwrap()).unwrap();
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    let children = log.clone();
    let probe = Probe::new("l", &log).on_accepted(move |cx, channel, _| {
        cx.add_channel(channel, Probe::new("c", &children)).map(drop)
    });
    reactor.add_channel(listener, adjust(probe)).unwrap();
    let clients = (0..clients).map(|_| UnixStream::connect(&path).unwrap()).collect();
    Server { reactor, log, clients, _directory: directory }
}

fn ready(reactor: &mut Reactor<impl Backend>) -> usize {
    reactor.poll(Some(Duration::ZERO)).unwrap()
}

/// Counts the passes until this much time has passed.
fn passes(reactor: &mut Reactor<impl Backend>, time: Duration) -> usize {
    let end = Instant::now() + time;
    let mut count = 0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return count;
        }
        reactor.poll(Some(left)).unwrap();
        count += 1;
    }
}

on_both_backends! {
    fn b55_a_listener_without_room_is_told_once_and_rests<B>() {
        if !lowered() {
            return;
        }
        let mut server = server::<B>(3, |probe| probe);
        let _filler = fill();
        assert_eq!(ready(&mut server.reactor), 1);
        assert_eq!(server.log.take(), ["l.error EMFILE"]);
        // It looks again now and then, and does not say so.
        assert!(passes(&mut server.reactor, 5 * REST) <= 20, "it spins");
        assert_eq!(server.log.take(), [""; 0]);
        assert_eq!(server.reactor.len(), 1);
    }

    fn b55_a_handler_with_a_spare_descriptor_need_not_rest<B>() {
        if !lowered() {
            return;
        }
        let mut spare = Some(File::open("/dev/null").unwrap());
        let mut server = server::<B>(3, |probe| {
            probe.on("error", move |cx| {
                drop(spare.take());
                let turned_away = cx.accept()?;
                assert!(turned_away.is_some());
                drop(turned_away);
                spare = Some(File::open("/dev/null")?);
                Ok(())
            })
        });
        let _filler = fill();
        for _ in 0..3 {
            assert_eq!(ready(&mut server.reactor), 1);
            assert_eq!(server.log.take(), ["l.error EMFILE"]);
        }
    }

    fn b55_a_listener_without_room_does_not_shorten_a_wait<B>() {
        if !lowered() {
            return;
        }
        let mut server = server::<B>(1, |probe| probe);
        let _filler = fill();
        ready(&mut server.reactor);
        for _ in 0..3 {
            let (start, wait) = (Instant::now(), Duration::from_millis(10));
            // Unless it has rested for long enough.
            if server.reactor.poll(Some(wait)).unwrap() == 0 {
                assert!(start.elapsed() >= wait);
            }
        }
    }

    fn b55_a_listener_without_room_goes_on_when_a_channel_closes<B>() {
        if !lowered() {
            return;
        }
        let mut server = server::<B>(3, |probe| probe);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let probe = Probe::new("x", &server.log);
        let key = server.reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let _filler = fill();
        ready(&mut server.reactor);
        assert_eq!(server.log.take(), ["l.error EMFILE"]);
        // At once, and told again since something was accepted in between.
        server.reactor.close_channel(key);
        assert_eq!(ready(&mut server.reactor), 1);
        assert_eq!(server.log.take(), ["x.drop", "l.accepted", "l.error EMFILE"]);
        assert_eq!(server.reactor.len(), 2);
    }

    fn b55_a_listener_without_room_goes_on_when_a_peer_leaves<B>() {
        if !lowered() {
            return;
        }
        let mut server = server::<B>(2, |probe| probe);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let probe = Probe::new("x", &server.log);
        server.reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        let filler = fill();
        ready(&mut server.reactor);
        drop((theirs, filler));
        server.log.take();
        ready(&mut server.reactor);
        assert_eq!(server.log.take(), ["x.eof", "x.close", "x.drop"]);
        ready(&mut server.reactor);
        assert_eq!(server.log.take(), ["l.accepted"; 2]);
    }

    fn b55_a_listener_without_room_goes_on_when_its_own_handler_makes_some<B>() {
        if !lowered() {
            return;
        }
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let idle = Rc::new(Cell::new(None::<Key<Probe>>));
        let makes_room = Rc::clone(&idle);
        let mut server = server::<B>(1, |probe| {
            probe.on("error", move |cx| {
                if let Some(key) = makes_room.take() {
                    cx.close_channel(key);
                }
                Ok(())
            })
        });
        let probe = Probe::new("x", &server.log);
        let key = server.reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        idle.set(Some(key));
        let _filler = fill();
        ready(&mut server.reactor);
        assert_eq!(server.log.take(), ["l.error EMFILE", "x.drop"]);
        // At once. What follows is up to the kernel, which may miss the room before it looks
        // whether anybody is waiting.
        ready(&mut server.reactor);
        assert_eq!(server.log.take()[0], "l.accepted");
    }

    /// Nobody tells the reactor, but it does not wait for ever.
    fn b55_a_listener_without_room_goes_on_when_a_strangers_descriptor_closes<B>() {
        if !lowered() {
            return;
        }
        let mut server = server::<B>(1, |probe| probe);
        let filler = fill();
        ready(&mut server.reactor);
        assert_eq!(server.log.take(), ["l.error EMFILE"]);
        drop(filler);
        assert_eq!(pass(&mut server.reactor), 1);
        assert_eq!(server.log.take(), ["l.accepted"]);
    }

    fn b55_everybody_is_served_in_the_end<B>() {
        if !lowered() {
            return;
        }
        let mut server = server::<B>(20, |probe| probe);
        let filler = fill();
        ready(&mut server.reactor);
        drop(filler);
        // Twenty more than there are, and there is room for some of them.
        let _filler: Vec<_> = (0..8).map(|_| File::open("/dev/null").unwrap()).collect();
        let mut clients = std::mem::take(&mut server.clients);
        for (served, client) in clients.iter_mut().enumerate() {
            client.write_all(b"x").unwrap();
            poll_until(&mut server.reactor, || server.log.count("c.read x") > served);
            client.shutdown(std::net::Shutdown::Write).unwrap();
            poll_until(&mut server.reactor, || server.log.count("c.drop") > served);
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
        assert_eq!(server.log.count("l.accepted"), 20);
        assert_eq!(server.reactor.len(), 1);
    }

    fn b55_a_dispatcher_that_swallows_the_error_rests_alike<B>() {
        struct Swallows(Log);
        impl Dispatcher for Swallows {
            fn handle_accept(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
                self.0.push(if cx.accept().is_ok() { "accepted" } else { "failed" });
                Ok(())
            }
        }
        if !lowered() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("listener");
        let listener = Channel::new(UnixListener::bind(&path).unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(listener, Swallows(log.clone())).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let filler = fill();
        assert!(passes(&mut reactor, 5 * REST) <= 20, "it spins");
        assert!((1..=20).contains(&log.take().len()));
        drop(filler);
        poll_until(&mut reactor, || log.contains("accepted"));
    }

    fn b55_a_handler_may_give_the_listener_up<B>() {
        struct GivesUp(Log);
        impl Dispatcher for GivesUp {
            fn handle_error(&mut self, _: &mut Context<'_>, error: io::Error) -> io::Result<()> {
                self.0.push(format!("error {}", common::name_of(&error)));
                Err(error)
            }
            fn handle_close(
                &mut self,
                _: &mut Context<'_>,
                cause: Option<io::Error>,
            ) -> io::Result<()> {
                self.0.push(format!("close {}", common::name_of(&cause.unwrap())));
                Ok(())
            }
        }
        if !lowered() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("listener");
        let listener = Channel::new(UnixListener::bind(&path).unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(listener, GivesUp(log.clone())).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let _filler = fill();
        common::run_out(&mut reactor);
        assert_eq!(log.take(), ["error EMFILE", "close EMFILE"]);
    }

    fn b55_a_listener_that_is_closed_while_it_rests_is_gone<B>() {
        if !lowered() {
            return;
        }
        let mut server = server::<B>(1, |probe| probe);
        let _filler = fill();
        ready(&mut server.reactor);
        server.reactor.close_all().unwrap();
        assert_eq!(server.log.take(), ["l.error EMFILE", "l.drop"]);
        assert_eq!(passes(&mut server.reactor, REST), 1);
    }
}
