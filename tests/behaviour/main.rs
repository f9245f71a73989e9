//! Every row of the behaviour table, named after it, on both backends.

#[path = "../common/mod.rs"]
mod common;

mod accept;
mod connect;
mod dispatch;
mod errors_and_mutation;
mod files;
mod interest;
mod loop_and_time;
mod maps;
mod out_of_band;
mod read_and_close;
mod send;
