//! Any split of any input gives the same calls: those of a plain search in the whole of it.

use crate::{
    common::{Log, on_both_backends, reactor, run_out},
    recorder::{Recorder, joined},
};
use asyncore::{Backend, Channel, Chat, Terminator};
use proptest::{collection::vec, prelude::*, test_runner::Config};
use std::{io::Write, net::Shutdown, os::unix::net::UnixStream, time::Duration};

/// Few different bytes, so that terminators and their beginnings are everywhere.
fn bytes(lengths: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(b'a'), Just(b'a'), Just(b'b'), Just(b'\r'), Just(b'\n')], lengths)
}

fn terminator() -> impl Strategy<Value = Terminator> {
    prop_oneof![
        4 => bytes(1..6).prop_map(Terminator::from),
        2 => prop_oneof![Just("\n"), Just("\r\n"), Just("aaab"), Just("abab"), Just("\r\n\r\n")]
            .prop_map(Terminator::from),
        2 => (1_usize..12).prop_map(Terminator::from),
        1 => prop_oneof![Just(Terminator::None), Just(Terminator::from(0)), Just("".into())],
    ]
}

/// The calls for the whole input at once.
///
/// `terminators`: the first, and then the one that each `found_terminator` sets, as long as there
/// are some; a length is used up.
fn reference(mut input: &[u8], terminators: &[Terminator], limit: Option<usize>) -> Vec<String> {
    let mut calls = Vec::new();
    let mut rest = terminators.iter();
    let mut terminator = rest.next().cloned().unwrap_or_default();
    let error = limit.map(|limit| format!("error more than {limit} bytes of input before its end"));
    loop {
        let (length, end) = match &terminator {
            Terminator::Bytes(bytes) if !bytes.is_empty() => {
                let start = input.windows(bytes.len()).position(|window| window == &bytes[..]);
                (start, start.unwrap_or(0) + bytes.len())
            }
            Terminator::Length(length) if *length > 0 => {
                (Some(*length).filter(|length| *length <= input.len()), *length)
            }
            _ => (None, 0),
        };
        let by_bytes = matches!(&terminator, Terminator::Bytes(bytes) if !bytes.is_empty());
        let mut data = &input[..length.unwrap_or(input.len())];
        let too_long = limit.is_some_and(|limit| by_bytes && data.len() > limit);
        if too_long {
            data = &data[..limit.unwrap()];
        }
        if !data.is_empty() {
            calls.push(format!("data {}", data.escape_ascii()));
        }
        if too_long {
            calls.extend(error.clone());
        }
        if length.is_none() {
            break;
        }
        input = &input[end..];
        if too_long {
            continue;
        }
        calls.push("found".into());
        match (rest.next(), &terminator) {
            (Some(next), _) => terminator = next.clone(),
            (None, Terminator::Length(_)) => terminator = Terminator::None,
            (None, _) => {}
        }
    }
    calls.extend(["eof", "close", "drop"].map(String::from));
    joined(calls)
}

/// The calls for the input in parts.
fn calls<B: Backend + Default>(
    input: &[u8],
    sizes: &[usize],
    terminators: &[Terminator],
    limit: Option<usize>,
) -> Vec<String> {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let (log, mut reactor) = (Log::default(), reactor::<B>());
    let mut terminators = terminators.iter().cloned().collect::<std::collections::VecDeque<_>>();
    let first = terminators.pop_front().unwrap_or_default();
    let recorder = Recorder::new(&log).then_terminators(terminators).keep_on_error();
    // The limit that counts here is that on input without a terminator.
    let mut chat = Chat::new(recorder.on("data", |_| Ok(())), first);
    chat.set_input_limit(limit.unwrap_or(usize::MAX));
    reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
    let (mut sizes, mut rest) = (sizes.iter().cycle(), input);
    while !rest.is_empty() {
        let (part, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        peer.write_all(part).unwrap();
        while reactor.poll(Some(Duration::ZERO)).unwrap() > 0 {}
        rest = later;
    }
    peer.shutdown(Shutdown::Write).unwrap();
    run_out(&mut reactor);
    joined(log.take())
}

fn check<B: Backend + Default>(limit: impl Strategy<Value = Option<usize>>) {
    let cases = (bytes(0..120), vec(1_usize..20, 1..8), vec(terminator(), 1..8), limit);
    proptest!(Config::with_cases(500), |((input, sizes, terminators, limit) in cases)| {
        let calls = calls::<B>(&input, &sizes, &terminators, limit);
        prop_assert_eq!(calls, reference(&input, &terminators, limit));
    });
}

#[test]
fn the_reference_is_what_it_seems() {
    let terminators = ["\n".into(), 2.into(), "\n".into()];
    let calls = reference(b"a\nbccc\n\nd", &terminators, None);
    let ends = ["eof", "close", "drop"];
    let expected = ["data a", "found", "data bc", "found", "data cc", "found", "found", "data d"];
    assert_eq!(calls, [&expected[..], &ends].concat());
    let calls = reference(b"abc\nab\nabc", &["\n".into()], Some(2));
    let error = "error more than 2 bytes of input before its end";
    let expected = ["data ab", error, "data ab", "found", "data ab", error];
    assert_eq!(calls, [&expected[..], &ends].concat());
}

on_both_backends! {
    fn any_split_gives_the_same_calls<B>() {
        check::<B>(Just(None));
    }

    fn any_split_gives_the_same_calls_with_a_limit<B>() {
        check::<B>((0_usize..12).prop_map(Some));
    }
}
