//! The file broker: who connects, and the open files that it hands out.

use crate::{
    echo_server::Server,
    process::{Finished, PATIENCE, Program, example, example_program, noise},
    trials::{Test, tests},
};
use nix::{sys::stat::Mode, unistd::mkfifo};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::{
    fs::{self, File, Permissions},
    io::{ErrorKind, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::Shutdown,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixStream,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

pub(crate) const TESTS: &[Test] = tests![
    a_file_for_its_own_client,
    a_file_for_cpython needs(PYTHON, PROC),
    a_file_for_who_may_not_open_it needs(ROOT),
    who_is_not_served,
    clients_that_are_gone_before_they_are_accepted,
    nothing_but_regular_files_of_the_directory,
    names_of_every_length,
    a_name_byte_by_byte,
    many_names_at_once needs(PROC),
    a_client_that_reads_no_answers needs(PROC),
];

struct Broker {
    server: Server,
    directory: TempDir,
}

impl Broker {
    #[track_caller]
    fn start(backend: &str) -> Self {
        Self::with(backend, &[])
    }

    #[track_caller]
    fn with(backend: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("files")).unwrap();
        let mut command = example("file_broker", backend);
        command.arg(directory.path().join("socket")).args(options);
        let server = Server::of(command.arg("--dir").arg(directory.path().join("files")));
        Self { server, directory }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("files").join(name)
    }

    fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }

    #[track_caller]
    fn stop(self) {
        self.server.stop();
        assert!(fs::exists(self.directory.path().join("files")).unwrap());
    }
}

struct Client(UnixStream);

impl Client {
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// The next answer, and the file that came with it; an empty one is the end.
    fn answer(&mut self) -> (String, Option<File>) {
        let mut bytes = [0; 200];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let buffers = &mut [IoSliceMut::new(&mut bytes)];
        let count = recvmsg(&self.0, buffers, &mut control, RecvFlags::empty()).unwrap().bytes;
        let mut files = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                files.extend(more.map(File::from));
            }
        }
        assert!(files.len() < 2);
        (String::from_utf8(bytes[..count].to_vec()).unwrap(), files.pop())
    }

    #[track_caller]
    fn refused(&mut self, name: impl AsRef<[u8]>, why: &str) {
        self.send([name.as_ref(), b"\n"].concat());
        let (text, file) = self.answer();
        assert!(text.starts_with("error: ") && text.contains(why) && file.is_none(), "{text}");
    }

    #[track_caller]
    fn given(&mut self) -> String {
        let (text, file) = self.answer();
        assert_eq!(text, "ok\n");
        let mut content = String::new();
        file.unwrap().read_to_string(&mut content).unwrap();
        content
    }
}

fn get(backend: &str, socket: &Path, name: &str) -> Finished {
    Program::run(example("file_broker", backend).arg(socket).args(["--get", name]))
}

fn a_file_for_its_own_client(backend: &str) {
    let broker = Broker::start(backend);
    let content = noise(3_000_000);
    fs::write(broker.file("large"), &content).unwrap();
    fs::write(broker.file("empty"), "").unwrap();
    assert!(get(backend, &broker.socket(), "large").succeeded().stdout == content);
    assert_eq!(get(backend, &broker.socket(), "empty").succeeded().stdout, b"");
    let finished = get(backend, &broker.socket(), "other").failed(1, &["error: No such file"]);
    assert_eq!(finished.stdout, b"");
    broker.stop();
}

fn a_file_for_cpython(backend: &str) {
    let mut broker = Broker::start(backend);
    fs::write(broker.file("file"), noise(100_000)).unwrap();
    let path = broker.file("file");
    let who = broker.server.serve("file_broker_client", &["file", path.to_str().unwrap()]).stdout;
    let who = String::from_utf8(who).unwrap();
    let [process, user, group] = *who.split_whitespace().collect::<Vec<_>>() else {
        panic!("{who}")
    };
    let program = &mut broker.server.program;
    let who = if cfg!(target_os = "linux") {
        format!("process {process} of user {user} and group {group}")
    } else {
        format!("a process of user {user} and group {group}")
    };
    assert_eq!(program.line(), format!("{who} is served"));
    assert_eq!(program.line(), format!("{who}: file"));
    broker.stop();
}

fn a_file_for_who_may_not_open_it(backend: &str) {
    const NOBODY: u32 = 65_534;
    let broker = Broker::with(backend, &["--uid", &NOBODY.to_string()]);
    let path = broker.file("secret");
    fs::write(&path, "secret").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(broker.directory.path(), Permissions::from_mode(0o755)).unwrap();
    // Where it was built may be closed to others.
    let program = broker.directory.path().join("program");
    fs::copy(example_program("file_broker"), &program).unwrap();

    let cat = Program::run(Command::new("cat").arg(&path).uid(NOBODY).gid(NOBODY));
    cat.failed(1, &["ermission denied"]);
    let mut client = Command::new(program);
    client.args(["--backend", backend]).arg(broker.socket()).args(["--get", "secret"]);
    client.stdout(std::process::Stdio::piped()).uid(NOBODY).gid(NOBODY);
    assert_eq!(Program::run(&mut client).succeeded().stdout, b"secret");
    // Only those are served that are named.
    get(backend, &broker.socket(), "secret").failed(1, &["you are not served"]);
    broker.stop();
}

fn who_is_not_served(backend: &str) {
    let nobody = nix::unistd::geteuid().as_raw() + 1;
    let mut broker = Broker::with(backend, &["--uid", &nobody.to_string()]);
    fs::write(broker.file("file"), "content").unwrap();
    let finished = get(backend, &broker.socket(), "file");
    assert_eq!(finished.failed(1, &["error: you are not served"]).stdout, b"");
    let line = broker.server.program.line();
    assert!(line.ends_with(" is not served"), "{line}");
    let mut client = broker.connect();
    assert_eq!(client.answer().0, "error: you are not served\n");
    assert_eq!(client.answer().0, "");
    broker.stop();
}

fn clients_that_are_gone_before_they_are_accepted(backend: &str) {
    let own = nix::unistd::geteuid().as_raw();
    for user in [own, own + 1] {
        let broker = Broker::with(backend, &["--uid", &user.to_string()]);
        broker.server.program.while_stopped(|| {
            for _ in 0..20 {
                drop(broker.connect());
            }
        });
        let answer = if user == own { "error: " } else { "error: you are not served\n" };
        let mut client = broker.connect();
        let _ = client.0.write_all(b"file\n");
        assert!(client.answer().0.starts_with(answer));
        broker.stop();
    }
}

fn nothing_but_regular_files_of_the_directory(backend: &str) {
    let broker = Broker::start(backend);
    fs::write(broker.directory.path().join("outside"), "x").unwrap();
    symlink("../outside", broker.file("link")).unwrap();
    fs::create_dir(broker.file("directory")).unwrap();
    fs::write(broker.file("directory/inside"), "x").unwrap();
    mkfifo(&broker.file("pipe"), Mode::S_IRWXU).unwrap();
    fs::write(broker.file("file"), "content").unwrap();
    let mut client = broker.connect();
    client.refused("", "No such file");
    client.refused("other", "No such file");
    client.refused("link", "symbolic links");
    client.refused("directory/inside", "path");
    client.refused("../outside", "path");
    client.refused("/etc/passwd", "path");
    client.refused("fi\0le", "nvalid");
    for name in [".", "..", "directory", "pipe"] {
        client.refused(name, "not a regular file");
    }
    client.send("file\n");
    assert_eq!(client.given(), "content");
    broker.stop();
}

fn names_of_every_length(backend: &str) {
    let broker = Broker::start(backend);
    for length in [1, 2, 100, 254, 255] {
        let name = "n".repeat(length);
        fs::write(broker.file(&name), &name).unwrap();
        let mut client = broker.connect();
        client.send(format!("{name}\n"));
        assert_eq!(client.given(), name);
    }
    for length in [256, 257, 5000] {
        let mut client = broker.connect();
        client.send("n".repeat(length));
        assert_eq!(client.answer().0, "error: the name is too long\n");
        // Without a reset: nothing of what was sent is left unread.
        assert_eq!(client.answer().0, "");
    }
    broker.stop();
}

fn a_name_byte_by_byte(backend: &str) {
    let broker = Broker::start(backend);
    fs::write(broker.file("file"), "content").unwrap();
    let (mut slow, mut other) = (broker.connect(), broker.connect());
    for byte in b"file\nfile" {
        slow.send([*byte]);
        // The server has been through its loop.
        other.refused("other", "No such file");
    }
    assert_eq!(slow.given(), "content");
    slow.send("\n");
    assert_eq!(slow.given(), "content");
    broker.stop();
}

fn many_names_at_once(backend: &str) {
    const COUNT: usize = 500;
    let broker = Broker::start(backend);
    fs::write(broker.file("file"), "content").unwrap();
    let mut other = broker.connect();
    other.refused("other", "No such file");
    let base = broker.server.descriptors().len();
    let mut client = broker.connect();
    client.send("file\n".repeat(COUNT));
    client.0.shutdown(Shutdown::Write).unwrap();
    for _ in 0..COUNT {
        assert_eq!(client.given(), "content");
    }
    assert_eq!(client.answer().0, "");
    other.refused("other", "No such file");
    assert_eq!(broker.server.descriptors().len(), base);
    broker.stop();
}

fn a_client_that_reads_no_answers(backend: &str) {
    let broker = Broker::start(backend);
    fs::write(broker.file("file"), "content").unwrap();
    let (mut deaf, mut other) = (broker.connect(), broker.connect());
    other.refused("other", "No such file");
    let base = broker.server.descriptors().len();
    deaf.0.set_nonblocking(true).unwrap();
    let (mut sent, mut refused) = (0, 0);
    // Blocked for as long as the other one is served is blocked for good.
    while refused < 20 {
        assert!(sent < 64 << 20, "it takes without end");
        match deaf.0.write(&b"file\n".repeat(100)) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refused += 1;
                other.refused("other", "No such file");
            }
        }
    }
    assert_eq!(broker.server.descriptors().len(), base + 1);
    // It was only late.
    deaf.0.set_nonblocking(false).unwrap();
    deaf.0.shutdown(Shutdown::Write).unwrap();
    for _ in 0..sent / 5 {
        assert_eq!(deaf.given(), "content");
    }
    broker.stop();
}
