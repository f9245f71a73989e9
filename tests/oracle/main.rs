//! The reactor against CPython's asyncore: the same scenarios, the same traces.
//!
//! README.md, in this directory, says how scenarios and traces are written, how the traces are
//! recorded, and how to add a scenario.

mod book;
mod callbacks;
mod driver;
mod grammar;
mod reach;
mod text;
mod world;

use book::Book;
use driver::run;
use libtest_mimic::{Arguments, Failed, Trial};
use std::{process, sync::Arc};

fn main() {
    // One after the other: descriptors are numbered as in the recording.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    driver::prepare_process();

    let book = Book::open().unwrap_or_else(|error| {
        eprintln!("{error}");
        process::exit(1)
    });
    let book = Arc::new(book);
    let mut trials = vec![trial("book", &book, Book::check)];
    for (scenario, transport) in book.runs() {
        let name = format!("{}/{transport}", scenario.name);
        let (scenario, transport) = (scenario.clone(), transport.to_owned());
        let has_room = scenario.moves_to().all(driver::may_have);
        let trial = trial(&name, &book, move |book| replay(book, &scenario, &transport));
        trials.push(trial.with_ignored_flag(!has_room));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(
    name: &str,
    book: &Arc<Book>,
    test: impl Fn(&Book) -> Result<(), String> + Send + 'static,
) -> Trial {
    let book = Arc::clone(book);
    Trial::test(name, move || test(&book).map_err(Failed::from))
}

/// Runs a scenario on each backend, and compares with what was recorded of asyncore: its `poll`,
/// which is select(2), and its `poll2`.
fn replay(book: &Book, scenario: &book::Scenario, transport: &str) -> Result<(), String> {
    grammar::check(scenario)?;
    let traces = [
        #[cfg(feature = "select")]
        ("select", "poll", run::<asyncore::Select>(scenario, transport)?),
        #[cfg(feature = "poll")]
        ("poll", "poll2", run::<asyncore::Poll>(scenario, transport)?),
    ];
    if let [(_, _, select), (_, _, poll)] = traces.as_slice()
        && select != poll
    {
        let difference = text::difference(select, poll);
        return Err(format!("the backends differ (-select, +poll):\n{difference}"));
    }
    for (backend, mode, trace) in &traces {
        let expected = book.expected(&scenario.name, transport, mode)?;
        if *trace != expected {
            return Err(format!(
                "{backend} is not as expected (-expected, +found; if that is meant, differences.toml \
                 is to have the trace that was found, and why):\n{}",
                text::difference(&expected, trace)
            ));
        }
    }
    Ok(())
}
