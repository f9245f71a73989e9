//! One run of the subject under `strace`, with one of its calls failing or none.

use nix::{errno::Errno, libc};
use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    sync::LazyLock,
};
use tempfile::NamedTempFile;

/// Whether there is an `strace` that may trace, and make calls fail.
pub(crate) fn may_inject() -> bool {
    static MAY: LazyLock<bool> = LazyLock::new(|| {
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-e", "inject=fcntl:error=EINTR:when=1", "true"]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    });
    *MAY
}

/// One system call of the thread that has the reactor.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// What distinguishes the uses of one call: `F_GETFL`, `SO_ERROR`, `MSG_PEEK`.
    pub(crate) detail: String,
    /// How many calls of that name there were, with this one.
    pub(crate) number: usize,
    pub(crate) injected: bool,
    real_name: String,
    first_argument: String,
}

impl Call {
    pub(crate) fn is_wait(&self) -> bool {
        matches!(&*self.name, "ppoll" | "pselect6")
    }

    /// Whether this one is `other`, made again.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.title() == other.title()
            && (self.is_wait() || self.first_argument == other.first_argument)
    }

    /// As it is written in the table: `fcntl F_GETFL`.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.name, self.detail).trim_end().to_owned()
    }
}

#[derive(Debug)]
pub(crate) struct Run {
    /// `None` if it ended well.
    pub(crate) failure: Option<String>,
    /// What the subject said, a line for each event.
    pub(crate) log: Vec<String>,
    /// What was called between the marks.
    pub(crate) calls: Vec<Call>,
}

/// The call that is to fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Injection<'a> {
    pub(crate) call: &'a Call,
    pub(crate) errno: Errno,
}

/// Runs a scenario. Threads other than the first are not traced: they are the rest of the world.
pub(crate) fn run(scenario: &str, backend: &str, injection: Option<Injection<'_>>) -> Run {
    let trace = NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-e", "signal=none", "-o"]).arg(trace.path());
    if let Some(Injection { call, errno }) = injection {
        let Call { real_name, number, .. } = call;
        strace.arg("-e").arg(format!("inject={real_name}:error={errno:?}:when={number}"));
    }
    strace.arg(env::current_exe().unwrap()).args([crate::SUBJECT, scenario, backend]);
    let output = strace.stdin(Stdio::null()).output().unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    let failure = match (output.status.code(), output.status.signal()) {
        (Some(0), _) => None,
        (_, Some(libc::SIGALRM)) => Some("hang".to_owned()),
        _ => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Some(format!("abort ({}): {complaint}", output.status))
        }
    };
    let calls = calls(&fs::read_to_string(trace.path()).unwrap());
    Run { failure, log: log.lines().map(str::to_owned).collect(), calls }
}

/// The calls between the marks, numbered from the beginning of the process.
fn calls(trace: &str) -> Vec<Call> {
    let mut counts = std::collections::HashMap::<&str, usize>::new();
    let (mut inside, mut calls) = (false, Vec::new());
    for line in trace.lines() {
        let Some((name, arguments)) = line.split_once('(') else { continue };
        if arguments.contains(crate::subject::BEGIN) {
            inside = true;
        } else if arguments.contains(crate::subject::END) {
            inside = false;
        }
        let number = counts.entry(name).or_default();
        *number += 1;
        let (real_name, name) = (name, usual_name(name));
        if inside && !is_of_the_stage(name) {
            let first = arguments.split([',', ')']).next().unwrap_or_default();
            calls.push(Call {
                name: name.to_owned(),
                detail: detail(name, arguments),
                number: *number,
                injected: line.ends_with("(INJECTED)"),
                real_name: real_name.to_owned(),
                first_argument: first.to_owned(),
            });
        }
    }
    calls
}

/// One call has another name in each generation of libc.
fn usual_name(name: &str) -> &str {
    match name {
        "newfstatat" | "fstat64" => "fstat",
        name => name,
    }
}

/// Memory, threads, clocks and marks: not what the library asks the kernel for.
fn is_of_the_stage(name: &str) -> bool {
    const STAGE: &[&str] = &[
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "mremap",
        "madvise",
        "futex",
        "clone",
        "clone3",
        "rt_sigprocmask",
        "rt_sigaction",
        "clock_gettime",
        "statx",
        "sched_yield",
        "restart_syscall",
    ];
    STAGE.contains(&name)
}

fn detail(name: &str, arguments: &str) -> String {
    let prefix: &[&str] = match name {
        "fcntl" => &["F_"],
        "getsockopt" | "setsockopt" => &["SO_"],
        "recvfrom" | "sendto" | "sendmsg" => &["MSG_"],
        "shutdown" => &["SHUT_"],
        "ioctl" => &["FIONREAD", "TCGETS"],
        _ => return String::new(),
    };
    let words = arguments.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let mut words = words.filter(|word| *word != "MSG_NOSIGNAL");
    let found = words.find(|word| prefix.iter().any(|prefix| word.starts_with(prefix)));
    // TCGETS2 in newer libcs.
    found.unwrap_or_default().trim_end_matches('2').to_owned()
}
