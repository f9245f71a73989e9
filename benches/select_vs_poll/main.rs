//! The report, select against poll: `cargo bench --bench select_vs_poll`, or with `-- --quick` in
//! less than a minute.
//!
//! Measures both backends of the library over the number of descriptors, their placement, the share
//! that is active, waits that sleep and waits that need not, and changes of interest. Prints tables
//! with the crossover points and a recommendation, and writes a folder with the data and a page.

#[cfg(all(feature = "poll", feature = "select"))]
mod report;

#[cfg(all(feature = "poll", feature = "select"))]
fn main() -> std::process::ExitCode {
    report::main()
}

#[cfg(not(all(feature = "poll", feature = "select")))]
fn main() {
    println!("There is nothing to compare: only one of the features poll and select is on.");
}
