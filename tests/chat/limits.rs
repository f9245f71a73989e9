//! Limits: on input without a terminator, on what is collected, and on what is queued.

use crate::{
    common::{PATIENCE, on_both_backends, reactor, run_out},
    recorder::{Recorder, Talk, talk},
};
use asyncore::{
    AsyncChat, Backend, Channel, Chat, ChatContext, InputTooLong, QueueFull, Terminator,
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
};

const TOO_LONG: &str = "error more than 5 bytes of input before its end";

fn limited<B: Backend + Default>(
    terminator: impl Into<Terminator>,
    limit: usize,
    adjust: impl FnOnce(Recorder) -> Recorder,
) -> Talk<B> {
    let mut talk = talk::<B>(terminator, adjust);
    talk.chat().set_input_limit(limit);
    talk
}

/// With a limit of 5, an error that is kept, and `input` cut in two wherever.
#[track_caller]
fn assert_calls<B: Backend + Default>(
    terminator: &'static str,
    input: &str,
    adjust: impl Fn(Recorder) -> Recorder,
    expected: &[&str],
) {
    for cut in 0..=input.len() {
        let mut talk = limited::<B>(terminator, 5, |recorder| adjust(recorder).keep_on_error());
        talk.say(&input[..cut]);
        talk.say(&input[cut..]);
        assert_eq!(talk.calls(), expected, "{input:?}, {cut}");
    }
}

on_both_backends! {
    fn input_of_just_the_limit_is_not_too_long<B>() {
        let found = ["data hello", "found", "line hello"];
        assert_calls::<B>("\n", "hello\n", Recorder::taking, &found);
        assert_calls::<B>("\r\n", "hello\r\n", Recorder::taking, &found);
        assert_calls::<B>("\r\n.\r\n", "hello\r\n.\r\n", Recorder::taking, &found);
        // It is the input since the last terminator that counts.
        let twice = [&found[..], &found].concat();
        assert_calls::<B>("\n", "hello\nhello\n", Recorder::taking, &twice);
    }

    fn by_default_too_long_is_the_end<B>() {
        let mut talk = limited::<B>("\n", 5, |recorder| {
            recorder.on("error", |cx| {
                assert_eq!(cx.collected(), b"hello");
                Ok(())
            })
        });
        talk.say("hellohello\nb\n");
        let cause = TOO_LONG.replace("error", "close");
        assert_eq!(talk.calls(), ["data hello", TOO_LONG, &cause, "drop"]);
    }

    fn the_error_says_what_the_limit_was<B>() {
        struct Strict;
        impl AsyncChat for Strict {
            fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
                unreachable!()
            }
            fn handle_error(&mut self, cx: &mut ChatContext<'_, '_>, error: io::Error) -> io::Result<()> {
                assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
                let inner = error.get_ref().unwrap().downcast_ref::<InputTooLong>().unwrap();
                cx.push(inner.limit.to_string().as_bytes())?;
                cx.close_when_done();
                Ok(())
            }
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut reactor = reactor::<B>();
        reactor.add_channel(Channel::new(ours).unwrap(), Chat::new(Strict, "\n")).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut rest: &[u8] = &vec![b'x'; (1 << 20) + 1];
        while !reactor.is_empty() {
            if let Ok(count) = theirs.write(rest) {
                rest = &rest[count..];
            }
            reactor.poll(Some(PATIENCE)).unwrap();
        }
        let mut limit = String::new();
        theirs.read_to_string(&mut limit).unwrap();
        assert_eq!(limit, asyncore::DEFAULT_INPUT_LIMIT.to_string());
    }

    /// An SMTP server answers 500 to a line that is too long, and lives.
    fn kept_it_goes_on_behind_the_terminator<B>() {
        let after = ["data ok", "found", "line ok"];
        let too_long = [&["data hello", TOO_LONG][..], &after].concat();
        assert_calls::<B>("\n", "hello!\nok\n", Recorder::taking, &too_long);
        assert_calls::<B>("\r\n", "hello\rand more\n\r\nok\r\n", Recorder::taking, &too_long);
        assert_calls::<B>("aab", "helloaaaabokaab", Recorder::taking, &too_long);
        // Twice in a row, and in between.
        let twice = [&["data hello", TOO_LONG, "data hello", TOO_LONG][..], &after].concat();
        assert_calls::<B>("\n", "hello!\nhello, hello\nok\n", Recorder::taking, &twice);
        let between = [&after[..], &["data hello", TOO_LONG], &after].concat();
        assert_calls::<B>("\n", "ok\nhello!\nok\n", Recorder::taking, &between);
    }

    fn a_terminator_that_was_none_after_all_counts<B>() {
        let calls = [r"data hell\r", TOO_LONG, "data ok", "found", "line ok"];
        assert_calls::<B>("\r\n", "hell\r\r\r\nok\r\n", Recorder::taking, &calls);
    }

    fn bytes_set_meanwhile_end_what_is_passed_over<B>() {
        let adjust = |recorder: Recorder| {
            recorder.taking().on("error", |cx| {
                cx.set_terminator(";");
                Ok(())
            })
        };
        let calls = ["data hello", TOO_LONG, "data ok", "found", "line ok"];
        assert_calls::<B>("\n", "hello\0\n;ok;", adjust, &calls);
        // The same one again changes nothing.
        let again = |recorder: Recorder| {
            recorder.taking().on("error", |cx| {
                cx.set_terminator("\n");
                Ok(())
            })
        };
        assert_calls::<B>("\n", "hello, hello\nok\n", again, &calls);
    }

    fn a_length_set_meanwhile_begins_at_the_limit<B>() {
        let adjust = |recorder: Recorder| {
            let recorder = recorder.on("error", |cx| {
                cx.set_terminator(4);
                Ok(())
            });
            recorder.on("found", |cx| {
                cx.set_terminator("\n");
                drop(cx.take_data());
                Ok(())
            })
        };
        // Nothing is passed over, then or later.
        let calls = ["data hello", TOO_LONG, r"data 123\n", "found", "data ok", "found"];
        assert_calls::<B>("\n", "hello123\nok\n", adjust, &calls);
    }

    fn without_room_only_empty_lines_pass<B>() {
        let mut talk = limited::<B>("\n", 0, |recorder| recorder.keep_on_error());
        talk.say("\n\na\n\n");
        let error = "error more than 0 bytes of input before its end";
        assert_eq!(talk.calls(), ["found", "found", error, "found"]);
    }

    fn without_a_limit_everything_passes<B>() {
        let mut talk = limited::<B>("\n", usize::MAX, |recorder| recorder.on("data", |_| Ok(())));
        for _ in 0..3 {
            talk.say(vec![b'x'; 1 << 20]);
        }
        talk.say("\n");
        assert_eq!(talk.calls().len(), 2);
    }

    /// A handler that keeps its data elsewhere is held to the limit of a terminator, but not to
    /// that of a collection.
    fn a_length_and_none_may_exceed_the_limit<B>() {
        for terminator in [Terminator::Length(100), Terminator::None] {
            let mut talk = limited::<B>(terminator.clone(), 5, |recorder| recorder.on("data", |_| Ok(())));
            talk.say([b'x'; 100]);
            let data = format!("data {}", "x".repeat(100));
            let found = if terminator == Terminator::None { "" } else { "found" };
            assert_eq!(talk.calls().join(" ").trim(), format!("{data} {found}").trim());
        }
    }

    fn more_than_the_limit_is_never_collected<B>() {
        for size in [1, 2, 7, 100] {
            let mut talk = limited::<B>(100, 5, |recorder| {
                recorder.keep_on_error().on("error", |cx| {
                    assert_eq!(cx.collected(), b"01234");
                    Ok(())
                }).on("found", move |cx| {
                    assert_eq!(cx.take_data(), b"01234");
                    // Once it was taken there is room again.
                    cx.set_terminator(5);
                    Ok(())
                })
            });
            let input: Vec<u8> = (b'0'..=b'9').cycle().take(100).collect();
            input.chunks(size).for_each(|chunk| talk.say(chunk));
            let log = talk.log.take();
            let (errors, rest): (Vec<_>, Vec<_>) = log.into_iter().partition(|entry| entry.starts_with("error"));
            assert_eq!(errors, [TOO_LONG], "in chunks of {size}");
            assert_eq!(rest.last().unwrap(), "found");
            talk.say("01234");
            assert_eq!(talk.calls(), ["data 01234", "found"]);
        }
    }

    /// Lines that are never taken add up.
    fn what_is_collected_over_several_lines_counts_together<B>() {
        let mut talk = limited::<B>("\n", 5, |recorder| recorder);
        talk.say("ab\ncd\nef\n");
        let close = TOO_LONG.replace("error", "close");
        let expected = ["data ab", "found", "data cd", "found", "data ef", TOO_LONG, &close, "drop"];
        assert_eq!(talk.calls(), expected);
    }

    fn a_tail_that_is_too_long<B>() {
        for keep in [true, false] {
            // The end shows that the held bytes are data.
            let mut talk = limited::<B>("\r\n", 5, |recorder| if keep { recorder.keep_on_error() } else { recorder });
            talk.say("hello\r");
            talk.peer.shutdown(Shutdown::Write).unwrap();
            run_out(&mut talk.reactor);
            let close = TOO_LONG.replace("error", "close");
            let expected: &[&str] = if keep {
                &["data hello", TOO_LONG, "eof", "close", "drop"]
            } else {
                &["data hello", TOO_LONG, &close, "drop"]
            };
            assert_eq!(talk.calls(), expected);
        }
    }

    fn what_is_passed_over_is_not_offered_at_the_end<B>() {
        let mut talk = limited::<B>("\r\n", 5, |recorder| {
            recorder.keep_on_error().on("eof", |cx| {
                assert_eq!(cx.collected(), b"");
                Ok(())
            })
        });
        talk.say("hello, hello\r");
        talk.peer.shutdown(Shutdown::Write).unwrap();
        run_out(&mut talk.reactor);
        assert_eq!(talk.calls(), ["data hello", TOO_LONG, "eof", "close", "drop"]);
    }

    fn discarding_ends_the_passing_over<B>() {
        let mut talk = limited::<B>("\n", 5, |recorder| {
            recorder.keep_on_error().on("error", |cx| {
                cx.discard_buffers();
                Ok(())
            })
        });
        talk.say("hello, hello");
        talk.say("ok\n");
        assert_eq!(talk.calls(), ["data hello", TOO_LONG, "data ok", "found"]);
    }

    fn a_lowered_limit_counts_what_has_come<B>() {
        let mut talk = limited::<B>("\n", 100, |recorder| recorder.keep_on_error());
        talk.say("hello, hello");
        talk.chat().set_input_limit(5);
        talk.say("!");
        assert_eq!(talk.calls(), ["data hello, hello", TOO_LONG]);
        talk.say("\nok\n");
        assert_eq!(talk.calls(), ["data ok", "found"]);
    }

    /// The limit on output is the channel's; a chat meets it as an error like any other.
    fn a_full_queue_is_told_and_the_input_goes_on<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            let mut first = true;
            recorder.keep_on_error().on("found", move |cx| {
                cx.set_queue_limit(10);
                let answer = if std::mem::take(&mut first) { &[b'.'; 11][..] } else { b"ok" };
                cx.push(answer).inspect_err(|error| {
                    let full = error.get_ref().unwrap().downcast_ref::<QueueFull>().unwrap();
                    assert_eq!((full.queued, full.pushed, full.limit), (0, 11, 10));
                })
            })
        });
        talk.say("a\nb\n");
        let full = "error 11 bytes do not fit the output queue: 0 of at most 10 queued";
        assert_eq!(talk.calls(), ["data a", "found", full, "data b", "found"]);
        let mut answer = [0; 2];
        talk.peer.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"ok");
    }
}
