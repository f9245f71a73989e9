//! Compiles the adapters of the C libraries that are installed; the others are skipped by name.

fn main() {
    println!("cargo:rerun-if-changed=src/peers/c_loop.h");
    for (library, link) in [("libevent", "event"), ("libev", "ev")] {
        let source = format!("src/peers/{library}.c");
        println!("cargo:rerun-if-changed={source}");
        println!("cargo:rustc-check-cfg=cfg(has_{library})");
        let mut build = cc::Build::new();
        build.file(&source).opt_level(2).cargo_warnings(false);
        match build.try_compile(&format!("peers_{library}")) {
            Ok(()) => {
                println!("cargo:rustc-link-lib={link}");
                println!("cargo:rustc-cfg=has_{library}");
            }
            Err(_) => {
                println!("cargo:warning={library} is not installed; it will be skipped");
                // A file that there is not: the next build looks again.
                println!("cargo:rerun-if-changed={library} is not installed");
            }
        }
    }
    // Set by the driver for its second build; see src/driver/build.rs.
    println!("cargo:rustc-check-cfg=cfg(mio_unsupported_force_poll_poll)");
    println!("cargo:rustc-check-cfg=cfg(polling_test_poll_backend)");
}
