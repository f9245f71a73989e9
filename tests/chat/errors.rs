//! Errors in the middle of the input: told at once, and the rest of it is not lost.

use crate::{
    common::{Log, ascending_pairs, on_both_backends, pass, reactor, run_out},
    recorder::{Recorder, talk},
};
use asyncore::{Channel, Chat, ChatContext, Context, Dispatcher, Terminator};
use nix::errno::Errno;
use std::{
    io::{self, ErrorKind, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Fails with this the first time.
fn once(
    error: impl Fn() -> io::Error + 'static,
) -> impl FnMut(&mut ChatContext<'_, '_>) -> io::Result<()> + 'static {
    let mut first = true;
    move |_| if std::mem::take(&mut first) { Err(error()) } else { Ok(()) }
}

fn eperm() -> io::Error {
    Errno::EPERM.into()
}

on_both_backends! {
    fn kept_in_found_terminator<B>() {
        let mut talk = talk::<B>("\n", |recorder| recorder.on("found", once(eperm)).keep_on_error());
        talk.say("a\nb\nc");
        assert_eq!(talk.calls(), ["data a", "found", "error EPERM", "data b", "found", "data c"]);
        assert_eq!(talk.reactor.len(), 1);
    }

    fn kept_in_collect_incoming_data<B>() {
        for (terminator, expected) in [
            (Terminator::from("\n"), &["data a", "error EPERM", "found", "data b", "found"][..]),
            (2.into(), &[r"data a\n", "error EPERM", "found", r"data b\n"]),
            (Terminator::None, &[r"data a\nb\n", "error EPERM"]),
        ] {
            let mut talk =
                talk::<B>(terminator, |recorder| recorder.on("data", once(eperm)).keep_on_error());
            talk.say("a\nb\n");
            assert_eq!(talk.calls(), expected);
        }
    }

    fn given_up<B>() {
        for event in ["data", "found"] {
            let mut talk = talk::<B>("\n", |recorder| recorder.on(event, once(eperm)));
            talk.say("a\nb\nc");
            let mut expected = vec!["data a"];
            expected.extend((event == "found").then_some("found"));
            expected.extend(["error EPERM", "close EPERM", "drop"]);
            assert_eq!(talk.calls(), expected);
            assert!(talk.reactor.is_empty());
        }
    }

    /// `handle_error` may give up for another reason than the one it was called for: an error that
    /// would be none from any other callback, even.
    fn given_up_with_an_error_of_its_own<B>() {
        for kind in [ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::TimedOut] {
            let mut talk = talk::<B>("\n", |recorder| {
                recorder.on("found", once(eperm)).on("error", move |_| Err(kind.into()))
            });
            talk.say("a\nb\n");
            let close = format!("close {}", io::Error::from(kind));
            assert_eq!(talk.calls(), ["data a", "found", "error EPERM", &close, "drop"]);
        }
    }

    /// What one read left behind does not end what a later error has begun.
    fn each_error_is_judged_anew<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            let mut failures = 0;
            recorder.on("found", |_| Err(eperm())).on("error", move |_| {
                failures += 1;
                if failures < 3 { Ok(()) } else { Err(Errno::EIO.into()) }
            }).keep_on_error()
        });
        talk.say("a\nb\n");
        talk.say("c\nd\n");
        let failed = |line| [line, "found", "error EPERM"];
        let expected = [failed("data a"), failed("data b"), failed("data c")].concat();
        assert_eq!(talk.calls(), [&expected[..], &["close EIO", "drop"]].concat());
    }

    fn no_error_at_all<B>() {
        for kind in [ErrorKind::WouldBlock, ErrorKind::Interrupted] {
            for event in ["data", "found"] {
                let mut talk = talk::<B>("\n", |recorder| recorder.on(event, move |_| Err(kind.into())));
                talk.say("a\nb\n");
                assert_eq!(talk.calls(), ["data a", "found", "data b", "found"]);
            }
        }
    }

    /// The connection breaks while the input is cut: `handle_close` tells, once all was heard.
    fn a_broken_connection_is_told_at_the_end<B>() {
        let mut talk = talk::<B>("\n", |recorder| recorder.on("found", |cx| cx.push(b"answer")));
        talk.peer.write_all(b"a\nb\nc").unwrap();
        talk.peer.shutdown(Shutdown::Both).unwrap();
        run_out(&mut talk.reactor);
        let expected =
            ["data a", "found", "data b", "found", "data c", "eof", "close EPIPE", "drop"];
        assert_eq!(talk.calls(), expected);
    }

    fn after_a_close_an_error_is_nobodys<B>() {
        for event in ["data", "found"] {
            let mut talk = talk::<B>("\n", |recorder| {
                recorder.on(event, |cx| {
                    cx.close();
                    Err(eperm())
                })
            });
            talk.say("a\nb\n");
            let calls = talk.calls();
            assert!(!calls.iter().any(|call| call.starts_with("error")), "{calls:?}");
            assert_eq!(calls.last().unwrap(), "drop");
        }
    }

    fn an_error_behind_close_when_done_is_told<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            recorder.on("found", |cx| {
                cx.close_when_done();
                Err(eperm())
            })
            .keep_on_error()
        });
        talk.say("a\nb\n");
        assert_eq!(talk.calls(), ["data a", "found", "error EPERM", "close", "drop"]);
    }

    fn in_handle_eof_and_handle_close<B>() {
        for event in ["eof", "close"] {
            let mut talk = talk::<B>("\n", |recorder| recorder.on(event, once(eperm)));
            talk.peer.shutdown(Shutdown::Write).unwrap();
            run_out(&mut talk.reactor);
            let expected: &[&str] = if event == "eof" {
                &["eof", "error EPERM", "close EPERM", "drop"]
            } else {
                &["eof", "close", "drop"]
            };
            assert_eq!(talk.calls(), expected);
        }
    }

    fn with_the_unterminated_tail<B>() {
        for keep in [true, false] {
            let mut talk = talk::<B>("\n\n", |recorder| {
                let recorder = recorder.on("data", once(eperm));
                if keep { recorder.keep_on_error() } else { recorder }
            });
            talk.say("\n");
            talk.peer.shutdown(Shutdown::Write).unwrap();
            run_out(&mut talk.reactor);
            let expected: &[&str] = if keep {
                &[r"data \n", "error EPERM", "eof", "close", "drop"]
            } else {
                &[r"data \n", "error EPERM", "close EPERM", "drop"]
            };
            assert_eq!(talk.calls(), expected);
        }
    }

    /// A chat is a dispatcher, so another one may be put around it, and need not pass errors on.
    fn a_dispatcher_around_it_may_keep_what_it_gave_up<B>() {
        struct Around(Chat<Recorder>);
        impl Dispatcher for Around {
            fn writable(&self, _: &Channel) -> bool {
                false
            }
            fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
                let _ = self.0.handle_read(cx);
                Ok(())
            }
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let around = Around(Chat::new(Recorder::new(&log).on("data", once(eperm)), "\r\n"));
        reactor.add_channel(Channel::new(ours).unwrap(), around).unwrap();
        // It fails with the beginning of a terminator left over.
        theirs.write_all(b"a\r").unwrap();
        pass(&mut reactor);
        theirs.write_all(b"\n").unwrap();
        pass(&mut reactor);
        theirs.write_all(b"b\r\n").unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["data a", "error EPERM", r"data \n", "data b", "found"]);
    }

    fn a_panic_costs_the_channel_alone<B>() {
        let [(ours, mut peer), (ours_too, mut other)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let panics = Recorder::new(&log).on("found", |_| panic!("as it is meant to"));
        reactor.add_channel(Channel::new(ours).unwrap(), Chat::new(panics, "\n")).unwrap();
        let quiet = Recorder::new(&log);
        reactor.add_channel(Channel::new(ours_too).unwrap(), Chat::new(quiet, "\n")).unwrap();
        peer.write_all(b"a\nb\n").unwrap();
        other.write_all(b"c\n").unwrap();
        let panic = catch_unwind(AssertUnwindSafe(|| pass(&mut reactor))).unwrap_err();
        assert_eq!(*panic.downcast::<&str>().unwrap(), "as it is meant to");
        assert_eq!(log.take(), ["data a", "found", "drop"]);
        assert_eq!(reactor.len(), 1);
        pass(&mut reactor);
        assert_eq!(log.take(), ["data c", "found"]);
    }
}
