//! What each part costs alone: `cargo bench --bench micro`, two minutes, or less than one with
//! `-- --quick`.
//!
//! `-- dispatch` is one group; what else a bench of criterion takes, `-- --help` tells. Against
//! other reactors and bare system calls it is `benches/peers` that measures.

mod backends;
mod channels;
mod chat;
mod clock;
mod dispatch;
mod interest;
mod output;
mod sockets;
mod timers;
mod unasked;
mod wait;

use clock::{Criterion, ProcessorTime};
use std::time::Duration;

fn main() {
    sockets::raise_the_limit_of_open_files();
    let mut criterion: Criterion = criterion::Criterion::default()
        .with_measurement(ProcessorTime)
        .without_plots()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    wait::bench(&mut criterion);
    dispatch::bench(&mut criterion);
    interest::bench(&mut criterion);
    channels::bench(&mut criterion);
    output::bench(&mut criterion);
    chat::bench(&mut criterion);
    timers::bench(&mut criterion);
    criterion.final_summary();
}
