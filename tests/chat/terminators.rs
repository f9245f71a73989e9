//! Bytes, lengths and none; changed from wherever; split wherever.

use crate::{
    common::{
        Log, ascending_pairs, assert_quiet, on_both_backends, pass, poll_until, reactor, run_out,
        tcp_pair, wait_for,
    },
    recorder::{Recorder, talk},
};
use asyncore::{
    AsyncChat, Backend, Channel, Chat, ChatContext, Context, Dispatcher, Family, Key, Terminator,
    Type,
};
use nix::{
    poll::PollFlags,
    sys::socket::{MsgFlags, send},
};
use std::{
    io::{self, Read, Write},
    net::TcpListener,
    os::{fd::AsRawFd, unix::net::UnixStream},
    time::Duration,
};

/// What is called for `input`, however it is split into two, and when it comes byte by byte.
#[track_caller]
fn assert_calls<B: Backend + Default>(terminator: &Terminator, input: &[u8], expected: &[&str]) {
    for cut in 0..=input.len() {
        let mut talk = talk::<B>(terminator.clone(), |recorder| recorder);
        talk.say(&input[..cut]);
        talk.say(&input[cut..]);
        assert_eq!(talk.calls(), expected, "{terminator:?}, {cut}");
    }
    let mut talk = talk::<B>(terminator.clone(), |recorder| recorder);
    input.iter().for_each(|byte| talk.say([*byte]));
    assert_eq!(talk.calls(), expected, "{terminator:?}, byte by byte");
}

on_both_backends! {
    fn bytes_split_wherever<B>() {
        let cases: [(&'static str, &str, &[&str]); 9] = [
            ("\n", "a\nbc\n\nd", &["data a", "found", "data bc", "found", "found", "data d"]),
            ("\r\n", "a\r\nbc\r\n\r\n", &["data a", "found", "data bc", "found", "found"]),
            ("\r\n", "a\rb\nc\n\r\r\nd", &[r"data a\rb\nc\n\r", "found", "data d"]),
            ("\r\n.\r\n", "a\r\n..\r\n.\r\nb", &[r"data a\r\n..", "found", "data b"]),
            ("\r\n.\r\n", "\r\n.\r\n\r\n.\r\n", &["found", "found"]),
            ("qqq", "aqbqqcqqqdqqqqe", &["data aqbqqc", "found", "data d", "found", "data qe"]),
            // Not text: a terminator may be any bytes.
            ("\0", "a\0\0b", &["data a", "found", "found", "data b"]),
            ("end", "endendend", &["found", "found", "found"]),
            ("end", "eendenendend", &["data e", "found", "data en", "found", "found"]),
        ];
        for (terminator, input, expected) in cases {
            assert_calls::<B>(&terminator.into(), input.as_bytes(), expected);
        }
    }

    fn bytes_that_overlap_themselves<B>() {
        let cases: [(&'static str, &str, &[&str]); 7] = [
            ("aaab", "aaaabaaab", &["data a", "found", "found"]),
            ("aaab", "aabaaaaaaabx", &["data aabaaaa", "found", "data x"]),
            ("\r\n\r\n", "\r\n\r\r\n\r\nx", &[r"data \r\n\r", "found", "data x"]),
            ("abab", "abaabababx", &["data aba", "found", "data abx"]),
            ("aa", "aaaaax", &["found", "found", "data ax"]),
            ("abacabad", "abacabacabad", &["data abac", "found"]),
            ("aabaa", "aabaabaax", &["found", "data baax"]),
        ];
        for (terminator, input, expected) in cases {
            assert_calls::<B>(&terminator.into(), input.as_bytes(), expected);
        }
    }

    fn a_beginning_of_a_terminator_is_held_until_it_is_one_or_not<B>() {
        let mut talk = talk::<B>("\r\n.\r\n", |recorder| recorder);
        for (say, calls) in [
            ("a\r", &["data a"] as &[_]),
            ("\n.", &[]),
            ("\r", &[]),
            ("\r", &[r"data \r\n.\r"]),
            ("\n", &[]),
            (".\r\n", &["found"]),
        ] {
            talk.say(say);
            assert_eq!(talk.calls(), calls, "{say:?}");
        }
    }

    fn an_empty_line_is_found_without_data<B>() {
        let mut talk = talk::<B>("\n", Recorder::taking);
        talk.say("\n\n\nx\n");
        let line = ["found", "line "];
        assert_eq!(talk.calls(), [&line, &line, &line, &["data x", "found"][..], &["line x"]].concat());
    }

    fn a_length_split_wherever<B>() {
        assert_calls::<B>(&5.into(), b"hello", &["data hello", "found"]);
        assert_calls::<B>(&1.into(), b"h", &["data h", "found"]);
        // It is used up: what comes after it has no terminator.
        assert_calls::<B>(&3.into(), b"abcdefgh", &["data abc", "found", "data defgh"]);
    }

    fn a_length_tells_what_is_missing<B>() {
        let mut talk = talk::<B>(5, |recorder| recorder);
        assert_eq!(*talk.chat().terminator(), Terminator::Length(5));
        talk.say("ab");
        assert_eq!(*talk.chat().terminator(), Terminator::Length(3));
        talk.say("cd");
        assert_eq!(*talk.chat().terminator(), Terminator::Length(1));
        talk.say("efg");
        assert_eq!(*talk.chat().terminator(), Terminator::None);
        assert_eq!(talk.calls(), ["data abcde", "found", "data fg"]);
    }

    fn without_a_terminator_everything_is_data<B>() {
        for none in [Terminator::None, 0.into(), "".into(), Vec::new().into()] {
            assert_eq!(*Chat::new(Recorder::new(&Log::default()), none.clone()).terminator(), Terminator::None);
            assert_calls::<B>(&none, b"a\nb\r\n\0c", &[r"data a\nb\r\n\x00c"]);
        }
    }

    /// A head of lines, a body of a length, and the next message behind it, as HTTP has them.
    fn found_terminator_may_change_it<B>() {
        let input = b"head\r\n\r\nbodyhead\r\n\r\n\r\n\r\nnone\r\n\r\n";
        for size in 1..=input.len() {
            let terminators: [Terminator; 4] =
                [4.into(), "\r\n\r\n".into(), "\r\n\r\n".into(), Terminator::None];
            let mut talk = talk::<B>("\r\n\r\n", |recorder| recorder.then_terminators(terminators));
            input.chunks(size).for_each(|chunk| talk.say(chunk));
            let expected = ["data head", "found", "data body", "found", "data head", "found",
                "found", r"data none\r\n\r\n"];
            assert_eq!(talk.calls(), expected, "in chunks of {size}");
        }
    }

    fn a_length_may_follow_a_length<B>() {
        let lengths: [Terminator; 3] = [2.into(), 3.into(), "x".into()];
        let mut talk = talk::<B>(1, |recorder| recorder.then_terminators(lengths));
        talk.say("abbcccdx");
        let expected = ["data a", "found", "data bb", "found", "data ccc", "found", "data d", "found"];
        assert_eq!(talk.calls(), expected);
    }

    fn collect_incoming_data_may_change_it<B>() {
        // Of the bytes that are being looked for: what is found is found.
        let mut talk1 = talk::<B>("\n", |recorder| {
            recorder.on("data", |cx| {
                cx.set_terminator(2);
                Ok(())
            })
        });
        talk1.say("a\nbcd");
        assert_eq!(talk1.calls(), ["data a", "found", "data bc", "found", "data d"]);
        // What was held is input of the new one.
        let mut talk2 = talk::<B>("\r\n", |recorder| {
            recorder.on("data", |cx| {
                cx.set_terminator("\r");
                Ok(())
            })
        });
        talk2.say("a\r");
        assert_eq!(talk2.calls(), ["data a", "found"]);
        // A length that has come, or a part of it, is counted before, and not put in its place.
        let mut talk3 = talk::<B>(3, |recorder| {
            let mut missing = [Terminator::Length(1), Terminator::None].into_iter();
            recorder.on("data", move |cx| {
                if let Some(missing) = missing.next() {
                    assert_eq!(*cx.terminator(), missing);
                    if missing == Terminator::None {
                        cx.set_terminator("\n");
                    }
                }
                Ok(())
            })
        });
        talk3.say("ab");
        talk3.say("cd\n");
        assert_eq!(talk3.calls(), ["data abc", "found", "data d", "found"]);
    }

    fn it_may_be_changed_from_outside<B>() {
        let mut talk = talk::<B>("\r\n\r\n", |recorder| recorder);
        talk.say("ab\r\n\r");
        assert_eq!(talk.calls(), ["data ab"]);
        // What was held for the old one is input of the new one, once more comes.
        talk.chat().set_terminator("\n");
        talk.settle();
        assert_eq!(talk.calls(), [""; 0]);
        talk.say("c");
        assert_eq!(talk.calls(), [r"data \r", "found", r"data \rc"]);
        talk.chat().set_terminator(2);
        talk.say("def");
        assert_eq!(talk.calls(), ["data de", "found", "data f"]);
        // The same one again, in the middle of it.
        for half in ["\r", "\n"] {
            talk.chat().set_terminator("\r\n");
            talk.say(half);
        }
        assert_eq!(talk.calls(), ["found"]);
    }

    /// Longer than what is read at once, and longer than the stack has room for.
    fn long_terminators<B>() {
        for length in [9_000, 20_000, 100_000] {
            let mut terminator = vec![b'a'; length];
            terminator.push(b'b');
            let input = [b"x", &terminator[..], b"aaa", &terminator[..], b"aax"].concat();
            for size in [input.len(), 10_000, 4_567] {
                let mut talk = talk::<B>(terminator.clone(), |recorder| recorder);
                input.chunks(size).for_each(|chunk| talk.say(chunk));
                let calls = ["data x", "found", "data aaa", "found", "data aax"];
                assert_eq!(talk.calls(), calls, "{length}, {size}");
            }
        }
    }

    fn input_of_many_reads<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            let mut wanted = [1 << 20, 0, 100_000].into_iter();
            recorder.on("found", move |cx| {
                let data = cx.take_data();
                assert_eq!(data.len(), wanted.next().unwrap());
                assert!(data.iter().all(|byte| *byte == b'x'));
                Ok(())
            })
        });
        talk.chat().set_input_limit(1 << 20);
        talk.say(vec![b'x'; 1 << 20]);
        talk.say(b"\n\n");
        talk.say(vec![b'x'; 100_000]);
        talk.say(b"\n");
        assert_eq!(talk.log.count("found"), 3);
    }

    /// A read that finds nothing, after all.
    fn what_is_held_survives_a_read_that_would_block<B>() {
        struct Thief(Key<Chat<Recorder>>);
        impl Dispatcher for Thief {
            fn writable(&self, _: &Channel) -> bool {
                false
            }
            fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
                cx.recv(&mut [0; 8])?;
                let stolen = cx.channel(self.0).unwrap().recv(&mut [0; 8])?;
                assert_eq!(stolen, 1);
                Ok(())
            }
        }
        let [(thief, mut to_thief), (ours, mut theirs)] = ascending_pairs();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let chat = Chat::new(Recorder::new(&log), "\r\n");
        let key = reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
        reactor.add_channel(Channel::new(thief).unwrap(), Thief(key)).unwrap();
        theirs.write_all(b"a\r").unwrap();
        assert_eq!(pass(&mut reactor), 1);
        theirs.write_all(b"!").unwrap();
        to_thief.write_all(b"!").unwrap();
        assert_eq!(pass(&mut reactor), 2);
        theirs.write_all(b"\n").unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["data a", "found"]);
    }

    fn a_client_that_connects_and_is_told_of_urgent_data<B>() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        channel.connect(listener.local_addr().unwrap()).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let recorder = Recorder::new(&log).taking().on("connect", |cx| cx.push(b"hello\n")).on("expt", |cx| {
            cx.recv_oob(&mut [0]).map(drop)
        });
        reactor.add_channel(channel, Chat::new(recorder, "\n")).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        poll_until(&mut reactor, || log.contains("connect"));
        let mut hello = [0; 6];
        peer.read_exact(&mut hello).unwrap();
        assert_eq!(hello, *b"hello\n");
        send(peer.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        poll_until(&mut reactor, || log.contains("expt"));
        peer.write_all(b"bye\n").unwrap();
        drop(peer);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["connect", "expt", "data bye", "found", "line bye", "eof", "close", "drop"]);
    }

    /// The default `handle_expt` does what a dispatcher's does.
    fn urgent_data_that_nobody_handles_does_not_spin<B>() {
        struct Quiet;
        impl AsyncChat for Quiet {
            fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
                Ok(())
            }
        }
        let (ours, mut theirs) = tcp_pair();
        let look = ours.try_clone().unwrap();
        send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        wait_for(&ours, PollFlags::POLLPRI);
        let mut reactor = reactor::<B>();
        reactor.add_channel(Channel::new(ours).unwrap(), Chat::new(Quiet, "\n")).unwrap();
        pass(&mut reactor);
        assert_quiet(&mut reactor);
        // Nor is more of it told of.
        theirs.write_all(b"x\n").unwrap();
        wait_for(&look, PollFlags::POLLIN);
        pass(&mut reactor);
        send(theirs.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap();
        wait_for(&look, PollFlags::POLLPRI);
        assert_quiet(&mut reactor);
    }

    fn others_reach_the_handler_and_the_channel_by_the_key<B>() {
        let mut talk = talk::<B>("\n", |recorder| recorder);
        talk.channel().push(b"from outside\n").unwrap();
        talk.peer.read_exact(&mut [0; 13]).unwrap();
        talk.chat().readable = false;
        talk.say("unread");
        assert_eq!(talk.calls(), [""; 0]);
        talk.chat().readable = true;
        talk.settle();
        assert_eq!(talk.calls(), ["data unread"]);
        assert!(format!("{:?}", talk.reactor).contains("connected"));
        let (channel, chat) = talk.reactor.del_channel(talk.key).unwrap();
        assert!(chat.readable);
        drop(chat.into_handler());
        assert_eq!(talk.calls(), ["drop"]);
        drop(channel);
        assert_eq!(talk.peer.read(&mut [0]).unwrap(), 0);
    }

    fn a_pipe_is_a_chat_as_well<B>() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let chat = Chat::new(Recorder::new(&log).taking(), "\n");
        reactor.add_channel(Channel::new(reader).unwrap(), chat).unwrap();
        writer.write_all(b"a\nb").unwrap();
        drop(writer);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["data a", "found", "line a", "data b", "eof", "close", "drop"]);
    }

    fn conversations_do_not_mix<B>() {
        let (ends, mut reactor) = ([(); 50].map(|()| UnixStream::pair().unwrap()), reactor::<B>());
        let mut peers = ends.map(|(ours, theirs)| {
            let log = Log::default();
            let chat = Chat::new(Recorder::new(&log).taking(), "\r\n");
            reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
            (theirs, log)
        });
        let text = |index: usize| format!("{index:02} one\r\n{index:02} two\r\n").into_bytes();
        // Byte by byte, and each a few bytes behind the one before.
        for turn in 0..text(0).len() + 5 {
            for (index, (peer, _)) in peers.iter_mut().enumerate() {
                if let Some(byte) = turn.checked_sub(index % 5).and_then(|at| text(index).get(at).copied()) {
                    peer.write_all(&[byte]).unwrap();
                }
            }
            reactor.poll(Some(Duration::ZERO)).unwrap();
        }
        for (index, (_, log)) in peers.iter().enumerate() {
            let lines: Vec<_> =
                log.take().into_iter().filter(|entry| entry.starts_with("line")).collect();
            assert_eq!(lines, [format!("line {index:02} one"), format!("line {index:02} two")]);
        }
    }
}
