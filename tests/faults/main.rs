//! Every system call that the library makes fails with every errno that its man page lists, at the
//! first, the second and the last of those that a scenario makes.
//!
//! A trial for each scenario compares what becomes of that with OUTCOMES.md, in this directory. To
//! write that page anew: `FAULTS_BLESS=1 cargo test --test faults`.

mod errnos;
mod outcome;
mod scenarios;
mod strace;
mod subject;
mod table;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::env;

/// The first argument of the subject: this program, run once more.
const SUBJECT: &str = "--run-as-subject";

fn main() {
    let arguments: Vec<_> = env::args().collect();
    if let [_, mark, scenario, backend] = arguments.as_slice()
        && mark == SUBJECT
    {
        let mut scenarios = scenarios::SCENARIOS.iter();
        let scenario = scenarios.find(|known| known.name == scenario).expect("it is known");
        return subject::run(scenario, backend);
    }
    if env::var_os("FAULTS_BLESS").is_some() {
        return table::write();
    }
    let mut trials = vec![trial("every_call_fails_somewhere", table::check_complete)];
    for scenario in scenarios::SCENARIOS {
        trials.push(trial(scenario.name, || table::check(scenario)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(name: &str, test: impl Fn() -> Result<(), String> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        if !strace::may_inject() {
            return Ok(Completion::ignored_with("needs an strace that may inject faults"));
        }
        test().map_err(Failed::from)?;
        Ok(Completion::Completed)
    })
}
