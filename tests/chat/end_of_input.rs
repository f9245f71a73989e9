//! The end: an end of file, a reset, and what has come until then.

use crate::{
    common::{Log, on_both_backends, pass, poll_until, reactor, reset, run_out, tcp_pair},
    recorder::{Recorder, talk},
};
use asyncore::{Channel, Chat, Interest};
use std::{
    io::{Read, Write},
    net::Shutdown,
};

on_both_backends! {
    fn the_unterminated_tail_is_offered<B>() {
        for (input, calls) in [
            ("", &[] as &[&str]),
            ("a\r\n", &["data a", "found"]),
            ("a\r\nb", &["data a", "found", "data b"]),
            ("a\r\nb\r", &["data a", "found", r"data b\r"]),
            ("\r", &[r"data \r"]),
        ] {
            for cut in 0..=input.len() {
                let mut talk = talk::<B>("\r\n", |recorder| recorder);
                talk.say(&input[..cut]);
                talk.say(&input[cut..]);
                talk.peer.shutdown(Shutdown::Write).unwrap();
                run_out(&mut talk.reactor);
                assert_eq!(talk.calls(), [calls, &["eof", "close", "drop"]].concat(), "{input:?}");
            }
        }
    }

    fn an_incomplete_length_is_offered<B>() {
        let mut talk = talk::<B>(10, |recorder| recorder);
        talk.say("abc");
        talk.peer.shutdown(Shutdown::Write).unwrap();
        run_out(&mut talk.reactor);
        assert_eq!(talk.calls(), ["data abc", "eof", "close", "drop"]);
    }

    fn what_is_collected_can_be_taken_until_the_last<B>() {
        for event in ["eof", "close"] {
            let log = Log::default();
            let seen = log.clone();
            let mut talk = talk::<B>("\r\n", |recorder| {
                recorder.on(event, move |cx| {
                    seen.push(cx.collected().escape_ascii().to_string());
                    seen.push(cx.take_data().escape_ascii().to_string());
                    Ok(())
                })
            });
            talk.say("tail\r");
            talk.peer.shutdown(Shutdown::Write).unwrap();
            run_out(&mut talk.reactor);
            assert_eq!(log.take(), [r"tail\r", r"tail\r"], "{event}");
        }
    }

    /// What is pushed at the end, with all that was before, is sent before the close.
    fn an_answer_to_the_end_is_sent<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            recorder.on("found", |cx| cx.push(&vec![b'.'; 1 << 20])).on("eof", |cx| {
                assert!(cx.queued() > 0);
                cx.push(b"bye")
            })
        });
        talk.say("a\n");
        talk.peer.shutdown(Shutdown::Write).unwrap();
        talk.settle();
        assert_eq!(talk.calls(), ["data a", "found", "eof"]);
        talk.peer.set_nonblocking(true).unwrap();
        let mut answer = Vec::new();
        poll_until(&mut talk.reactor, || crate::common::read_available(&talk.peer, &mut answer));
        assert_eq!(answer.len(), (1 << 20) + 3);
        assert!(answer.ends_with(b".bye"));
        assert_eq!(talk.calls(), ["close", "drop"]);
    }

    fn half_closed_it_lives_on<B>() {
        let mut talk = talk::<B>("\n", |recorder| recorder);
        talk.channel().set_half_close(true);
        talk.say("a");
        talk.peer.shutdown(Shutdown::Write).unwrap();
        talk.settle();
        assert_eq!(talk.calls(), ["data a", "eof"]);
        crate::common::assert_quiet(&mut talk.reactor);
        talk.channel().push(b"still here").unwrap();
        talk.channel().shutdown(Shutdown::Write).unwrap();
        run_out(&mut talk.reactor);
        assert_eq!(talk.calls(), ["close", "drop"]);
        let mut answer = String::new();
        talk.peer.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "still here");
    }

    fn a_reset_offers_what_was_held_and_is_no_end_of_file<B>() {
        let (ours, mut theirs) = tcp_pair();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let taken = log.clone();
        let recorder = Recorder::new(&log).on("close", move |cx| {
            taken.push(format!("taken {}", cx.take_data().escape_ascii()));
            Ok(())
        });
        let chat = Chat::new(recorder, "\r\n");
        reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
        theirs.write_all(b"a\r\ntail\r").unwrap();
        poll_until(&mut reactor, || log.contains("data tail"));
        reset(theirs);
        run_out(&mut reactor);
        let expected = ["data a", "found", "data tail", r"data \r", "close ECONNRESET",
            r"taken atail\r", "drop"];
        assert_eq!(log.take(), expected);
    }

    /// A send has found the connection broken before a read does.
    fn a_broken_connection_offers_what_was_held<B>() {
        let mut talk = talk::<B>("\r\n", |recorder| recorder);
        talk.say("a\r");
        assert_eq!(talk.calls(), ["data a"]);
        talk.peer.shutdown(Shutdown::Both).unwrap();
        talk.channel().push(b"x").unwrap_err();
        run_out(&mut talk.reactor);
        assert_eq!(talk.calls(), [r"data \r", "eof", "close EPIPE", "drop"]);
    }

    fn a_hang_up_is_heard_after_all_that_was_said<B>() {
        let mut talk = talk::<B>("\n", |recorder| recorder);
        talk.channel().pause(Interest::READ);
        talk.peer.write_all(&b"x\n".repeat(30_000)).unwrap();
        drop(std::mem::replace(&mut talk.peer, std::os::unix::net::UnixStream::pair().unwrap().0));
        talk.settle();
        assert_eq!(talk.calls(), [""; 0]);
        talk.channel().resume(Interest::READ);
        run_out(&mut talk.reactor);
        assert_eq!(talk.log.count("found"), 30_000);
        assert_eq!(talk.calls()[60_000..], ["eof", "close", "drop"]);
    }

    fn held_input_of_an_old_terminator_is_cut_at_the_new_one<B>() {
        let mut talk = talk::<B>("\r\n", |recorder| recorder);
        talk.say("a\r");
        talk.chat().set_terminator("\r");
        talk.peer.shutdown(Shutdown::Write).unwrap();
        run_out(&mut talk.reactor);
        assert_eq!(talk.calls(), ["data a", "found", "eof", "close", "drop"]);
    }

    /// A terminal's other end closes with an error that is an end.
    fn a_terminal<B>() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let chat = Chat::new(Recorder::new(&log), "\r\n");
        reactor.add_channel(Channel::new(pty.master).unwrap(), chat).unwrap();
        let mut slave = std::fs::File::from(pty.slave);
        slave.write_all(b"a\nb").unwrap();
        pass(&mut reactor);
        drop(slave);
        run_out(&mut reactor);
        let calls = crate::recorder::joined(log.take());
        assert_eq!(calls, ["data a", "found", "data b", "eof", "close", "drop"]);
    }
}
