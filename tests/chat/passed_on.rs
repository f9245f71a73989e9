//! The callbacks that have nothing to do with input reach the handler as well.

use crate::common::{Log, on_both_backends, pass, reactor};
use asyncore::{AsyncChat, Backend, Channel, Chat, ChatContext, Reactor};
use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    time::Duration,
};

struct Handler(Log);

impl AsyncChat for Handler {
    fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
        unreachable!("nobody says anything")
    }

    fn handle_drained(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.0.push("drained");
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.0.push("timeout");
        cx.close();
        Ok(())
    }

    fn handle_notify(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.0.push("notify");
        Ok(())
    }
}

/// None of them overridden.
struct Plain(Log);

impl AsyncChat for Plain {
    fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
        unreachable!("nobody says anything")
    }

    fn handle_close(
        &mut self,
        _: &mut ChatContext<'_, '_>,
        cause: Option<io::Error>,
    ) -> io::Result<()> {
        self.0.push(format!("close {:?}", cause.map(|cause| cause.kind())));
        Ok(())
    }
}

/// Notifies it, congests and drains it, and lets it time out.
fn use_all<B: Backend + Default>(handler: impl AsyncChat) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut reactor: Reactor<B> = reactor();
    let channel = Channel::new(ours).unwrap();
    channel.set_water_marks(0, 0).unwrap();
    let key = reactor.add_channel(channel, Chat::new(handler, "\n")).unwrap();
    reactor.remote().unwrap().notify(key).unwrap();
    pass(&mut reactor);
    let much = vec![0; 1 << 20];
    reactor.channel(key).unwrap().push(&much).unwrap();
    assert!(reactor.channel(key).unwrap().is_congested());
    let mut rest = much.len();
    while rest > 0 {
        rest -= theirs.read(&mut vec![0; rest]).unwrap();
        reactor.poll(Some(Duration::ZERO)).unwrap();
    }
    reactor.channel(key).unwrap().set_timeout(Some(Duration::ZERO));
    reactor.run().unwrap();
}

on_both_backends! {
    fn they_reach_the_handler<B>() {
        let log = Log::default();
        use_all::<B>(Handler(log.clone()));
        assert_eq!(log.take(), ["notify", "drained", "timeout"]);
    }

    fn the_defaults_do_nothing_but_end_a_quiet_channel<B>() {
        let log = Log::default();
        use_all::<B>(Plain(log.clone()));
        assert_eq!(log.take(), ["close Some(TimedOut)"]);
    }
}
