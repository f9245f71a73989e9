//! `tls_echo`, and `http_client` with https, against OpenSSL: its own programs, CPython's and curl.

use crate::{
    echo_server::{Client, Server},
    process::{Finished, Program, command, example, noise, python_script},
    system_calls::{Traced, watch_the_silence},
    trials::{Test, tests},
};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

pub(crate) const TESTS: &[Test] = tests![
    echoes_to_openssl needs(OPENSSL),
    echoes_to_cpython needs(PYTHON_SSL),
    echoes_to_curl needs(CURL_HTTPS),
    over_ipv6 needs(PYTHON_SSL, IPV6),
    over_a_unix_socket needs(PYTHON_SSL),
    sixteen_mib_and_a_half_close needs(PYTHON_SSL),
    a_half_close_with_much_unread needs(PYTHON_SSL),
    one_that_never_reads needs(PYTHON_SSL, PROC),
    one_that_never_reads_costs_no_system_calls needs(PYTHON_SSL, STRACE),
    byte_by_byte needs(PYTHON_SSL),
    records_of_one_byte needs(PYTHON_SSL),
    two_hundred_connections needs(PYTHON_SSL, PROC),
    a_stream_that_is_cut_off needs(PYTHON_SSL),
    a_stream_that_is_cut_off_with_much_unread needs(PYTHON_SSL),
    a_record_that_is_corrupt needs(PYTHON_SSL),
    a_client_that_does_not_wait_for_the_end needs(PYTHON_SSL, PROC),
    clients_that_vanish_in_the_handshake needs(PYTHON_SSL, PROC),
    http_to_the_port_of_tls needs(PYTHON_SSL),
    certificates_that_are_none,
    fetches_what_curl_fetches needs(PYTHON_SSL, CURL_HTTPS),
    fetches_over_ipv6 needs(PYTHON_SSL, IPV6),
    fetches_from_openssl needs(OPENSSL),
    fetches_from_a_host_by_name needs(PYTHON_SSL),
    an_answer_to_its_close_notify needs(PYTHON_SSL),
    an_answer_that_is_cut_off needs(PYTHON_SSL),
    an_answer_with_its_length_from_a_server_that_does_not_close needs(PYTHON_SSL),
    an_answer_in_records_of_one_byte needs(PYTHON_SSL),
    an_authority_that_is_not_trusted needs(PYTHON_SSL),
    a_certificate_for_another_host needs(PYTHON_SSL),
    a_certificate_that_has_expired needs(PYTHON_SSL),
    an_answer_without_tls needs(PYTHON_SSL),
    a_server_that_vanishes_in_the_handshake needs(PYTHON_SSL),
    authorities_that_are_none,
];

const VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// The most memory that a server may ever need, in bytes. Each connection has its buffers; a queue
/// without limit would soon be larger.
const MOST_MEMORY: usize = 24 << 20;

/// An authority, and a server's certificate and key: files.
struct Certificates(TempDir);

impl Certificates {
    /// Good for this machine.
    fn new() -> Self {
        Self::with(&["localhost", "127.0.0.1", "::1"], 4000)
    }

    /// For these names, and until the end of that year.
    fn with(names: &[&str], until: i32) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let mut params = CertificateParams::new([]).unwrap();
        // No two have the same name, by which they are found.
        params.distinguished_name.push(DnType::CommonName, files.ca());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);

        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        params.use_authority_key_identifier_extension = true;
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();

        fs::write(files.ca(), authority.pem()).unwrap();
        fs::write(files.cert(), certificate.pem()).unwrap();
        fs::write(files.key(), key.serialize_pem()).unwrap();
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn ca(&self) -> String {
        self.path("ca.pem")
    }

    fn cert(&self) -> String {
        self.path("cert.pem")
    }

    fn key(&self) -> String {
        self.path("key.pem")
    }
}

fn python(function: &str, arguments: &[&str]) -> Command {
    python_script("tls_peers.py", function, arguments)
}

// The server.

struct TlsEcho {
    server: Server,
    certificates: Certificates,
}

fn tls_echo(backend: &str, address: &str, certificates: &Certificates) -> Command {
    let mut command = example("tls_echo", backend);
    command.args([address, "--cert", &certificates.cert(), "--key", &certificates.key()]);
    command
}

impl TlsEcho {
    #[track_caller]
    fn start(backend: &str) -> Self {
        Self::at(backend, "127.0.0.1:0")
    }

    #[track_caller]
    fn at(backend: &str, address: &str) -> Self {
        let certificates = Certificates::new();
        Self { server: Server::of(&mut tls_echo(backend, address, &certificates)), certificates }
    }

    /// A CPython client, with these arguments behind those that each has.
    fn client(&self, function: &str, arguments: &[&str]) -> Command {
        let ca = self.certificates.ca();
        python(function, &[&[&*self.server.address, &*ca], arguments].concat())
    }

    #[track_caller]
    fn serve(&self, function: &str, arguments: &[&str]) {
        Program::run(&mut self.client(function, arguments)).succeeded();
    }

    /// It has lived through everything.
    #[track_caller]
    fn still_serves(&self) {
        self.serve("many", &["1"]);
    }

    /// Ends it; it must have had this to complain about, of one client after the other.
    #[track_caller]
    fn stop(self, complaints: &[&str]) {
        self.server.program.signal(Signal::SIGTERM);
        let finished = self.server.program.finish().failed(0, &[]);
        let lines: Vec<_> = finished.stderr.lines().collect();
        assert_eq!(lines.len(), complaints.len(), "{lines:?}");
        for (line, complaint) in lines.iter().zip(complaints) {
            // With the client's address, if it has one.
            let client = ["tls_echo: 127.0.0.1:", "tls_echo: (unnamed): "];
            assert!(client.iter().any(|client| line.starts_with(client)), "{line}");
            assert!(line.contains(complaint), "no {complaint:?} in {line:?}");
        }
    }
}

fn echoes_to_openssl(backend: &str) {
    let echo = TlsEcho::start(backend);
    for (version, option) in VERSIONS.into_iter().zip(["-tls1_2", "-tls1_3"]) {
        let mut command = command("openssl");
        command.args(["s_client", "-brief", option, "-connect", &echo.server.address]);
        command.args(["-CAfile", &echo.certificates.ca(), "-verify_return_error"]);
        command.args(["-servername", "localhost", "-verify_hostname", "localhost"]);
        let mut client = Program::start(command.stdin(Stdio::piped()));
        client.write(b"hello\n");
        assert_eq!(client.line(), "hello");
        if version == "1.3" {
            // New keys, for both directions.
            for _ in 0..3 {
                client.write(b"K\n");
                while client.complaint() != "KEYUPDATE" {}
                client.write(b"hello again\n");
                assert_eq!(client.line(), "hello again");
            }
        }
        client.write(b"Q\n");
        let finished = client.finish();
        assert_eq!((finished.code, finished.stdout), (Some(0), vec![]), "{}", finished.stderr);
    }
    echo.still_serves();
    echo.stop(&[]);
}

fn echoes_to_cpython(backend: &str) {
    let echo = TlsEcho::start(backend);
    for version in VERSIONS {
        echo.serve("messages", &[version]);
    }
    echo.stop(&[]);
}

/// What it gets is its own request, for HTTP as it was at first: without a head, and to the end of
/// the connection, for which both would wait for ever.
fn echoes_to_curl(backend: &str) {
    let echo = TlsEcho::start(backend);
    let mut command = command("curl");
    let url = format!("https://{}/what/it/asks?for", echo.server.address);
    command.args(["--silent", "--no-buffer", "--http1.1", "--http0.9", "--cacert"]);
    let mut curl = Program::start(command.args([&echo.certificates.ca(), &url]));
    assert_eq!(curl.line(), "GET /what/it/asks?for HTTP/1.1");
    assert_eq!(curl.line(), format!("Host: {}", echo.server.address));
    while !curl.line().is_empty() {}
    curl.signal(Signal::SIGTERM);
    assert_eq!(curl.finish().stdout, b"");
    echo.server.program.signal(Signal::SIGTERM);
    echo.server.program.finish().failed(0, &[]);
}

fn over_ipv6(backend: &str) {
    let echo = TlsEcho::at(backend, "[::1]:0");
    echo.serve("messages", &["1.3"]);
    echo.stop(&[]);
}

fn over_a_unix_socket(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let echo = TlsEcho::at(backend, directory.path().join("socket").to_str().unwrap());
    echo.serve("messages", &["1.2"]);
    echo.stop(&[]);
}

fn sixteen_mib_and_a_half_close(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    for (address, version, piece) in [
        (directory.path().join("socket").to_str().unwrap(), "1.3", "3000"),
        ("127.0.0.1:0", "1.2", "20000"),
    ] {
        let echo = TlsEcho::at(backend, address);
        echo.serve("bulk", &[version, &(16 << 20).to_string(), piece]);
        echo.stop(&[]);
    }
}

fn a_half_close_with_much_unread(backend: &str) {
    // What the kernel buffers for a Unix socket is known and does not grow.
    let directory = tempfile::tempdir().unwrap();
    let echo = TlsEcho::at(backend, directory.path().join("socket").to_str().unwrap());
    echo.serve("half_close_unread", &["close_notify"]);
    echo.stop(&[]);
}

/// All that did come comes back; and yet it is not taken for the whole.
fn a_stream_that_is_cut_off_with_much_unread(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let echo = TlsEcho::at(backend, directory.path().join("socket").to_str().unwrap());
    echo.serve("half_close_unread", &["truncation"]);
    echo.stop(&["without a close_notify"; 20]);
}

fn one_that_never_reads(backend: &str) {
    let echo = TlsEcho::start(backend);
    let mut command = echo.client("never_reads", &[&(64 << 20).to_string()]);
    let mut client = Program::start(command.stdin(Stdio::piped()));
    assert_eq!(client.line(), "blocked");
    client.write(b"go on\n");
    client.finish().succeeded();
    let memory = echo.server.program.most_memory();
    assert!(memory < MOST_MEMORY, "{memory} bytes");
    echo.stop(&[]);
}

fn one_that_never_reads_costs_no_system_calls(backend: &str) {
    let certificates = Certificates::new();
    let traced = Traced::of(&mut tls_echo(backend, "127.0.0.1:0", &certificates));
    let most = (64 << 20).to_string();
    let mut command = python("never_reads", &[&traced.server.address, &certificates.ca(), &most]);
    let mut client = Program::start(command.stdin(Stdio::piped()));
    assert_eq!(client.line(), "blocked");
    // That these two came can be seen in the trace: they are the third and the fourth.
    let mut begin = traced.server.connect();
    watch_the_silence(&mut begin);
    let _end = traced.server.connect();
    client.write(b"go on\n");
    client.finish().succeeded();
    let calls = traced.stop();
    let comes = |call: &String| call.contains("Incoming connection");
    let marks = calls.iter().enumerate().filter(|(_, call)| comes(call)).map(|(n, _)| n);
    let [_, _, begin, end] = marks.collect::<Vec<_>>()[..] else { panic!("{calls:?}") };
    let between = &calls[begin..end];
    // Two accepts and what belongs to them, and the waits.
    assert!(between.len() < 40, "{between:#?}");
}

fn byte_by_byte(backend: &str) {
    let echo = TlsEcho::start(backend);
    for version in VERSIONS {
        echo.serve("byte_by_byte", &[version]);
    }
    echo.stop(&[]);
}

fn records_of_one_byte(backend: &str) {
    let echo = TlsEcho::start(backend);
    echo.serve("records_of_one_byte", &["10000"]);
    echo.stop(&[]);
}

fn two_hundred_connections(backend: &str) {
    let echo = TlsEcho::start(backend);
    let base = echo.server.descriptors().len();
    echo.serve("many", &["200"]);
    // Each of them has seen its end.
    assert_eq!(echo.server.descriptors().len(), base);
    echo.stop(&[]);
}

fn a_stream_that_is_cut_off(backend: &str) {
    let echo = TlsEcho::start(backend);
    for version in VERSIONS {
        echo.serve("truncated", &[version]);
    }
    echo.still_serves();
    echo.stop(&["without a close_notify"; 2]);
}

fn a_record_that_is_corrupt(backend: &str) {
    let echo = TlsEcho::start(backend);
    for version in VERSIONS {
        echo.serve("corrupt_record", &[version]);
    }
    echo.still_serves();
    echo.stop(&["cannot decrypt peer's message"; 2]);
}

fn a_client_that_does_not_wait_for_the_end(backend: &str) {
    let echo = TlsEcho::start(backend);
    let base = echo.server.descriptors().len();
    echo.serve("close_and_be_gone", &["100"]);
    echo.server.until_it_has(base);
    echo.stop(&[]);
}

fn clients_that_vanish_in_the_handshake(backend: &str) {
    let echo = TlsEcho::start(backend);
    let base = echo.server.descriptors().len();
    echo.serve("vanish_in_the_handshake", &[]);
    echo.server.until_it_has(base);
    echo.still_serves();
    // Some may have been gone before they were accepted.
    echo.server.program.signal(Signal::SIGTERM);
    let finished = echo.server.program.finish().failed(0, &["without a close_notify"]);
    assert!(finished.stderr.lines().count() <= 10, "{}", finished.stderr);
}

fn http_to_the_port_of_tls(backend: &str) {
    let echo = TlsEcho::start(backend);
    for rest in [0, 20_000] {
        let Client(mut stream) = echo.server.connect();
        // All of it is there before any is read, and most of it never is.
        echo.server.program.while_stopped(|| {
            stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            stream.write_all(&noise(rest)).unwrap();
        });
        let mut alert = Vec::new();
        stream.read_to_end(&mut alert).unwrap();
        // A record that is an alert, of two bytes, the first of which is 2: a fatal one.
        assert!(matches!(alert[..], [21, 3, _, 0, 2, 2, _]), "{alert:?}");
    }
    echo.still_serves();
    echo.stop(&["corrupt message"; 2]);
}

fn certificates_that_are_none(backend: &str) {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (cert, key) = (certificates.cert(), certificates.key());
    for (cert, key, messages) in [
        ("/no/such/file", &*key, ["/no/such/file", "No such file"]),
        (&cert, "/no/such/file", ["/no/such/file", "No such file"]),
        (&key, &key, [&key, "no items found"]),
        (&cert, &cert, [&cert, "no items found"]),
        (&cert, &others.key(), [&cert, "KeyMismatch"]),
    ] {
        let mut command = example("tls_echo", backend);
        let finished = Program::run(command.args(["127.0.0.1:0", "--cert", cert, "--key", key]));
        assert_eq!(finished.failed(1, &messages).stdout, b"");
    }
    let mut command = example("tls_echo", backend);
    Program::run(command.args(["--cert", &cert])).failed(2, &["--key <FILE>", "Usage"]);
    let server = Server::of(&mut tls_echo(backend, "127.0.0.1:0", &certificates));
    for (address, message) in [(&*server.address, "in use"), ("nonsense", "neither")] {
        let second = Program::run(&mut tls_echo(backend, address, &certificates));
        assert_eq!(second.failed(1, &["tls_echo", address, message]).stdout, b"");
    }
    server.stop();
}

// The client.

#[track_caller]
fn fetch(backend: &str, certificates: &Certificates, url: &str) -> Finished {
    Program::run(example("http_client", backend).args(["--cacert", &certificates.ca(), url]))
}

/// CPython's `http.server` for a directory, with TLS; and the URL of its root.
#[track_caller]
fn https_server(
    directory: &Path,
    certificates: &Certificates,
    host: &str,
    version: &str,
) -> (Program, String) {
    let (cert, key) = (certificates.cert(), certificates.key());
    let directory = directory.to_str().unwrap();
    let mut command = python("https_server", &[directory, &cert, &key, host, version]);
    let mut program = Program::start(&mut command);
    let url = program.line();
    (program, url)
}

/// CPython's server for one request, which then ends as it is told to.
struct OneAnswer {
    program: Program,
    url: String,
}

impl OneAnswer {
    #[track_caller]
    fn new(certificates: &Certificates, version: &str, end: &str, answer: &str) -> Self {
        let (cert, key) = (certificates.cert(), certificates.key());
        let mut command = python("https_answer", &[&cert, &key, version, end, answer]);
        let mut program = Program::start(&mut command);
        let url = program.line();
        Self { program, url }
    }

    /// What it says of the client.
    #[track_caller]
    fn tells(self) -> String {
        String::from_utf8(self.program.finish().succeeded().stdout).unwrap()
    }
}

const BODY: &str = "HTTP/1.0 200 OK\r\n\r\nbody";
const FOUR_BYTES_OF_BODY: &str = "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody";

#[track_caller]
fn is_the_body(finished: &Finished) {
    assert_eq!((finished.code, &*finished.stderr), (Some(0), "HTTP/1.0 200 OK\n"));
    assert_eq!(finished.stdout, b"body");
}

fn fetches_what_curl_fetches(backend: &str) {
    let certificates = Certificates::new();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), noise(10_000_000)).unwrap();
    fs::write(directory.path().join("empty"), "").unwrap();
    for version in VERSIONS {
        let (_server, root) = https_server(directory.path(), &certificates, "127.0.0.1", version);
        for (path, code) in [("", 0), ("file", 0), ("empty", 0), ("missing", 3)] {
            let url = format!("{root}{path}");
            let mut curl = command("curl");
            curl.args(["--silent", "--cacert", &certificates.ca(), &url]);
            let curl = Program::run(&mut curl).succeeded();
            let ours = fetch(backend, &certificates, &url);
            assert_eq!(ours.code, Some(code), "{url}: {}", ours.stderr);
            assert!(ours.stdout == curl.stdout, "{url}");
        }
    }
}

fn fetches_over_ipv6(backend: &str) {
    let certificates = Certificates::new();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "found").unwrap();
    let (_server, root) = https_server(directory.path(), &certificates, "::1", "1.3");
    let finished = fetch(backend, &certificates, &format!("{root}file"));
    assert_eq!((finished.code, &*finished.stdout), (Some(0), &b"found"[..]), "{}", finished.stderr);
}

fn fetches_from_openssl(backend: &str) {
    let certificates = Certificates::new();
    for (version, option) in VERSIONS.into_iter().zip(["-tls1_2", "-tls1_3"]) {
        let mut command = command("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-naccept", "1", option]);
        command.args(["-cert", &certificates.cert(), "-key", &certificates.key()]);
        let mut server = Program::start(&mut command);
        let address = loop {
            if let Some(address) = server.line().strip_prefix("ACCEPT ") {
                break address.to_owned();
            }
        };
        // Its answer has no length: its close_notify is the end.
        let finished = fetch(backend, &certificates, &format!("https://{address}/"));
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let page = String::from_utf8(finished.stdout).unwrap();
        assert!(page.contains(&format!("Protocol  : TLSv{version}")), "{page}");
        assert!(page.trim_end().ends_with("</HTML>"), "{page}");
        assert_eq!(server.finish().code, Some(0));
    }
}

/// It may have an IPv6 address, too, where nobody listens.
fn fetches_from_a_host_by_name(backend: &str) {
    let certificates = Certificates::with(&["localhost"], 4000);
    let server = OneAnswer::new(&certificates, "1.3", "close_notify", BODY);
    let url = server.url.replace("127.0.0.1", "localhost");
    is_the_body(&fetch(backend, &certificates, &url));
    assert_eq!(server.tells(), "close_notify\n");
}

fn an_answer_to_its_close_notify(backend: &str) {
    let certificates = Certificates::new();
    for version in VERSIONS {
        let server = OneAnswer::new(&certificates, version, "close_notify", BODY);
        is_the_body(&fetch(backend, &certificates, &server.url));
        assert_eq!(server.tells(), "close_notify\n");
    }
}

fn an_answer_that_is_cut_off(backend: &str) {
    let certificates = Certificates::new();
    for version in VERSIONS {
        let server = OneAnswer::new(&certificates, version, "truncate", BODY);
        let finished = fetch(backend, &certificates, &server.url);
        let finished = finished.failed(1, &["http_client: 127.0.0.1:", "without a close_notify"]);
        // What did come is not held back.
        assert_eq!(finished.stdout, b"body");
        // Here nothing can be missing.
        let server = OneAnswer::new(&certificates, version, "truncate", FOUR_BYTES_OF_BODY);
        is_the_body(&fetch(backend, &certificates, &server.url));
    }
}

fn an_answer_with_its_length_from_a_server_that_does_not_close(backend: &str) {
    let certificates = Certificates::new();
    for version in VERSIONS {
        let server = OneAnswer::new(&certificates, version, "hold", FOUR_BYTES_OF_BODY);
        is_the_body(&fetch(backend, &certificates, &server.url));
        assert_eq!(server.tells(), "close_notify\n");
    }
}

fn an_answer_in_records_of_one_byte(backend: &str) {
    let certificates = Certificates::new();
    let server = OneAnswer::new(&certificates, "1.3", "bytes", BODY);
    is_the_body(&fetch(backend, &certificates, &server.url));
    assert_eq!(server.tells(), "close_notify\n");
}

/// Refused before anything is asked for, and the server is told.
#[track_caller]
fn does_not_trust(command: &mut Command, server: OneAnswer, message: &str) {
    let finished = Program::run(command.arg(&server.url));
    let finished = finished.failed(1, &["http_client: 127.0.0.1:", "certificate", message]);
    assert_eq!(finished.stdout, b"");
    let told = server.tells();
    assert!(told.contains("alert"), "{told}");
}

fn an_authority_that_is_not_trusted(backend: &str) {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    for version in VERSIONS {
        let server = OneAnswer::new(&certificates, version, "close_notify", BODY);
        does_not_trust(&mut example("http_client", backend), server, "UnknownIssuer");
        let server = OneAnswer::new(&certificates, version, "close_notify", BODY);
        let mut client = example("http_client", backend);
        does_not_trust(client.args(["--cacert", &others.ca()]), server, "UnknownIssuer");
    }
}

#[track_caller]
fn does_not_trust_what_is_signed(backend: &str, certificates: &Certificates, message: &str) {
    for version in VERSIONS {
        let server = OneAnswer::new(certificates, version, "close_notify", BODY);
        let mut client = example("http_client", backend);
        does_not_trust(client.args(["--cacert", &certificates.ca()]), server, message);
    }
}

fn a_certificate_for_another_host(backend: &str) {
    let certificates = Certificates::with(&["localhost", "127.0.0.2"], 4000);
    does_not_trust_what_is_signed(backend, &certificates, "not valid for name \"127.0.0.1\"");
}

fn a_certificate_that_has_expired(backend: &str) {
    let certificates = Certificates::with(&["127.0.0.1"], 2020);
    does_not_trust_what_is_signed(backend, &certificates, "expired");
}

fn an_answer_without_tls(backend: &str) {
    let certificates = Certificates::new();
    let server = OneAnswer::new(&certificates, "1.3", "plain", BODY);
    let finished = fetch(backend, &certificates, &server.url);
    assert_eq!(finished.failed(1, &["http_client: 127.0.0.1:", "corrupt message"]).stdout, b"");
}

fn a_server_that_vanishes_in_the_handshake(backend: &str) {
    let certificates = Certificates::new();
    let server = OneAnswer::new(&certificates, "1.3", "vanish", BODY);
    let finished = fetch(backend, &certificates, &server.url);
    let finished = finished.failed(1, &["http_client: 127.0.0.1:", "without a close_notify"]);
    assert_eq!(finished.stdout, b"");
}

fn authorities_that_are_none(backend: &str) {
    let certificates = Certificates::new();
    for (file, message) in [
        ("/no/such/file", "No such file"),
        ("/dev/null", "no items found"),
        (&*certificates.key(), "no items found"),
    ] {
        let mut client = example("http_client", backend);
        let finished = Program::run(client.args(["--cacert", file, "https://127.0.0.1:1/"]));
        assert_eq!(finished.failed(1, &["http_client: ", file, message]).stdout, b"");
    }
}
