//! The reactor against a model of it: random histories, run on the model and on both backends at
//! once, on real descriptors, step by step.
//!
//! The model (`model.rs`, and its kernel in `wire.rs`) is small, and made to be checked by eye. It
//! predicts every callback with its bytes or its error, the results of all methods, how many
//! channels each pass serves, and what the peers receive. A history that goes another way is cut
//! down to a short one and printed, so that it can be pasted below as a test.
//!
//! `MODEL_STEPS` says how many steps to make, a million unless set. `MODEL_SEED` is that of the
//! first history.
//!
//! What the model does not know: time (its timers are all due at once), listeners, connects,
//! datagrams, terminals and files, producers, `shutdown` of the input, two pieces of data around a
//! mark of out-of-band data, numbers that strangers outside of the reactor take, signals, other
//! threads, more than a handful of channels, system calls that fail for want of memory or
//! descriptors. Over TCP, peers act between passes only, for it has to be waited for. Other suites
//! have these things.

#[path = "../common/mod.rs"]
mod common;

mod entry;
mod history;
mod model;
mod peer;
mod shrink;
mod trial;
mod wire;
mod world;

use history::{Act::*, CALLS, Call, End::*, Kind::*, Random, Step, Step::*};
use std::collections::BTreeMap;

/// So many steps are one history.
const LENGTH: usize = 2000;

#[test]
fn random_histories_go_as_the_model_says() {
    let steps = number_from("MODEL_STEPS", 1_000_000);
    let first = number_from("MODEL_SEED", 0);
    let mut calls = BTreeMap::new();
    for seed in first..first + steps.div_ceil(LENGTH as u64) {
        let mut random = Random(seed);
        let history: Vec<Step> = (0..LENGTH).map(|_| random.step()).collect();
        match trial::run(&history) {
            Ok(made) => {
                for (call, count) in made {
                    *calls.entry(call).or_insert(0) += count;
                }
            }
            Err(failure) => {
                let (history, failure) = shrink::shrink(&history, failure);
                let steps: String = history.iter().map(|step| format!("    {step:?},\n")).collect();
                panic!("MODEL_SEED={seed}\ngoes(&[\n{steps}]);\n{}", failure.what);
            }
        }
    }
    println!("{calls:?}");
    // Else it shows nothing.
    assert!(steps < 10_000 || calls.len() == CALLS.len(), "{calls:?}");
}

fn number_from(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |value| value.parse().expect("a number"))
}

/// Histories that once went another way, as they were printed.
#[test]
fn histories_that_were_found_go_as_the_model_says() {
    use Call::*;
    // Who lost a number first was told last.
    goes(&[
        Do(Add(4, Unix)),
        Plan { at: 4, call: Error, acts: [Replace(4, Tcp), Nothing], end: Usual },
        Do(Replace(4, Unix)),
        Do(Replace(4, PipeIn)),
        Run(2),
    ]);
    // A pipe whose number was closed was left to the default, which did not say so.
    goes(&[
        Do(Add(4, PipeIn)),
        Do(PeerSends(4, 29)),
        Plan { at: 4, call: Read, acts: [Tear(4), Nothing], end: Unhandled },
        Pass,
    ]);
    // An empty pipe was taken for one at its end.
    goes(&[
        Do(Add(0, PipeIn)),
        Do(PeerSends(0, 20)),
        Pass,
        Plan { at: 0, call: Read, acts: [Recv(0, 4), Nothing], end: Unhandled },
        Pass,
    ]);
    // Who had lost its own number read what was a newcomer's.
    goes(&[
        Do(Add(4, Unix)),
        Plan { at: 4, call: Read, acts: [Nothing, Replace(4, Unix)], end: Usual },
        Do(PeerSends(4, 34)),
        Pass,
    ]);
    // A lost number was told as a closed channel.
    goes(&[
        Do(Add(2, PipeOut)),
        Plan { at: 2, call: Error, acts: [Nothing, Push(2, 23)], end: Usual },
        Do(Tear(2)),
        Pass,
    ]);
}

#[track_caller]
fn goes(history: &[Step]) {
    if let Err(failure) = trial::run(history) {
        panic!("{history:?}, step {}: {}", failure.step, failure.what);
    }
}
