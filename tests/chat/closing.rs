//! Whoever closes a channel hears nothing more of its input.

use crate::{
    common::{
        Log, Probe, ascending_pairs, on_both_backends, pass, poll_until, reactor, read_available,
        run_out,
    },
    recorder::{Recorder, talk},
};
use asyncore::{Channel, Chat, ChatContext, State};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
};

fn close(cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
    cx.close();
    Ok(())
}

fn close_when_done(cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
    cx.push(b"bye")?;
    cx.close_when_done();
    assert_ne!(cx.state(), State::Closed);
    Ok(())
}

on_both_backends! {
    fn closed_in_collect_incoming_data<B>() {
        for terminator in ["\n".into(), 1.into(), asyncore::Terminator::None] {
            let mut talk = talk::<B>(terminator, |recorder| recorder.on("data", close));
            talk.say("a\nb\n");
            assert_eq!(talk.log.take().len(), 2, "data and drop");
            assert!(talk.reactor.is_empty());
        }
    }

    fn closed_in_found_terminator<B>() {
        let mut talk = talk::<B>("\n", |recorder| recorder.on("found", close));
        talk.say("a\nb\n\n\nc");
        assert_eq!(talk.calls(), ["data a", "found", "drop"]);
        assert!(talk.reactor.is_empty());
    }

    fn closed_by_its_own_key<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            recorder.on("found", |cx| {
                let key = cx.key().typed::<Chat<Recorder>>();
                assert!(cx.close_channel(key));
                Ok(())
            })
        });
        talk.say("a\nb\n");
        assert_eq!(talk.calls(), ["data a", "found", "drop"]);
    }

    fn closed_with_the_unterminated_tail<B>() {
        let mut talk = talk::<B>("\r\n", |recorder| recorder.on("data", close));
        talk.say("\r");
        assert_eq!(talk.calls(), [""; 0]);
        talk.peer.shutdown(Shutdown::Write).unwrap();
        run_out(&mut talk.reactor);
        assert_eq!(talk.calls(), [r"data \r", "drop"]);
    }

    fn closed_in_handle_eof<B>() {
        let mut talk = talk::<B>("\n", |recorder| recorder.on("eof", close));
        talk.peer.shutdown(Shutdown::Write).unwrap();
        run_out(&mut talk.reactor);
        assert_eq!(talk.calls(), ["eof", "drop"]);
    }

    fn closed_in_handle_error<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            let failing = recorder.on("found", |_| Err(io::ErrorKind::InvalidData.into()));
            failing.on("error", close).keep_on_error()
        });
        talk.say("a\nb\n");
        assert_eq!(talk.calls(), ["data a", "found", "error invalid data", "drop"]);
    }

    fn closed_when_done<B>() {
        for event in ["data", "found"] {
            let mut talk = talk::<B>("\n", |recorder| recorder.on(event, close_when_done));
            talk.say("a\nb\nc");
            let calls = talk.calls();
            let told = if event == "data" { 1 } else { 2 };
            assert_eq!(calls[..told], ["data a", "found"][..told]);
            assert_eq!(calls[told..], ["close", "drop"]);
            let mut bye = String::new();
            talk.peer.read_to_string(&mut bye).unwrap();
            assert_eq!(bye, "bye");
        }
    }

    /// Not even what comes while there is still something to be sent.
    fn closed_when_done_with_a_peer_that_does_not_read<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            recorder.on("found", |cx| {
                cx.push(&vec![b'.'; 4 << 20])?;
                cx.close_when_done();
                Ok(())
            })
        });
        talk.say("a\nb\n");
        talk.say("c\n");
        talk.peer.shutdown(Shutdown::Write).unwrap();
        talk.settle();
        assert_eq!(talk.calls(), ["data a", "found"]);
        talk.peer.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        poll_until(&mut talk.reactor, || read_available(&talk.peer, &mut received));
        assert_eq!(received.len(), 4 << 20);
        assert_eq!(talk.calls(), ["close", "drop"]);
    }

    fn closed_by_another_channel<B>() {
        let [(first, mut to_first), (ours, mut theirs)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let chat = Chat::new(Recorder::new(&log), "\r\n");
        let key = reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
        let other = Probe::new("other", &log).on("read", move |cx| {
            cx.recv(&mut [0; 8])?;
            assert!(cx.close_channel(key));
            Ok(())
        });
        reactor.add_channel(Channel::new(first).unwrap(), other).unwrap();
        theirs.write_all(b"a\r").unwrap();
        pass(&mut reactor);
        theirs.write_all(b"\nb\r\n").unwrap();
        to_first.write_all(b"!").unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["data a", "other.read", "drop"]);
        assert_eq!(reactor.len(), 1);
    }

    fn one_chat_ends_another<B>() {
        let [(first, mut to_first), (second, mut to_second)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let chat = Chat::new(Recorder::new(&log), "\n");
        let key = reactor.add_channel(Channel::new(second).unwrap(), chat).unwrap();
        let ender = Recorder::new(&Log::default()).on("found", move |cx| {
            let other = cx.channel(key).unwrap();
            other.push(b"you are out\n")?;
            other.close_when_sent();
            Ok(())
        });
        reactor.add_channel(Channel::new(first).unwrap(), Chat::new(ender, "\n")).unwrap();
        to_first.write_all(b"kick\n").unwrap();
        to_second.write_all(b"unheard\n").unwrap();
        poll_until(&mut reactor, || log.contains("drop"));
        assert_eq!(log.take(), ["close", "drop"]);
        let mut told = String::new();
        to_second.read_to_string(&mut told).unwrap();
        assert_eq!(told, "you are out\n");
    }

    fn discarded_in_the_middle<B>() {
        for event in ["data", "found"] {
            let mut talk = talk::<B>("\r\n", |recorder| {
                let mut first = true;
                recorder.on(event, move |cx| {
                    if std::mem::take(&mut first) {
                        // The kernel has some of it; the rest is queued.
                        cx.push(&vec![b'.'; 4 << 20])?;
                        cx.discard_buffers();
                        assert_eq!((cx.queued(), cx.collected()), (0, b"".as_slice()));
                    }
                    Ok(())
                })
            });
            talk.say("a\r\nb\r\nc\r");
            let told = if event == "data" { 1 } else { 2 };
            assert_eq!(talk.calls(), ["data a", "found"][..told]);
            // The channel is as good as before, and nothing of what was discarded comes back.
            talk.say("\nd\r\n");
            assert_eq!(talk.calls(), [r"data \nd", "found"]);
            assert!(!talk.channel().has_output());
        }
    }

    fn held_input_can_be_discarded_as_well<B>() {
        let mut talk = talk::<B>("\r\n", |recorder| {
            recorder.on("error", |cx| {
                cx.discard_buffers();
                Ok(())
            })
            .keep_on_error()
        });
        talk.say("a\r");
        let fails = |_: &Channel, _: &mut Vec<u8>| Err(io::ErrorKind::InvalidData.into());
        talk.channel().push_with_producer(fails).unwrap();
        talk.settle();
        talk.say("\nb\r\n");
        assert_eq!(talk.calls(), ["data a", "error invalid data", r"data \nb", "found"]);
    }
}
