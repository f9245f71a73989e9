//! What a test may need that a machine with nothing but Rust does not have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
};

pub(crate) struct Need {
    pub(crate) what: &'static str,
    met: LazyLock<bool>,
}

impl Need {
    const fn new(what: &'static str, met: fn() -> bool) -> Self {
        Self { what, met: LazyLock::new(met) }
    }

    pub(crate) fn is_met(&self) -> bool {
        *self.met
    }
}

pub(crate) static PYTHON: Need = Need::new("python3", || runs("python3", &["-c", ""]));
pub(crate) static ASYNCORE: Need =
    Need::new("a python3 that has asyncore", || runs("python3", &["-c", "import asyncore"]));
pub(crate) static PYTHON_SSL: Need = Need::new("a python3 that speaks TLS 1.3", || {
    runs("python3", &["-c", "import ssl; assert ssl.HAS_TLSv1_3"])
});
pub(crate) static CURL: Need = Need::new("curl", || runs("curl", &["--version"]));
pub(crate) static CURL_SMTP: Need = Need::new("a curl that speaks SMTP", || curl_speaks("smtp"));
pub(crate) static CURL_HTTPS: Need = Need::new("a curl that speaks HTTPS", || curl_speaks("https"));
pub(crate) static OPENSSL: Need = Need::new("openssl", || runs("openssl", &["version"]));
/// OpenBSD's: others have no `-N`, or it takes a value.
pub(crate) static NC: Need = Need::new("an nc that has -N", || runs("nc", &["-N", "-h"]));
/// util-linux's: others cannot be told where to send to.
pub(crate) static LOGGER: Need = Need::new("util-linux's logger", || {
    runs("logger", &["--no-act", "--udp", "--server", "::", "x"])
});
pub(crate) static SH: Need = Need::new("sh", || runs("sh", &["-c", "ulimit -f 100"]));
/// With `-D`, which is newer than the rest of what is used.
pub(crate) static STRACE: Need = Need::new("an strace that may trace", || {
    runs("strace", &["-D", "-f", "-o", "/dev/null", "true"])
});
/// In a program that is one file it cannot be told whose calls are whose.
pub(crate) static CALLS_IN_PLACE: Need = Need::new("x86-64 Linux with glibc", || {
    cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))
        && !cfg!(any(target_feature = "crt-static", asyncore_libc))
});
pub(crate) static ROOT: Need = Need::new("root", || nix::unistd::geteuid().is_root());
pub(crate) static PROC: Need = Need::new("/proc/PID/fd", || Path::new("/proc/self/fd/0").exists());
pub(crate) static FULL: Need = Need::new("/dev/full", || Path::new("/dev/full").exists());
pub(crate) static FILES: Need = Need::new("2500 open files", || {
    getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(soft, _)| soft >= 2500)
});
pub(crate) static IPV6: Need = Need::new("IPv6", || TcpListener::bind("[::1]:0").is_ok());
pub(crate) static LOOPBACK_NET: Need = Need::new("127.0.0.2 and 3", || {
    ["127.0.0.2:0", "127.0.0.3:0"].map(TcpListener::bind).iter().all(Result::is_ok)
});

fn curl_speaks(name: &str) -> bool {
    let version = Command::new("curl").arg("--version").stderr(Stdio::null()).output();
    version.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.split_ascii_whitespace().any(|protocol| protocol == name)
    })
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// For this process and its children, to which it is handed down.
pub(crate) fn raise_the_limit_of_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(10_000)), hard);
    }
}
