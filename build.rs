//! Turns the features into one cfg: which backend `DefaultBackend` is.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(default_backend, values(\"poll\", \"select\"))");
    if env::var_os("CARGO_FEATURE_POLL").is_some() {
        println!("cargo::rustc-cfg=default_backend=\"poll\"");
    } else if env::var_os("CARGO_FEATURE_SELECT").is_some() {
        println!("cargo::rustc-cfg=default_backend=\"select\"");
    } else {
        println!(
            "cargo::error=asyncore-rs has no backend to run on: enable the feature `poll`, \
             `select` or both (both are on by default)"
        );
    }
}
