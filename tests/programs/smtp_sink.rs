//! The SMTP server, CPython's `smtplib`, and clients that get it wrong.

use crate::{
    echo_server::{Client, Server},
    process::{Finished, PATIENCE, Program, command, example, reset},
    trials::{Test, tests},
};
use nix::sys::signal::Signal;
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

pub(crate) const TESTS: &[Test] = tests![
    two_hundred_mails_over_twenty_connections needs(PYTHON),
    mail_of_every_kind needs(PYTHON),
    mail_that_is_too_large needs(PYTHON),
    bad_commands needs(PYTHON),
    mail_from_curl needs(CURL_SMTP),
    a_pipeline_in_one_write,
    a_pipeline_split_at_every_byte,
    a_pipeline_byte_by_byte,
    an_empty_mail,
    nothing_comes_after_quit,
    no_end_but_the_right_one,
    a_line_feed_ends_no_command,
    no_line_of_the_envelope_is_forged,
    a_command_that_is_too_long,
    too_many_errors,
    too_many_recipients,
    a_client_that_vanishes,
    a_client_that_reads_no_replies needs(PROC),
    memory_is_bounded needs(PROC),
    a_directory_that_vanishes,
    a_disk_that_is_full needs(SH),
    over_a_unix_socket,
    an_orderly_end_in_the_middle_of_a_mail,
];

/// The program, and the directory that it writes to.
struct Sink {
    server: Server,
    directory: TempDir,
}

impl Sink {
    #[track_caller]
    fn start(backend: &str) -> Self {
        Self::with(backend, &["127.0.0.1:0"])
    }

    #[track_caller]
    fn with(backend: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = example("smtp_sink", backend);
        let server = Server::of(command.args(arguments).arg("--dir").arg(directory.path()));
        Self { server, directory }
    }

    /// Lets CPython's client do its part, and look at the mail.
    #[track_caller]
    fn serve(self, client: &str, arguments: &[&str]) {
        let directory = self.directory.path().to_str().unwrap();
        self.server.serve(client, &[&[directory], arguments].concat());
        self.stop();
    }

    fn connect(&self) -> TcpStream {
        Client::connect(&self.server.address).0
    }

    /// Sends all of it at once, and returns the codes of the replies.
    #[track_caller]
    fn replies(&self, input: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(input.as_ref()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        codes(stream)
    }

    fn files(&self) -> Vec<PathBuf> {
        let directory = fs::read_dir(self.directory.path()).unwrap();
        let mut files: Vec<_> = directory.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Removes every mail, in the order in which they came; none may be unfinished.
    #[track_caller]
    fn take(&self) -> Vec<String> {
        let take = |path: PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(!name.starts_with('.') && name.ends_with(".eml"), "{name}");
            let mail = fs::read(&path).unwrap();
            fs::remove_file(path).unwrap();
            String::from_utf8(mail).unwrap()
        };
        self.files().into_iter().map(take).collect()
    }

    /// Returns when everything is served that could be when this was called.
    #[track_caller]
    fn settle(&self, control: &mut Client) {
        // Whatever was ready before a message is served in its pass at the latest, and a
        // connection is accepted in one pass and read in the next.
        for _ in 0..3 {
            control.send("NOOP\r\n");
            control.expect("250 OK\r\n");
        }
    }

    #[track_caller]
    fn control(&self) -> Client {
        let mut control = Client(self.connect());
        control.expect("220 localhost ESMTP, and nothing goes any further\r\n");
        control
    }

    #[track_caller]
    fn stop(self) -> Finished {
        self.server.stop()
    }
}

/// The codes of all that is replied: that of each line which is not continued.
#[track_caller]
fn codes(mut stream: impl Read) -> String {
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    assert!(replies.ends_with("\r\n") && !replies.replace("\r\n", "").contains(['\r', '\n']));
    let last = replies.lines().filter(|line| line.as_bytes()[3] == b' ');
    last.map(|line| &line[..3]).collect::<Vec<_>>().join(" ")
}

/// All that is needed before a mail.
const ENVELOPE: &str = "EHLO me\r\nMAIL FROM:<me@here>\r\nRCPT TO:<you@there>\r\nDATA\r\n";
const TAKEN: &str = "220 250 250 250 354";

/// The file that a mail behind `ENVELOPE` becomes.
fn kept(mail: &str) -> String {
    format!("X-RcptTo: <you@there>\r\nX-MailFrom: <me@here>\r\n{mail}")
}

fn two_hundred_mails_over_twenty_connections(backend: &str) {
    Sink::start(backend).serve("mail_from_many", &["200", "20"]);
}

fn mail_of_every_kind(backend: &str) {
    Sink::start(backend).serve("mail_of_every_kind", &[]);
}

fn mail_that_is_too_large(backend: &str) {
    let sink = Sink::with(backend, &["127.0.0.1:0", "--max-size", "100000"]);
    sink.serve("mail_that_is_too_large", &["100000"]);
}

fn bad_commands(backend: &str) {
    Sink::start(backend).serve("bad_commands", &[]);
}

fn mail_from_curl(backend: &str) {
    let sink = Sink::start(backend);
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("mail");
    fs::write(&path, "Subject: dots\r\n\r\n.\r\n..x\r\n").unwrap();
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*"]);
    curl.arg(format!("smtp://{}/me", sink.server.address));
    curl.args(["--mail-from", "me@here", "--mail-rcpt", "you@there", "--upload-file"]).arg(path);
    Program::run(&mut curl).succeeded();
    assert_eq!(sink.take(), [kept("Subject: dots\r\n\r\n.\r\n..x\r\n")]);
    sink.stop();
}

/// Two mails and more, of all that a session may have.
const PIPELINE: &str = "EHLO me\r\n\
    MAIL FROM:<me@here> SIZE=10 BODY=8BITMIME\r\n\
    RCPT TO:<you@there>\r\n\
    DATA\r\n\
    .\r\n\
    NONSENSE\r\n\
    MAIL FROM:<>\r\n\
    RCPT TO:<a>\r\n\
    RCPT TO:<b>\r\n\
    DATA\r\n\
    ..\r\n\r\n...x\r\nQUIT\r\n\n.\n\r\r\n.\r\n\
    QUIT\r\n";
const REPLIES: &str = "220 250 250 250 354 250 500 250 250 250 354 250 221";

#[track_caller]
fn check_the_pipeline(sink: &Sink) {
    let second =
        "X-RcptTo: <a>\r\nX-RcptTo: <b>\r\nX-MailFrom: <>\r\n.\r\n\r\n..x\r\nQUIT\r\n\n.\n\r\r\n";
    assert_eq!(sink.take(), [kept(""), second.to_owned()]);
}

fn a_pipeline_in_one_write(backend: &str) {
    let sink = Sink::start(backend);
    assert_eq!(sink.replies(PIPELINE), REPLIES);
    check_the_pipeline(&sink);
    sink.stop();
}

fn a_pipeline_split_at_every_byte(backend: &str) {
    let sink = Sink::start(backend);
    let mut control = sink.control();
    for position in 1..PIPELINE.len() {
        let (first, second) = PIPELINE.split_at(position);
        let mut stream = sink.connect();
        stream.write_all(first.as_bytes()).unwrap();
        sink.settle(&mut control);
        stream.write_all(second.as_bytes()).unwrap();
        assert_eq!(codes(stream), REPLIES, "{first:?}");
        check_the_pipeline(&sink);
    }
    sink.stop();
}

fn a_pipeline_byte_by_byte(backend: &str) {
    let sink = Sink::start(backend);
    let mut control = sink.control();
    let mut stream = sink.connect();
    for byte in PIPELINE.bytes() {
        stream.write_all(&[byte]).unwrap();
        sink.settle(&mut control);
    }
    assert_eq!(codes(stream), REPLIES);
    check_the_pipeline(&sink);
    sink.stop();
}

fn an_empty_mail(backend: &str) {
    let sink = Sink::start(backend);
    assert_eq!(sink.replies(format!("{ENVELOPE}.\r\nQUIT\r\n")), format!("{TAKEN} 250 221"));
    assert_eq!(sink.take(), [kept("")]);
    // One empty line is another mail than none.
    assert_eq!(sink.replies(format!("{ENVELOPE}\r\n.\r\n")), format!("{TAKEN} 250"));
    assert_eq!(sink.take(), [kept("\r\n")]);
    sink.stop();
}

fn nothing_comes_after_quit(backend: &str) {
    let sink = Sink::start(backend);
    let after = format!("QUIT\r\nNONSENSE\r\n{ENVELOPE}x\r\n.\r\n");
    assert_eq!(sink.replies(after), "220 221");
    assert!(sink.take().is_empty());
    sink.stop();
}

/// What other servers were known to take for the end of a mail, so that a second one was smuggled
/// in behind it.
fn no_end_but_the_right_one(backend: &str) {
    let sink = Sink::start(backend);
    for (end, kept_as) in [
        ("\n.\n", "\n.\n"),
        ("\n.\r\n", "\n.\r\n"),
        ("\r.\r", "\r.\r"),
        ("\r.\r\n", "\r.\r\n"),
        ("\r\n\0.\r\n", "\r\n\0.\r\n"),
        ("\r\n .\r\n", "\r\n .\r\n"),
        ("\r\n. \r\n", "\r\n \r\n"),
        ("\r\n..\r\n", "\r\n.\r\n"),
        // A dot at the beginning of a line is never part of the mail, whatever comes after it.
        ("\r\n.\n", "\r\n\n"),
        ("\r\n.\r", "\r\n\r"),
        ("\r\n.\r\r\n", "\r\n\r\r\n"),
        ("\r\n.\n\r\n", "\r\n\n\r\n"),
    ] {
        let smuggled = "MAIL FROM:<evil>\r\nRCPT TO:<you>\r\nDATA\r\nevil\r\n";
        let replies = sink.replies(format!("{ENVELOPE}x{end}{smuggled}.\r\nNOOP\r\n"));
        assert_eq!(replies, format!("{TAKEN} 250 250"), "{end:?}");
        assert_eq!(sink.take(), [kept(&format!("x{kept_as}{smuggled}"))], "{end:?}");
    }
    sink.stop();
}

fn a_line_feed_ends_no_command(backend: &str) {
    let sink = Sink::start(backend);
    assert_eq!(sink.replies("EHLO me\r\nRSET\nRSET\r\n"), "220 250 500");
    assert_eq!(sink.replies("RSET\rRSET\r\nNOOP\n\n\r\r\n"), "220 500 500");
    sink.stop();
}

fn no_line_of_the_envelope_is_forged(backend: &str) {
    let sink = Sink::start(backend);
    for forged in ["<a\nX-Evil: b>", "<a\rX-Evil: b>", "<a\n>", "<\n>", "<a\0>", "<a\x0b>", "<a b>"]
    {
        let envelope = format!("EHLO me\r\nMAIL FROM:{forged}\r\nRCPT TO:{forged}\r\n");
        assert_eq!(sink.replies(envelope), "220 250 501 503", "{forged:?}");
        let envelope = format!("EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:{forged}\r\nDATA\r\n");
        assert_eq!(sink.replies(envelope), "220 250 250 501 503", "{forged:?}");
    }
    assert!(sink.take().is_empty());
    sink.stop();
}

fn a_command_that_is_too_long(backend: &str) {
    let sink = Sink::start(backend);
    let (just, more, most) = ("x".repeat(995), "x".repeat(996), "x".repeat(10 << 20));
    let input =
        format!("NOOP {just}\r\nNOOP {more}\r\nNOOP\r\n{most}\r\n{ENVELOPE}{most}\r\n.\r\n");
    // A line of a mail may have any length, before and after one that is a command.
    let input = format!("{input}NOOP {more}\r\n{ENVELOPE}.\r\nQUIT\r\n");
    let expected = "220 250 500 250 500 250 250 250 354 250 500 250 250 250 354 250 221";
    assert_eq!(sink.replies(input), expected);
    assert!(sink.take() == [kept(&format!("{most}\r\n")), kept("")]);
    // An address is shorter than a line.
    for (length, code) in [(254, "250"), (255, "501")] {
        let input = format!("EHLO me\r\nMAIL FROM:<{}>\r\n", "x".repeat(length));
        assert_eq!(sink.replies(input), format!("220 250 {code}"));
    }
    sink.stop();
}

fn too_many_errors(backend: &str) {
    let sink = Sink::start(backend);
    let errors = |count| "NONSENSE\r\n".repeat(count);
    let (some, all) = (errors(20), " 500".repeat(20));
    assert_eq!(sink.replies(format!("{some}NOOP\r\n")), format!("220{all} 250"));
    assert_eq!(sink.replies(errors(1000)), format!("220{all} 421"));
    // A mail makes good for them.
    let mail = format!("{ENVELOPE}.\r\n");
    let replies = &TAKEN[3..];
    assert_eq!(
        sink.replies(format!("{some}{mail}{some}NOOP\r\nNONSENSE\r\nNOOP\r\n")),
        format!("220{all}{replies} 250{all} 250 421")
    );
    assert_eq!(sink.take(), [kept("")]);
    sink.stop();
}

fn too_many_recipients(backend: &str) {
    let sink = Sink::start(backend);
    let recipients: Vec<_> = (0..130).map(|number| format!("<{number}@there>")).collect();
    let commands: String = recipients.iter().map(|to| format!("RCPT TO:{to}\r\n")).collect();
    let replies = sink.replies(format!("HELO me\r\nMAIL FROM:<me>\r\n{commands}DATA\r\n.\r\n"));
    let (taken, refused) = (" 250".repeat(100), " 452".repeat(30));
    assert_eq!(replies, format!("220 250 250{taken}{refused} 354 250"));
    let lines: String = recipients[..100].iter().map(|to| format!("X-RcptTo: {to}\r\n")).collect();
    assert_eq!(sink.take(), [format!("{lines}X-MailFrom: <me>\r\n")]);
    sink.stop();
}

fn a_client_that_vanishes(backend: &str) {
    let sink = Sink::start(backend);
    let mut control = sink.control();
    for (number, rest) in ["", "x", "x\r\n", "x\r\n.", "x\r\n.\r", &*"x".repeat(1 << 20)]
        .into_iter()
        .flat_map(|rest| [rest; 3])
        .enumerate()
    {
        let mut stream = sink.connect();
        stream.write_all(format!("{ENVELOPE}{rest}").as_bytes()).unwrap();
        sink.settle(&mut control);
        let files = sink.files();
        assert!(matches!(&files[..], [file] if is_unfinished(file)), "{files:?}");
        match number % 3 {
            0 => drop(stream),
            1 => reset(stream),
            _ => {
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(codes(stream), TAKEN);
            }
        }
        // What was sent is read to its end first, in several passes.
        for _ in 0..1000 {
            if sink.files().is_empty() {
                break;
            }
            sink.settle(&mut control);
        }
        assert!(sink.files().is_empty(), "{:?}", sink.files());
    }
    sink.stop();
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with('.')
}

fn a_client_that_reads_no_replies(backend: &str) {
    let sink = Sink::start(backend);
    let mut control = sink.control();
    let before = sink.server.program.most_memory();
    let mut stream = sink.connect();
    stream.set_nonblocking(true).unwrap();
    // Blocked for as long as the other one is served is blocked for good.
    let part = "HELP\r\n".repeat(10_000);
    let (mut written, mut refused) = (0, 0);
    while refused < 100 {
        match stream.write(&part.as_bytes()[written % part.len()..]) {
            Ok(count) => (written, refused) = (written + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refused += 1;
                sink.settle(&mut control);
            }
        }
        assert!(written < 256 << 20, "nothing stops it");
    }
    let grown = sink.server.program.most_memory() - before;
    assert!(grown < 2 << 20, "{grown} bytes");
    // It was only late: no reply is lost.
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(codes(stream), format!("220{}", " 214".repeat(written / 6)));
    sink.stop();
}

fn memory_is_bounded(backend: &str) {
    let sink = Sink::start(backend);
    let before = sink.server.program.most_memory();
    let long = "x".repeat(10 << 20) + "\r\n";
    let short = ".x\r\n".repeat((10 << 20) / 4);
    let unstuffed = "x\r\n".repeat((10 << 20) / 4);
    for (mail, expected) in [(&long, &long), (&short, &unstuffed)] {
        assert_eq!(sink.replies(format!("{ENVELOPE}{mail}.\r\n")), format!("{TAKEN} 250"));
        assert!(sink.take() == [kept(expected)]);
    }
    let grown = sink.server.program.most_memory() - before;
    assert!(grown < 1 << 20, "{grown} bytes");
    sink.stop();
}

fn a_directory_that_vanishes(backend: &str) {
    let Sink { server, directory } = Sink::start(backend);
    let path = directory.path().to_owned();
    let mut client = Client::connect(&server.address);
    client.expect("220 localhost ESMTP, and nothing goes any further\r\n");
    client.send("HELO me\r\nMAIL FROM:<me>\r\nRCPT TO:<you>\r\nDATA\r\n");
    let taken = "250 localhost\r\n250 OK\r\n250 OK\r\n";
    client.expect(&format!("{taken}354 Go on; a line with a dot ends it\r\n"));
    fs::remove_dir_all(&path).unwrap();
    // It is gone when the mail is to get its name, and when the next is to begin.
    client.send("x\r\n.\r\n");
    client.expect("451 The mail cannot be written\r\n");
    client.send("HELO me\r\nMAIL FROM:<me>\r\nRCPT TO:<you>\r\nDATA\r\n");
    client.expect(&format!("{taken}451 The mail cannot be written\r\n"));
    fs::create_dir(&path).unwrap();
    let sink = Sink { server, directory };
    assert_eq!(sink.replies(format!("{ENVELOPE}x\r\n.\r\n")), format!("{TAKEN} 250"));
    assert_eq!(sink.take(), [kept("x\r\n")]);
    sink.server.program.signal(Signal::SIGTERM);
    let finished = sink.server.program.finish().failed(0, &["smtp_sink", "No such file"]);
    assert_eq!(finished.stderr.lines().count(), 2, "{}", finished.stderr);
}

fn a_disk_that_is_full(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let program = example("smtp_sink", backend);
    // A limit on the size of files does what a full disk does: a write fails.
    let mut shell = command("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\""]);
    shell.arg(program.get_program()).args(program.get_args());
    shell.args(["127.0.0.1:0", "--dir"]).arg(directory.path());
    let sink = Sink { server: Server::of(&mut shell), directory };
    // 51200 bytes are exceeded in the middle, or by the end that was not worth a write before.
    let (large, fits) = ("x".repeat(1 << 20), "x".repeat(40_000));
    for mail in [&large, &(fits.clone() + &"\r\n".repeat(6000))] {
        let input = format!("{ENVELOPE}{mail}\r\n.\r\n{ENVELOPE}{fits}\r\n.\r\n");
        let expected = format!("{TAKEN} 451{} 250", &TAKEN[3..]);
        assert_eq!(sink.replies(input), expected);
        assert!(sink.take() == [kept(&format!("{fits}\r\n"))]);
    }
    sink.server.program.signal(Signal::SIGTERM);
    let finished = sink.server.program.finish().failed(0, &["smtp_sink", "too large"]);
    // Nothing more was written of a mail that cannot be kept.
    assert_eq!(finished.stderr.lines().count(), 2, "{}", finished.stderr);
}

fn over_a_unix_socket(backend: &str) {
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("socket");
    let sink = Sink::with(backend, &[path.to_str().unwrap()]);
    assert_eq!(sink.server.address, path.to_str().unwrap());
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(PIPELINE.as_bytes()).unwrap();
    assert_eq!(codes(stream), REPLIES);
    check_the_pipeline(&sink);
    sink.stop();
    assert!(!path.exists());
}

fn an_orderly_end_in_the_middle_of_a_mail(backend: &str) {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let sink = Sink::start(backend);
        let mut control = sink.control();
        let mut stream = sink.connect();
        stream.write_all(format!("{ENVELOPE}x\r\n").as_bytes()).unwrap();
        sink.settle(&mut control);
        assert_eq!(sink.files().len(), 1);
        sink.server.program.signal(signal);
        let Sink { server, directory } = sink;
        server.program.finish().succeeded();
        assert_eq!(codes(stream), TAKEN);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
