//! The client: asks for a file, is given its descriptor, and reads it.

use asyncore::{Backend, Channel, Context, Dispatcher, Family, Reactor, Type};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::{
    cell::RefCell,
    fs::File,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    rc::Rc,
};

/// Copies the file that the server calls `name` to standard output.
pub(crate) fn get<B: Backend>(
    mut reactor: Reactor<B>,
    socket: &Path,
    name: &str,
) -> io::Result<()> {
    let answer = Rc::new(RefCell::new(None));
    let channel = Channel::create_socket(Family::Unix, Type::Stream)?;
    channel.connect(socket)?;
    channel.push(format!("{name}\n").as_bytes())?;
    let request = Request { text: Vec::new(), file: None, answer: Rc::clone(&answer) };
    reactor.add_channel(channel, request)?;
    reactor.run()?;
    let file = answer.take().unwrap_or_else(|| Err(io::Error::other("no answer")))?;
    io::copy(&mut File::from(file), &mut io::stdout())?;
    Ok(())
}

struct Request {
    text: Vec<u8>,
    file: Option<OwnedFd>,
    answer: Rc<RefCell<Option<io::Result<OwnedFd>>>>,
}

impl Dispatcher for Request {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut bytes = [0; 256];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        // (A program that starts others wants CMSG_CLOEXEC here, where there is one.)
        let flags = RecvFlags::empty();
        let count = recvmsg(&**cx, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?.bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.file = files.into_iter().next().or(self.file.take());
            }
        }
        self.text.extend_from_slice(&bytes[..count]);
        if count == 0 || self.text.contains(&b'\n') {
            let answer = self.answer_that_came();
            self.answer.replace(Some(answer));
            // The channel has seen nothing of this, so the end is for us to tell.
            cx.close();
        }
        Ok(())
    }

    fn handle_close(&mut self, _: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        self.answer.replace(cause.map(Err));
        Ok(())
    }
}

impl Request {
    fn answer_that_came(&mut self) -> io::Result<OwnedFd> {
        match self.file.take() {
            Some(file) if self.text == b"ok\n" => Ok(file),
            _ => Err(io::Error::other(String::from_utf8_lossy(&self.text).trim_end().to_owned())),
        }
    }
}
