//! The report of `cargo bench --bench select_vs_poll`: its statistics, and the whole of it with
//! next to nothing measured.
//!
//! The bench is compiled into this program, which is the bench where it gets the argument that
//! cargo gives a bench. One trial after the other: a report counts on nobody else opening
//! descriptors.
#![allow(dead_code, reason = "the tests use a part of what they share with others")]

#[path = "../programs/process.rs"]
mod process;
#[path = "../../benches/select_vs_poll/report/mod.rs"]
mod report;
mod smoke;
mod statistics;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let first = std::env::args().nth(1);
    if matches!(first.as_deref(), Some("--bench" | report::waker::ARGUMENT)) {
        return report::main();
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = [statistics::TESTS, smoke::TESTS].concat().into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
