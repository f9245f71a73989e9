//! Time as it is measured: what passes while the program runs or sleeps, but not while it waits for
//! a processor that somebody else has.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

/// Stops the time of one process with one thread.
///
/// The kernel counts how long the process was ready to run and did not (`/proc/self/schedstat`). On
/// a machine that is busy with something else, that is most of the noise. Sleeping counts, so that
/// a reactor gains nothing by it. Where the kernel does not tell, everything counts.
#[derive(Debug)]
pub(crate) struct Clock {
    schedstat: Option<File>,
}

/// A running measurement.
#[derive(Debug)]
pub(crate) struct Lap<'a> {
    clock: &'a Clock,
    delayed: Duration,
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { schedstat: File::open("/proc/self/schedstat").ok() }
    }

    pub(crate) fn start(&self) -> Lap<'_> {
        Lap { clock: self, delayed: self.delayed(), start: Instant::now() }
    }

    /// How long the process has waited for a processor.
    fn delayed(&self) -> Duration {
        let mut text = [0; 64];
        let text = self.schedstat.as_ref().and_then(|file| {
            let count = file.read_at(&mut text, 0).ok()?;
            str::from_utf8(&text[..count]).ok()?.split_whitespace().nth(1)?.parse().ok()
        });
        Duration::from_nanos(text.unwrap_or(0))
    }
}

impl Lap<'_> {
    pub(crate) fn stop(self) -> Duration {
        let passed = self.start.elapsed();
        passed.saturating_sub(self.clock.delayed() - self.delayed)
    }
}
