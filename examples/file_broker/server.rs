//! The server: who connects is asked of the kernel, and files go out beside the bytes.
//!
//! A client sends the names of files, a line each. The answer to each is `ok` and the descriptor,
//! or `error: ` and why not.

use crate::common;
use asyncore::{Address, Backend, Channel, Context, Dispatcher, Family, Reactor, Type};
use nix::{
    fcntl::{OFlag, open, openat},
    sys::stat::{Mode, SFlag, fstat},
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::{
    fs,
    io::{self, IoSlice, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
    rc::Rc,
};

/// Serves the files of `dir` until a signal comes.
pub(crate) fn hand_out<B: Backend>(
    reactor: Reactor<B>,
    socket: &Path,
    dir: &Path,
    users: &[u32],
) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = open(dir, flags, Mode::empty()).map_err(|errno| {
        io::Error::new(
            io::Error::from(errno).kind(),
            format!("{}: {}", dir.display(), errno.desc()),
        )
    })?;
    let users = match users {
        [] => vec![nix::unistd::geteuid().as_raw()],
        users => users.to_vec(),
    };
    let listener = Channel::create_socket(Family::Unix, Type::Stream)?;
    listener.bind(socket)?;
    // Anybody may knock: the kernel tells who it is, and that decides.
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666))?;
    listener.listen(128)?;
    common::run_until_signal(reactor, listener, Broker { dir: Rc::new(dir), users })
}

struct Broker {
    dir: Rc<OwnedFd>,
    users: Vec<u32>,
}

impl Dispatcher for Broker {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        // This client is lost, and the others are served.
        if let Err(error) = self.welcome(cx, channel) {
            log(&format!("a client is lost: {error}"));
        }
        Ok(())
    }
}

impl Broker {
    fn welcome(&self, cx: &mut Context<'_>, channel: Channel) -> io::Result<()> {
        let (user, who) = peer(&channel)?;
        if self.users.contains(&user) {
            log(&format!("{who} is served"));
        } else {
            log(&format!("{who} is not served"));
            channel.push(b"error: you are not served\n")?;
            channel.close_when_sent();
        }
        cx.add_channel(channel, Client::new(Rc::clone(&self.dir), who)).map(drop)
    }
}

/// Who is at the other end of a Unix socket: the user's number, and a text with all that is known.
///
/// It is who connected. A descriptor may have been passed on since.
#[cfg(target_os = "linux")]
fn peer(channel: &Channel) -> io::Result<(u32, String)> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    let peer = getsockopt(channel, PeerCredentials)?;
    let who = format!("process {} of user {} and group {}", peer.pid(), peer.uid(), peer.gid());
    Ok((peer.uid(), who))
}

#[cfg(not(target_os = "linux"))]
fn peer(channel: &Channel) -> io::Result<(u32, String)> {
    let (user, group) = nix::unistd::getpeereid(channel)?;
    Ok((user.as_raw(), format!("a process of user {user} and group {group}")))
}

/// Nobody may be reading it; the server goes on.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// No file has a longer one.
const LONGEST_NAME: usize = 255;

struct Client {
    dir: Rc<OwnedFd>,
    who: String,
    /// What is read and not answered.
    input: Vec<u8>,
    answer: Option<Answer>,
}

/// What is on its way to the client: no more than one at a time, so that a client that does not
/// read its answers keeps no more than one file open here.
struct Answer {
    text: Vec<u8>,
    file: Option<OwnedFd>,
}

impl Dispatcher for Client {
    /// The end of the input, too, is read only after all that came before it is answered.
    fn readable(&self, _: &Channel) -> bool {
        self.answer.is_none()
    }

    fn writable(&self, _: &Channel) -> bool {
        self.answer.is_some()
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; LONGEST_NAME + 1];
        let count = cx.recv(&mut buffer)?;
        self.input.extend_from_slice(&buffer[..count]);
        self.go_on(cx)
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.go_on(cx)
    }
}

impl Client {
    fn new(dir: Rc<OwnedFd>, who: String) -> Self {
        Self { dir, who, input: Vec::new(), answer: None }
    }

    /// Sends and makes answers, as far as the socket takes them and names have come.
    fn go_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            if let Some(answer) = &mut self.answer {
                answer.send(cx)?;
                self.answer.take_if(|answer| answer.text.is_empty());
            } else if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                self.answer = Some(self.answer_to(&line[..end]));
            } else if self.input.len() > LONGEST_NAME {
                cx.push(b"error: the name is too long\n")?;
                cx.close_when_sent();
                return Ok(());
            } else {
                return Ok(());
            }
        }
    }

    fn answer_to(&self, name: &[u8]) -> Answer {
        let result = self.open(name);
        let name = name.escape_ascii();
        match result {
            Ok(file) => {
                log(&format!("{}: {name}", self.who));
                Answer { text: b"ok\n".into(), file: Some(file) }
            }
            Err(error) => {
                log(&format!("{}: {name}: {error}", self.who));
                Answer { text: format!("error: {error}\n").into_bytes(), file: None }
            }
        }
    }

    /// Opens a regular file of the directory, and nothing that is elsewhere: no path, no link.
    fn open(&self, name: &[u8]) -> io::Result<OwnedFd> {
        if name.contains(&b'/') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name but a path"));
        }
        // Non-blocking, because opening a named pipe would wait for its writer.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&*self.dir, name, flags, Mode::empty())?;
        let kind = SFlag::from_bits_truncate(fstat(&file)?.st_mode) & SFlag::S_IFMT;
        if kind != SFlag::S_IFREG {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(file)
    }
}

impl Answer {
    /// Sends what the socket takes. The file goes with the first byte.
    ///
    /// A channel has no call for it, and is a descriptor that can be used for any: nothing is ever
    /// pushed before it, which it would overtake.
    fn send(&mut self, channel: &Channel) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let file = self.file.as_ref().map(|file| [file.as_fd()]);
        if let Some(file) = &file {
            control.push(SendAncillaryMessage::ScmRights(file));
        }
        // A connection that broke is an error: Rust's programs ignore SIGPIPE.
        let sent = sendmsg(channel, &[IoSlice::new(&self.text)], &mut control, SendFlags::empty())?;
        self.file = None;
        self.text.drain(..sent);
        Ok(())
    }
}
