//! Every row of the behaviour table, named after it, on both backends.

#[path = "../common/mod.rs"]
mod common;

mod read_and_close;
