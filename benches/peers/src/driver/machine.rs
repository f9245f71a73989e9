//! The machine that the figures are of.

use nix::sys::utsname::uname;
use std::{fs, thread::available_parallelism};

/// The kernel's load average over 1, 5 and 15 minutes.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let numbers: Vec<_> = text.split_whitespace().take(3).collect();
    if numbers.is_empty() { "unknown".into() } else { numbers.join(" ") }
}

/// How many processors there are.
pub(crate) fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Processor, memory and kernel, in a line.
pub(crate) fn describe() -> String {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_string()).unwrap_or_default()
    };
    let model = field("/proc/cpuinfo", "model name");
    let memory = field("/proc/meminfo", "MemTotal");
    let memory: u64 = memory.split(' ').next().and_then(|kb| kb.parse().ok()).unwrap_or(0);
    let virtual_machine =
        field("/proc/cpuinfo", "flags").split(' ').any(|flag| flag == "hypervisor");
    let name = uname().ok();
    let of = |part: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        name.as_ref().map(|name| part(name).to_string_lossy().into_owned()).unwrap_or_default()
    };
    format!(
        "{model}, {} processors{}, {} GiB; {} {} {}",
        processors(),
        if virtual_machine { " of a virtual machine" } else { "" },
        (memory as f64 / f64::from(1 << 20)).round(),
        of(|name| name.sysname()),
        of(|name| name.release()),
        of(|name| name.machine()),
    )
}
