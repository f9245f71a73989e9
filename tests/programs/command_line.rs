//! What every program makes of its arguments.

use crate::{
    echo_server::Server,
    process::{Finished, Program, command, example},
    trials::{Test, tests},
};

pub(crate) const TESTS: &[Test] = tests![
    help_is_on_stdout,
    a_backend_that_does_not_exist,
    an_option_that_does_not_exist,
    a_port_in_use,
    an_address_that_is_none,
    a_directory_that_is_none,
    a_side_for_the_broker,
    two_addresses_for_the_proxy,
    an_address_that_is_not_ours,
];

const PROGRAMS: [&str; 12] = [
    "chat_server",
    "echo_server",
    "echo_client",
    "file_broker",
    "http_client",
    "many_cores",
    "proxy",
    "run_child",
    "smtp_sink",
    "status_page",
    "syslog_sink",
    "tls_echo",
];

/// An example with a value of `--backend` that the caller chose, or with none.
fn run(name: &str, arguments: &[&str]) -> Finished {
    let example = example(name, "");
    Program::run(command(example.get_program()).args(arguments))
}

fn help_is_on_stdout(backend: &str) {
    for name in PROGRAMS {
        let finished = run(name, &["--help"]).succeeded();
        let help = String::from_utf8(finished.stdout).unwrap();
        let usage = format!("Usage: {name} [OPTIONS]");
        for part in [&*usage, "--backend <BACKEND>", backend, "default: "] {
            assert!(help.contains(part), "{help}");
        }
    }
}

fn a_backend_that_does_not_exist(backend: &str) {
    for name in PROGRAMS {
        let finished = run(name, &["--backend", "epoll", "http://127.0.0.1:1/"]);
        // The message says what there is to choose from.
        let stdout = finished.failed(2, &["'epoll'", "--backend", backend]).stdout;
        assert_eq!(stdout, b"");
    }
}

fn an_option_that_does_not_exist(backend: &str) {
    for name in PROGRAMS {
        Program::run(example(name, backend).arg("--bogus")).failed(2, &["--bogus", "Usage"]);
    }
}

fn a_port_in_use(backend: &str) {
    let server = Server::start(backend);
    let second = Program::run(example("echo_server", backend).arg(&server.address));
    let second = second.failed(1, &["echo_server", &server.address, "in use"]);
    assert_eq!(second.stdout, b"");
    let chat = Program::run(example("chat_server", backend).arg(&server.address));
    assert_eq!(chat.failed(1, &["chat_server", &server.address, "in use"]).stdout, b"");
    let sink = Program::run(example("smtp_sink", backend).args(["--dir", ".", &server.address]));
    assert_eq!(sink.failed(1, &["smtp_sink", &server.address, "in use"]).stdout, b"");
    let proxy = Program::run(example("proxy", backend).args([&*server.address, "127.0.0.1:1"]));
    assert_eq!(proxy.failed(1, &["proxy", &server.address, "in use"]).stdout, b"");
    server.connect().exchange("still there?");
    server.stop();
}

fn an_address_that_is_none(backend: &str) {
    let programs: [(&str, &[&str]); 7] = [
        ("chat_server", &[]),
        ("echo_server", &[]),
        ("echo_client", &[]),
        ("many_cores", &[]),
        ("smtp_sink", &["--dir", "."]),
        ("status_page", &["--echo", "127.0.0.1:0"]),
        ("syslog_sink", &[]),
    ];
    for (name, options) in programs {
        for address in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "localhost:80", ""] {
            let finished = Program::run(example(name, backend).args(options).arg(address));
            assert_eq!(finished.failed(1, &[name, address, "neither"]).stdout, b"");
        }
    }
}

fn a_directory_that_is_none(backend: &str) {
    for directory in ["/no/such/directory", "/dev/null"] {
        let mut command = example("smtp_sink", backend);
        let finished = Program::run(command.args(["127.0.0.1:0", "--dir", directory]));
        assert_eq!(finished.failed(1, &["smtp_sink", directory]).stdout, b"");
    }
    Program::run(&mut example("smtp_sink", backend)).failed(2, &["--dir <DIR>", "Usage"]);
}

fn a_side_for_the_broker(backend: &str) {
    let run = |arguments: &[&str]| Program::run(example("file_broker", backend).args(arguments));
    run(&["x"]).failed(2, &["--dir <DIR>|--get <NAME>", "Usage"]);
    run(&["x", "--dir", ".", "--get", "y"]).failed(2, &["cannot be used with", "Usage"]);
    run(&["x", "--get", "y", "--uid", "0"]).failed(2, &["cannot be used with", "Usage"]);
    run(&["/no/such/socket", "--get", "y"]).failed(1, &["file_broker: /no/such/socket: No such"]);
    for directory in ["/no/such/directory", "/dev/null"] {
        run(&["x", "--dir", directory]).failed(1, &["file_broker: x: ", directory]);
    }
}

fn two_addresses_for_the_proxy(backend: &str) {
    for addresses in [["nonsense", "127.0.0.1:1"], ["127.0.0.1:0", "nonsense"]] {
        let finished = Program::run(example("proxy", backend).args(addresses));
        assert_eq!(finished.failed(1, &["proxy", "\"nonsense\" is neither"]).stdout, b"");
    }
    for arguments in [&[][..], &["127.0.0.1:0"]] {
        Program::run(example("proxy", backend).args(arguments)).failed(2, &["<TARGET>", "Usage"]);
    }
}

fn an_address_that_is_not_ours(backend: &str) {
    // Reserved for documentation: no machine has it.
    let finished = Program::run(example("echo_server", backend).arg("192.0.2.1:0"));
    finished.failed(1, &["echo_server", "192.0.2.1:0", "assign"]);
    let finished = Program::run(example("echo_server", backend).arg("/no/such/directory/socket"));
    finished.failed(1, &["echo_server", "No such file"]);
}
