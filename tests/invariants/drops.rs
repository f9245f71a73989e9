//! I8: what the drop of a dispatcher finds, and one that panics.
//!
//! A drop has no `Context`: what it reaches of its reactor is a `Remote`, and the other end of its
//! connection.

use crate::common::{Log, Probe, assert_quiet, on_both_backends, pass, reactor};
use asyncore::{Backend, Channel, Context, Dispatcher, Key, Producer, Reactor, Remote};
use std::{
    cell::Cell,
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Its drop looks around, and then panics if it is armed.
struct Bomb {
    armed: bool,
    peer: UnixStream,
    remote: Remote,
    key: Rc<Cell<Option<Key>>>,
    log: Log,
    /// How many channels the reactor had, when it next ran what was posted.
    left: Arc<Mutex<Option<usize>>>,
}

impl Dispatcher for Bomb {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut order = [0];
        cx.recv(&mut order)?;
        match &order {
            b"c" => cx.close(),
            b"e" => return Err(ErrorKind::Other.into()),
            b"p" => panic!("as it is meant to"),
            _ => {}
        }
        Ok(())
    }

    fn handle_notify(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        self.log.push("somebody who is gone is notified");
        Ok(())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.peer.set_nonblocking(true).unwrap();
        match self.peer.read(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.log.push("still open"),
            _ => self.log.push("closed"),
        }
        let left = Arc::clone(&self.left);
        self.remote.post(move |scope| *left.lock().unwrap() = Some(scope.len())).unwrap();
        self.remote.notify(self.key.get().unwrap()).unwrap();
        assert!(!self.armed, "as it is meant to");
    }
}

/// A bomb `key` in a reactor, and another channel, `b`.
struct Field<B> {
    reactor: Reactor<B>,
    log: Log,
    key: Key<Bomb>,
    peer: UnixStream,
    peer_of_b: UnixStream,
    left: Arc<Mutex<Option<usize>>>,
}

fn field<B: Backend + Default>(armed: bool) -> Field<B> {
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    let remote = reactor.remote().unwrap();
    let (ours, peer) = UnixStream::pair().unwrap();
    let (own, left) = (Rc::new(Cell::new(None)), Arc::default());
    let bomb = Bomb {
        armed,
        peer: peer.try_clone().unwrap(),
        remote,
        key: Rc::clone(&own),
        log: log.clone(),
        left: Arc::clone(&left),
    };
    let key = reactor.add_channel(Channel::new(ours).unwrap(), bomb).unwrap();
    own.set(Some(key.untyped()));
    let (ours, peer_of_b) = UnixStream::pair().unwrap();
    reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("b", &log)).unwrap();
    Field { reactor, log, key, peer, peer_of_b, left }
}

type Way<B> = fn(&mut Reactor<B>, Key<Bomb>, &mut UnixStream);

fn order<B: Backend>(reactor: &mut Reactor<B>, peer: &mut UnixStream, order: &[u8]) {
    peer.write_all(order).unwrap();
    pass(reactor);
}

/// How a dispatcher may come to its end.
fn ways<B: Backend>() -> [(&'static str, Way<B>); 7] {
    [
        ("the peer ends", |reactor, _, peer| {
            peer.shutdown(Shutdown::Write).unwrap();
            pass(reactor);
        }),
        ("a callback closes", |reactor, _, peer| order(reactor, peer, b"c")),
        ("a callback fails", |reactor, _, peer| order(reactor, peer, b"e")),
        ("a timer closes it", |reactor, key, _| {
            reactor.call_later(Duration::ZERO, move |scope| assert!(scope.close_channel(key)));
            pass(reactor);
        }),
        ("close_channel", |reactor, key, _| assert!(reactor.close_channel(key))),
        ("del_channel", |reactor, key, _| drop(reactor.del_channel(key).unwrap())),
        ("close when sent", |reactor, key, _| {
            reactor.channel(key).unwrap().close_when_sent();
            pass(reactor);
        }),
    ]
}

/// Fails unless the bomb is gone and all else is as it was.
#[track_caller]
fn is_whole<B: Backend>(field: Field<B>, way: &str) {
    let Field { mut reactor, log, key, peer: _peer, mut peer_of_b, left } = field;
    assert_eq!(log.take(), ["closed"], "{way}");
    assert_eq!(reactor.len(), 1, "{way}");
    assert!(reactor.get(key).is_none() && !reactor.close_channel(key), "{way}");
    // What it has said by its handle is heard.
    pass(&mut reactor);
    assert_eq!(left.lock().unwrap().take(), Some(1), "{way}");
    assert_eq!(log.take(), [""; 0], "{way}");
    // Its number is free, and serves another.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("c", &log)).unwrap();
    theirs.write_all(b"x").unwrap();
    pass(&mut reactor);
    assert_eq!(log.take(), ["c.read x"], "{way}");
    peer_of_b.write_all(b"x").unwrap();
    pass(&mut reactor);
    assert_eq!(log.take(), ["b.read x"], "{way}");
    assert_quiet(&mut reactor);
}

on_both_backends! {
    fn i08_a_drop_finds_the_reactor_whole<B>() {
        for (name, way) in ways() {
            let mut field = field::<B>(false);
            way(&mut field.reactor, field.key, &mut field.peer);
            is_whole(field, name);
        }
    }

    /// While a panic unwinds, too.
    fn i08_a_drop_after_a_panic_finds_the_reactor_whole<B>() {
        let mut field = field::<B>(false);
        let Field { reactor, peer, .. } = &mut field;
        let panics = AssertUnwindSafe(|| order(reactor, peer, b"p"));
        catch_unwind(panics).unwrap_err();
        is_whole(field, "a callback panics");
    }

    fn i08_a_drop_that_panics_costs_nobody_else<B>() {
        for (name, way) in ways() {
            let mut field = field::<B>(true);
            let Field { reactor, key, peer, .. } = &mut field;
            let panics = AssertUnwindSafe(|| way(reactor, *key, peer));
            let panic = catch_unwind(panics).expect_err(name);
            assert_eq!(*panic.downcast::<&str>().unwrap(), "as it is meant to", "{name}");
            is_whole(field, name);
        }
    }

    /// The panic comes through the callback that has closed it.
    fn i08_a_drop_that_panics_in_anothers_callback_costs_both<B>() {
        let mut field = field::<B>(true);
        let Field { reactor, log, key, .. } = &mut field;
        let key = *key;
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let probe = Probe::new("c", log).on("read", move |cx| {
            cx.close_channel(key);
            Ok(())
        });
        reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        theirs.write_all(b"x").unwrap();
        catch_unwind(AssertUnwindSafe(|| pass(reactor))).unwrap_err();
        assert_eq!(log.take(), ["c.read", "closed", "c.drop"]);
        log.push("closed");
        is_whole(field, "another's callback");
    }

    fn i08_close_all_can_be_called_again_after_a_drop_that_panics<B>() {
        let Field { mut reactor, log, peer: _peer, .. } = field::<B>(true);
        catch_unwind(AssertUnwindSafe(|| reactor.close_all())).unwrap_err();
        reactor.close_all().unwrap();
        assert!(reactor.is_empty());
        let mut entries = log.take();
        entries.sort_unstable();
        assert_eq!(entries, ["b.drop", "closed"]);
    }

    fn i08_a_reactor_drops_everybody_in_spite_of_a_drop_that_panics<B>() {
        struct Bursts;
        impl Dispatcher for Bursts {}
        impl Drop for Bursts {
            fn drop(&mut self) {
                panic!("as it is meant to");
            }
        }
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let mut peers = Vec::new();
        let mut add = |reactor: &mut Reactor<B>| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            peers.push(theirs);
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        };
        add(&mut reactor);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        reactor.add_channel(Channel::new(ours).unwrap(), Bursts).unwrap();
        add(&mut reactor);
        catch_unwind(AssertUnwindSafe(|| drop(reactor))).unwrap_err();
        assert_eq!(log.take(), ["a.drop"; 2]);
    }

    /// When it is exhausted, and when its channel is closed before.
    fn i08_a_producers_drop_that_panics_costs_its_channel_alone<B>() {
        struct Bursts(&'static [u8]);
        impl Producer for Bursts {
            fn more(&mut self, _: &Channel, out: &mut Vec<u8>) -> io::Result<()> {
                out.extend_from_slice(std::mem::take(&mut self.0));
                Ok(())
            }
        }
        impl Drop for Bursts {
            fn drop(&mut self) {
                panic!("as it is meant to");
            }
        }
        for exhausted in [true, false] {
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let probe = Probe::new("a", &log);
            let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            let (ours, mut peer_of_b) = UnixStream::pair().unwrap();
            reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("b", &log)).unwrap();
            reactor.channel(key).unwrap().push_with_producer(Bursts(b"hello")).unwrap();
            let panics = AssertUnwindSafe(|| {
                if !exhausted {
                    reactor.close_channel(key);
                }
                pass(&mut reactor);
            });
            catch_unwind(panics).unwrap_err();
            assert_eq!((log.take(), reactor.len()), (vec!["a.drop".into()], 1));
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).unwrap();
            assert!(received.is_empty() || exhausted);
            peer_of_b.write_all(b"x").unwrap();
            pass(&mut reactor);
            assert_eq!(log.take(), ["b.read x"]);
            assert_quiet(&mut reactor);
        }
    }

    /// What a timer's callback has captured may panic when it is dropped, too.
    fn i08_a_timers_drop_that_panics_costs_that_one<B>() {
        struct Bursts;
        impl Drop for Bursts {
            fn drop(&mut self) {
                panic!("as it is meant to");
            }
        }
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let bursts = Bursts;
        let timer = reactor.call_later(Duration::ZERO, move |_| drop(bursts));
        let entry = log.clone();
        reactor.call_later(Duration::ZERO, move |_| entry.push("whole"));
        catch_unwind(AssertUnwindSafe(|| reactor.cancel(timer))).unwrap_err();
        assert!(!reactor.cancel(timer), "it is gone");
        reactor.run().unwrap();
        assert_eq!(log.take(), ["whole"]);
    }
}
