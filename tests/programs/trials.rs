//! From functions to trials: one for each test and backend.

use crate::needs::Need;
use libtest_mimic::{Completion, Trial};

#[cfg(feature = "poll")]
const POLL: &[&str] = &["poll"];
#[cfg(not(feature = "poll"))]
const POLL: &[&str] = &[];
#[cfg(feature = "select")]
const SELECT: &[&str] = &["select"];
#[cfg(not(feature = "select"))]
const SELECT: &[&str] = &[];

/// A function that gets the name of a backend, and fails by a panic.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [&'static Need],
    pub(crate) run: fn(&'static str),
}

/// `tests![this, that needs(PYTHON, PROC)]`: the tests of a module.
macro_rules! tests {
    ($($name:ident $(needs($($need:ident),+))?),+ $(,)?) => {
        &[$($crate::trials::Test {
            name: concat!(module_path!(), "::", stringify!($name)),
            needs: &[$($(&$crate::needs::$need),+)?],
            run: $name,
        }),+]
    };
}
pub(crate) use tests;

pub(crate) fn on_each_backend(tests: &[Test]) -> Vec<Trial> {
    let backends = [POLL, SELECT].concat();
    let trials = tests.iter().flat_map(|test| backends.iter().map(|backend| trial(*test, backend)));
    trials.collect()
}

fn trial(test: Test, backend: &'static str) -> Trial {
    let name = test.name.split_once("::").map_or(test.name, |(_, name)| name);
    Trial::ignorable_test(format!("{name}::{backend}"), move || {
        if let Some(missing) = test.needs.iter().find(|need| !need.is_met()) {
            return Ok(Completion::ignored_with(format!("needs {}", missing.what)));
        }
        (test.run)(backend);
        Ok(Completion::Completed)
    })
}
