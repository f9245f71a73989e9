//! The design's invariants, named after their numbers, on both backends.
//!
//! Those that need a process of their own are elsewhere: I2, I3 and I9 in `lost_numbers`, I4's
//! comparison of the backends in `agreement`, I5 in `allocations`.

#[path = "../common/mod.rs"]
mod common;

mod drops;
mod interest;
mod isolation;
mod order;
mod ownership;
mod panics;
mod reach;
mod time;
