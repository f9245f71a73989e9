//! `Reactor::drain`: an orderly end.

mod common;

use asyncore::{Channel, Family, State, Type};
use common::{Log, Probe, on_both_backends, reactor};
use std::{
    cell::Cell,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

/// More than a socket takes at once.
const MUCH: usize = 4 << 20;

const LONG: Duration = Duration::from_secs(60);

on_both_backends! {
    fn what_is_queued_goes_out_and_then_everybody_is_told<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, mut client) = UnixStream::pair().unwrap();
        let key = reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        reactor.channel(key).unwrap().push(&vec![b'x'; MUCH]).unwrap();
        // What it says now is not heard.
        client.write_all(b"more").unwrap();
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            client.read_to_end(&mut received).map(|_| received.len())
        });
        assert!(reactor.drain(LONG).unwrap());
        assert_eq!(reader.join().unwrap().unwrap(), MUCH);
        assert_eq!(log.take(), ["a.close", "a.drop"]);
        assert!(reactor.is_empty());
    }

    fn who_does_not_read_is_closed_when_the_time_is_over_and_no_earlier<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let (ours, mut client) = UnixStream::pair().unwrap();
        let key = reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        reactor.channel(key).unwrap().push(&vec![b'x'; MUCH]).unwrap();
        let (begin, within) = (Instant::now(), Duration::from_millis(20));
        let due = Rc::new(Cell::new(false));
        let noted = Rc::clone(&due);
        reactor.call_later(Duration::from_millis(1), move |_| noted.set(true));
        assert!(!reactor.drain(within).unwrap());
        assert!(begin.elapsed() >= within && due.get());
        assert_eq!((log.take(), reactor.len()), (vec!["a.drop".to_string()], 0));
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received.len() < MUCH);
    }

    fn nobody_new_comes_in<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let probe = Probe::new("l", &log);
        reactor.add_channel(Channel::new(listener).unwrap(), probe).unwrap();
        let connecting = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        connecting.connect(address).unwrap();
        assert_eq!(connecting.state(), State::Connecting);
        reactor.add_channel(connecting, Probe::new("c", &log)).unwrap();
        assert!(reactor.drain(LONG).unwrap());
        // In ascending order of the numbers, which are whatever was free.
        let mut gone = log.take();
        gone.sort();
        assert_eq!(gone, ["c.drop", "l.drop"]);
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    fn a_remote_handle_lives_on_and_the_reactor_is_used_again<B>() {
        let mut reactor = reactor::<B>();
        let log = Log::default();
        let remote = reactor.remote().unwrap();
        for name in ["a", "b"] {
            let (ours, _client) = UnixStream::pair().unwrap();
            let probe = Probe::new(name, &log);
            reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
            assert!(reactor.drain(LONG).unwrap());
            remote.wake().unwrap();
            reactor.poll(None).unwrap();
        }
        assert_eq!(log.take(), ["a.close", "a.drop", "b.close", "b.drop"]);
    }
}
