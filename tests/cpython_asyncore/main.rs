//! What CPython's own suite, `test_asyncore.py`, wants to make sure of: a module for each of its
//! classes, a test of the same name for each of its tests. `tests/oracle/COVERAGE.md` has the
//! table.
//!
//! No test here may start a process: for a moment it would hold open what the others close.

#[path = "../common/mod.rs"]
mod common;

mod base_test_api;
mod dispatcher;
mod dispatcher_with_send;
mod file_wrapper;
mod helper_functions;
mod records;
