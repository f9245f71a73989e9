//! asynchat: input that is cut at terminators, and producers.

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod end_of_input;
mod errors;
mod limits;
mod passed_on;
mod pauses;
mod producers;
mod random_input;
mod random_output;
mod recorder;
mod speed;
mod terminators;
