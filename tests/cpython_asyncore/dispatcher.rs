//! `DispatcherTests`: what a dispatcher is before anybody overrides anything, and what it says.

use crate::common::{
    Log, Probe, Silent, assert_quiet,
    families::{Place, accept_from, connecting_to, listener, on_every_family, stream},
    on_both_backends, pass, poll_until, reactor, run_out, wait_for,
};
use crate::records::{Level, assert_records};
use asyncore::{Channel, Context, Dispatcher, Family, State};
use nix::{errno::Errno, poll::PollFlags};
use std::{
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixStream,
    },
};

#[test]
fn basic() {
    let channel = stream(Family::Inet);
    assert!(Silent.readable(&channel));
    assert!(Silent.writable(&channel));
}

on_every_family! {
    /// `Debug` is the repr: the number, the state, the address.
    fn repr<B>(family: Family) {
        let shown = |channel: &Channel| {
            let number = channel.as_fd().as_raw_fd();
            let text = format!("{channel:?}");
            text.replacen(&format!("<channel fd {number} "), "<", 1)
        };
        assert_eq!(shown(&stream(family)), "<unconnected>");
        let (listener, Place { address, .. }) = &listener(family);
        assert_eq!(shown(listener), format!("<listening {address}>"));
        let client = connecting_to(address);
        assert_eq!(shown(&client), format!("<connecting {address}>"));
        client.push(b"hello").unwrap();
        assert_eq!(shown(&client), format!("<connecting {address} 5 bytes queued>"));

        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(client, Probe::new("a", &log)).unwrap();
        poll_until(&mut reactor, || log.contains("a.connect"));
        let client = reactor.channel(key).unwrap();
        assert_eq!(shown(client), format!("<connected {address}>"));
        let channel = format!("{client:?}");
        assert!(format!("{reactor:?}").contains(&channel));
        let client = reactor.channel(key).unwrap();
        client.close();
        assert_eq!(shown(client), format!("<closed {address}>"));
    }
}

/// Fails to read and fails to close, and leaves the rest to the defaults.
#[cfg(feature = "log")]
struct Spam;

#[cfg(feature = "log")]
impl Dispatcher for Spam {
    fn handle_read(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Err(io::Error::other("Lovely spam! Wonderful spam!"))
    }

    fn handle_close(&mut self, _: &mut Context<'_>, _: Option<io::Error>) -> io::Result<()> {
        Err(io::Error::other("I don't like spam!"))
    }
}

/// Writes down what its errors say.
struct Texts(Log);

impl Dispatcher for Texts {
    fn handle_read(&mut self, _: &mut Context<'_>) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(-1))
    }

    fn handle_error(&mut self, _: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        self.0.push(error.to_string());
        Err(error)
    }

    fn handle_close(&mut self, _: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        self.0.push(cause.unwrap().to_string());
        Ok(())
    }
}

on_both_backends! {
    /// Every message is one record, which names the channel.
    #[cfg(feature = "log")]
    fn log<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (channel, mut reactor) = (Channel::new(ours).unwrap(), reactor::<B>());
        let shown = format!("{channel:?}");
        let key = reactor.add_channel(channel, Spam).unwrap().untyped();
        let expected = [
            (Level::Error, format!("{shown}: Lovely spam! Wonderful spam!")),
            (Level::Error, format!("{key:?}: handle_close: I don't like spam!")),
        ];
        assert_records(&expected, || assert_eq!(pass(&mut reactor), 1));
        assert!(reactor.is_empty());
    }

    /// asyncore's kinds of messages are levels: what failed is an error, what a program forgot a
    /// warning, what may be meant is for debugging.
    #[cfg(feature = "log")]
    fn log_info<B>() {
        let (listener, place) = listener(Family::Unix);
        let shown = format!("{listener:?}");
        let _client = connecting_to(&place.address);
        let mut reactor = reactor::<B>();
        let server = reactor.add_channel(listener, Silent).unwrap();
        let warning = format!("{shown}: unhandled accepted event, (unnamed) is closed");
        assert_records(&[(Level::Warn, warning)], || assert_eq!(pass(&mut reactor), 1));
        reactor.close_channel(server);

        let (ours, _theirs) = UnixStream::pair().unwrap();
        let probe = Probe::new("a", &Log::default()).writable(true).on("write", |cx| {
            cx.close();
            Err(io::Error::other("Have you got anything without spam?"))
        });
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap().untyped();
        let after = format!("{key:?}: after it was closed: Have you got anything without spam?");
        assert_records(&[(Level::Debug, after)], || assert_eq!(pass(&mut reactor), 1));
    }

    /// An event that nobody handles is told once, and costs nothing from then on. That a connect
    /// is done is no such event.
    fn unhandled<B>() {
        let (listener, place) = listener(Family::Inet);
        let channel = connecting_to(&place.address);
        let (peer, _) = accept_from(&listener);
        let mut reactor = reactor::<B>();
        let key = reactor.add_channel(channel, Silent).unwrap();
        let mut unhandled = |flag, events: &[(Level, &str)]| {
            let channel = reactor.channel(key).unwrap();
            wait_for(channel, flag);
            let number = channel.as_fd().as_raw_fd();
            let shown = format!("<channel fd {number} connected {}>", place.address);
            let records = events.iter().map(|(level, event)| {
                let event = format!("nobody handles Interest({event}), no longer watched for");
                (*level, format!("{shown}: {event}"))
            });
            let records: Vec<_> = records.collect();
            assert_records(&records, || assert_eq!(pass(&mut reactor), 1));
            assert_quiet(&mut reactor);
        };
        peer.send_oob(b"!").unwrap();
        // Most often nobody means to write at all.
        unhandled(PollFlags::POLLPRI, &[(Level::Debug, "WRITE"), (Level::Warn, "PRIORITY")]);
        peer.send(b"x").unwrap();
        unhandled(PollFlags::POLLIN, &[(Level::Warn, "READ")]);

        // Nothing is lost by it.
        let channel = reactor.channel(key).unwrap();
        assert_eq!(channel.state(), State::Connected);
        assert_eq!(channel.recv(&mut [0; 8]).unwrap(), 1);
    }

    /// An error says what the system says, and an errno that no system knows is passed on as it
    /// is.
    fn strerror<B>() {
        let nobody = stream(Family::Inet);
        nobody.bind("127.0.0.1:0").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let client = connecting_to(&nobody.local_addr().unwrap());
        reactor.add_channel(client, Texts(log.clone())).unwrap();
        run_out(&mut reactor);
        let texts = log.take();
        assert!(texts[0].starts_with(Errno::ECONNREFUSED.desc()), "{texts:?}");
        assert_eq!(texts, [&*texts[0]; 2]);

        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        reactor.add_channel(Channel::new(ours).unwrap(), Texts(log.clone())).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), [&*io::Error::from_raw_os_error(-1).to_string(); 2]);
    }
}
