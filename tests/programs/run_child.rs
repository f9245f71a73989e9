//! A child in a reactor: children that behave in every way, and what they leave behind.

use crate::{
    process::{PATIENCE, Program, Stream, await_input, example, noise},
    trials::{Test, tests},
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    pty::openpty,
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, SetArg, tcgetattr, tcsetattr},
    },
    unistd::Pid,
};
use std::{
    fs::File,
    io::{self, ErrorKind, Read, Seek, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Command, Stdio},
    sync::mpsc::channel,
    thread,
};

pub(crate) const TESTS: &[Test] = tests![
    fifty_megabytes_both_ways,
    never_holds_more_than_a_little needs(PROC),
    output_and_error_at_the_same_time,
    ends_with_the_childs_status,
    ends_as_one_that_was_killed,
    a_command_that_cannot_be_run,
    arguments_are_the_commands,
    a_child_that_ignores_its_input,
    a_child_that_closes_its_input,
    a_child_that_closes_its_output,
    output_that_nobody_reads,
    a_child_that_leaves_another_with_its_pipes,
    a_child_that_leaves_another_that_writes_for_ever,
    sigterm_is_passed_on_and_sigint_is_not,
    terminals_and_pipes_stay_as_they_are,
    flags_that_are_shared_are_put_back,
    the_master_of_a_terminal,
    a_disk_that_is_full needs(FULL),
    input_that_cannot_be_read,
];

const MUCH: usize = 50_000_000;

fn run_child(backend: &str, command: &[&str]) -> Command {
    let mut program = example("run_child", backend);
    program.args(command);
    program
}

fn shell(backend: &str, script: &str) -> Command {
    run_child(backend, &["sh", "-c", script])
}

fn file_with(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file
}

fn is_blocking(fd: impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

fn fifty_megabytes_both_ways(backend: &str) {
    let sent = noise(MUCH);
    let mut command = run_child(backend, &["cat"]);
    let finished = Program::run(command.stdin(file_with(&sent))).succeeded();
    assert_eq!(finished.stdout.len(), sent.len());
    assert!(finished.stdout == sent);
    // Through pipes, and into a file.
    let mut output = tempfile::tempfile().unwrap();
    let mut command = run_child(backend, &["cat"]);
    command.stdin(Stdio::piped()).stdout(output.try_clone().unwrap());
    let mut program = Program::start(&mut command);
    program.write(&sent);
    program.close_stdin();
    program.finish().succeeded();
    output.rewind().unwrap();
    let mut received = Vec::new();
    output.read_to_end(&mut received).unwrap();
    assert!(received == sent);
}

fn never_holds_more_than_a_little(backend: &str) {
    let sent = noise(MUCH);
    let (mut reader, writer) = io::pipe().unwrap();
    let mut command = run_child(backend, &["cat"]);
    let mut program = Program::start(command.stdin(Stdio::piped()).stdout(writer));
    drop(command);
    thread::scope(|scope| {
        // Small sips from a pipe that is full all the time.
        let received = scope.spawn(|| {
            let mut received = vec![0; MUCH];
            received.chunks_mut(1000).try_for_each(|sip| reader.read_exact(sip)).unwrap();
            received
        });
        program.write(&sent);
        assert!(received.join().unwrap() == sent);
    });
    assert!(program.most_memory() < MUCH / 2, "{}", program.most_memory());
    program.close_stdin();
    program.finish().succeeded();
}

fn output_and_error_at_the_same_time(backend: &str) {
    let script = "head -c 5000000 /dev/zero | tr '\\0' e >&2 &
                  head -c 5000000 /dev/zero | tr '\\0' o; wait";
    let finished = Program::run(&mut shell(backend, script));
    assert_eq!(finished.code, Some(0));
    assert!(finished.stdout == "o".repeat(5_000_000).as_bytes());
    assert!(finished.stderr == "e".repeat(5_000_000));
}

fn ends_with_the_childs_status(backend: &str) {
    for status in [0, 1, 7, 126, 255] {
        let finished = Program::run(&mut shell(backend, &format!("echo x; exit {status}")));
        assert_eq!((finished.code, &*finished.stderr), (Some(status), ""));
        assert_eq!(finished.stdout, b"x\n");
    }
}

fn ends_as_one_that_was_killed(backend: &str) {
    for (name, status) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] {
        let finished = Program::run(&mut shell(backend, &format!("echo x; kill -{name} $$")));
        assert_eq!((finished.code, &*finished.stderr), (Some(status), ""));
        assert_eq!(finished.stdout, b"x\n");
    }
}

fn a_command_that_cannot_be_run(backend: &str) {
    let finished = Program::run(&mut run_child(backend, &["/no/such/command"]));
    finished.failed(127, &["run_child: /no/such/command: No such file"]);
    let finished = Program::run(&mut run_child(backend, &["no such command"]));
    finished.failed(127, &["run_child: no such command: No such file"]);
    for command in ["/", "/dev/null"] {
        let finished = Program::run(&mut run_child(backend, &[command]));
        finished.failed(126, &[&format!("run_child: {command}: Permission denied")]);
    }
    Program::run(&mut run_child(backend, &[])).failed(2, &["<COMMAND>", "Usage"]);
}

fn arguments_are_the_commands(backend: &str) {
    let mut command = shell(backend, "for each in \"$@\"; do echo \"$each\"; done");
    let finished = Program::run(command.args(["sh", "--help", "--backend", "x", "--", "-y"]));
    assert_eq!(finished.succeeded().stdout, b"--help\n--backend\nx\n--\n-y\n");
}

fn a_child_that_ignores_its_input(backend: &str) {
    let mut command = run_child(backend, &["true"]);
    let finished = Program::run(command.stdin(file_with(&noise(MUCH)))).succeeded();
    assert_eq!(finished.stdout, b"");
    // And input that never comes.
    let (reader, _writer) = io::pipe().unwrap();
    Program::run(run_child(backend, &["true"]).stdin(reader)).succeeded();
}

fn a_child_that_closes_its_input(backend: &str) {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut command = shell(backend, "exec <&-; echo closed; exec tail -f /dev/null");
    let mut program = Program::start(command.stdin(reader));
    drop(command);
    assert_eq!(program.line(), "closed");
    // Who writes is told while the child lives.
    let (sender, result) = channel();
    thread::spawn(move || sender.send(writer.write_all(&vec![0; MUCH])));
    let error = result.recv_timeout(PATIENCE).expect("it hangs").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    program.signal(Signal::SIGTERM);
    let finished = program.finish();
    assert_eq!((finished.code, &*finished.stderr), (Some(143), ""));
}

fn a_child_that_closes_its_output(backend: &str) {
    let (reader, writer) = io::pipe().unwrap();
    let mut command = shell(backend, "echo out; exec >&-; cat >&2; exit 3");
    let mut program = Program::start(command.stdin(Stdio::piped()).stdout(writer));
    drop(command);
    // The end comes while the child lives.
    assert_eq!(Stream::new(reader).rest(), b"out\n");
    program.write(b"late");
    program.close_stdin();
    let finished = program.finish();
    assert_eq!((finished.code, &*finished.stderr), (Some(3), "late"));
}

fn output_that_nobody_reads(backend: &str) {
    let (reader, writer) = io::pipe().unwrap();
    let mut command = run_child(backend, &["yes"]);
    let program = Program::start(command.stdout(writer));
    drop(command);
    await_input(&reader);
    drop(reader);
    // It learns of it as it would without us: by SIGPIPE.
    let finished = program.finish();
    assert_eq!((finished.code, &*finished.stderr), (Some(141), ""));
}

/// Ends a process that a child has left behind, and whose number is a line of `output`.
fn end_the_other(output: &[u8]) {
    let output = String::from_utf8_lossy(output);
    let id = output.lines().find_map(|line| line.parse().ok()).expect("it says the number");
    let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
}

fn a_child_that_leaves_another_with_its_pipes(backend: &str) {
    let script = "tail -f /dev/null & echo $!; head -c 60000 /dev/zero; exit 4";
    let finished = Program::run(&mut shell(backend, script));
    end_the_other(&finished.stdout);
    // All of the child's own output is there, though the pipe is open yet.
    assert_eq!((finished.code, &*finished.stderr), (Some(4), ""));
    assert!(finished.stdout.ends_with(&[0; 60_000]));
}

fn a_child_that_leaves_another_that_writes_for_ever(backend: &str) {
    let finished = Program::run(&mut shell(backend, "echo begin; yes & exit 4"));
    assert_eq!((finished.code, &*finished.stderr), (Some(4), ""));
    assert!(finished.stdout.starts_with(b"begin\n"));
}

fn sigterm_is_passed_on_and_sigint_is_not(backend: &str) {
    let mut command = run_child(backend, &["cat"]);
    let mut program = Program::start(command.stdin(Stdio::piped()));
    for line in ["one", "two"] {
        program.write(format!("{line}\n").as_bytes());
        assert_eq!(program.line(), line);
        program.signal(Signal::SIGINT);
    }
    program.signal(Signal::SIGTERM);
    let finished = program.finish();
    assert_eq!((finished.code, &*finished.stderr), (Some(143), ""));
}

#[cfg(target_os = "linux")]
fn terminals_and_pipes_stay_as_they_are(backend: &str) {
    let terminal = openpty(None, None).unwrap();
    let mut mode = tcgetattr(&terminal.slave).unwrap();
    // What is seen then comes from the child.
    mode.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&terminal.slave, SetArg::TCSANOW, &mode).unwrap();
    let slave = || terminal.slave.try_clone().unwrap();
    let mut command = run_child(backend, &["cat"]);
    let program = Program::start(command.stdin(slave()).stdout(slave()));
    let mut keyboard = File::from(terminal.master.try_clone().unwrap());
    let mut screen = Stream::new(File::from(terminal.master.try_clone().unwrap()));
    for number in 0..3 {
        writeln!(keyboard, "line {number}").unwrap();
        assert_eq!(screen.line(), Some(format!("line {number}")));
        assert!(is_blocking(&terminal.slave));
    }
    // Control-D.
    keyboard.write_all(&[4]).unwrap();
    program.finish().succeeded();
    assert!(is_blocking(&terminal.slave));

    let (stdin, mut input) = io::pipe().unwrap();
    let (output, stdout) = io::pipe().unwrap();
    let mut command = run_child(backend, &["cat"]);
    command.stdin(stdin.try_clone().unwrap()).stdout(stdout.try_clone().unwrap());
    let program = Program::start(&mut command);
    input.write_all(b"line\n").unwrap();
    assert_eq!(Stream::new(output).line().as_deref(), Some("line"));
    assert!(is_blocking(&stdin) && is_blocking(&stdout));
    drop(input);
    program.finish().succeeded();
}

/// The flags are put back at the end, as nothing else can be done there.
#[cfg(not(target_os = "linux"))]
fn terminals_and_pipes_stay_as_they_are(_: &str) {}

fn flags_that_are_shared_are_put_back(backend: &str) {
    let (mut input, stdin) = UnixStream::pair().unwrap();
    let (output, stdout) = UnixStream::pair().unwrap();
    let mut command = run_child(backend, &["cat"]);
    let [shared_in, shared_out] = [&stdin, &stdout].map(|stream| stream.try_clone().unwrap());
    command.stdin(OwnedFd::from(stdin)).stdout(OwnedFd::from(stdout));
    let program = Program::start(&mut command);
    input.write_all(b"line\n").unwrap();
    assert_eq!(Stream::new(output).line().as_deref(), Some("line"));
    assert!(!is_blocking(&shared_in) && !is_blocking(&shared_out));
    program.signal(Signal::SIGTERM);
    let finished = program.finish();
    assert_eq!((finished.code, &*finished.stderr), (Some(143), ""));
    assert!(is_blocking(&shared_in) && is_blocking(&shared_out));
}

fn the_master_of_a_terminal(backend: &str) {
    let terminal = openpty(None, None).unwrap();
    let mut command = run_child(backend, &["head", "-n", "1"]);
    let program = Program::start(command.stdin(terminal.master.try_clone().unwrap()));
    File::from(terminal.slave).write_all(b"line\n").unwrap();
    assert_eq!(program.finish().succeeded().stdout, b"line\r\n");
    assert!(is_blocking(&terminal.master));
}

fn a_disk_that_is_full(backend: &str) {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let finished = Program::run(run_child(backend, &["yes"]).stdout(full()));
    finished.failed(141, &["run_child: the child's output: No space left"]);
    let finished = Program::run(shell(backend, "echo x; exit 5").stdout(full()));
    finished.failed(5, &["run_child: the child's output: No space left"]);
}

fn input_that_cannot_be_read(backend: &str) {
    let finished = Program::run(run_child(backend, &["cat"]).stdin(File::open("/").unwrap()));
    finished.failed(0, &["run_child: standard input: Is a directory"]);
}
