//! How far it is: a bar on a terminal, a line for each size elsewhere.

use super::{
    findings::{full_title, thousands},
    plan::{Extent, Task},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    start: Instant,
    /// What was planned for all, for what is done, and the last size that was told of.
    total: Duration,
    done: Duration,
    size: usize,
}

impl Progress {
    pub(crate) fn new(tasks: &[Task], extent: &Extent) -> Self {
        let total: Duration = tasks.iter().map(|task| task.estimate(extent)).sum();
        // No ticks: a second thread would make every look-up of a descriptor dearer.
        let bar = ProgressBar::new(total.as_millis() as u64);
        let style = "{elapsed_precise} [{bar:30}] {percent:>3} %, {eta} left: {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("a template"));
        Self { bar, start: Instant::now(), total, done: Duration::ZERO, size: 0 }
    }

    pub(crate) fn begin(&mut self, task: &Task) {
        let size = thousands(task.n);
        self.bar.set_message(format!("{size} descriptors, {}", full_title(task.scenario)));
        if self.bar.is_hidden() && self.size != task.n {
            let elapsed = self.start.elapsed();
            let left = if self.done.is_zero() {
                self.total
            } else {
                (self.total - self.done).mul_f64(elapsed.div_duration_f64(self.done))
            };
            eprintln!(
                "{:>4} s: {size} descriptors, about {} s left",
                elapsed.as_secs(),
                left.as_secs()
            );
        }
        self.size = task.n;
    }

    pub(crate) fn end(&mut self, task: &Task, extent: &Extent) {
        self.done += task.estimate(extent);
        self.bar.set_position(self.done.as_millis() as u64);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
