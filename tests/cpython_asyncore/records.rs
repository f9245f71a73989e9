//! What the library gave to the `log` crate.

use log::{LevelFilter, Log, Metadata, Record};
use std::{cell::RefCell, sync::Once};

pub(crate) use log::Level;

struct Collector;

thread_local! {
    /// The logger is the process's, a test is a thread.
    static RECORDS: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let entry = (record.level(), record.args().to_string());
        RECORDS.with_borrow_mut(|records| records.push(entry));
    }

    fn flush(&self) {}
}

/// `activity` has these records, in this order; none without the feature `log`.
#[track_caller]
pub(crate) fn assert_records(expected: &[(Level, String)], activity: impl FnOnce()) {
    static START: Once = Once::new();
    START.call_once(|| {
        log::set_logger(&Collector).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    RECORDS.take();
    activity();
    let expected = if cfg!(feature = "log") { expected } else { &[] };
    assert_eq!(RECORDS.take(), expected);
}
