//! Where it was measured: what somebody else needs to judge the figures.

use nix::sys::utsname::uname;
use serde::Serialize;
use std::{env, fs, process::Command, thread, time::SystemTime};

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) processors: usize,
    pub(crate) rustc: String,
    pub(crate) version: &'static str,
    /// How many descriptors a process may have.
    pub(crate) descriptors: usize,
    /// Of one minute, when it began and when it was over.
    pub(crate) load: [Option<f64>; 2],
}

impl Machine {
    pub(crate) fn look(descriptors: usize) -> Self {
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            kernel: kernel(),
            cpu: cpu(),
            processors: thread::available_parallelism().map_or(1, usize::from),
            rustc: rustc(),
            version: env!("CARGO_PKG_VERSION"),
            descriptors,
            load: [load(), None],
        }
    }

    pub(crate) fn look_again(&mut self) {
        self.load[1] = load();
    }

    /// Whether others used the machine as well.
    pub(crate) fn is_loaded(&self) -> bool {
        // This process is one of those that the load counts.
        let most = self.processors as f64 / 2.0 + 1.0;
        self.load.iter().flatten().any(|load| *load > most)
    }
}

fn kernel() -> String {
    let Ok(name) = uname() else { return unknown() };
    [name.sysname(), name.release(), name.machine()].map(|part| part.to_string_lossy()).join(" ")
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(unknown)
}

fn rustc() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => unknown(),
    }
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn unknown() -> String {
    "unknown".to_owned()
}
