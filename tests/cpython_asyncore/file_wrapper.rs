//! `FileWrapperTest`: a wrapper has a duplicate of its own. Its `close_twice` is in `lost_numbers`.

use crate::common::{Log, Probe, on_both_backends, pass, reactor};
use asyncore::{Channel, FileWrapper, file_dispatcher};
use std::{
    fs::File,
    io::{self, Read, Write, pipe},
    os::fd::{AsFd, AsRawFd},
};
use tempfile::{NamedTempFile, TempPath};

const CONTENT: &[u8] = b"It's not dead, it's sleeping!";

fn file() -> TempPath {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(CONTENT).unwrap();
    file.into_temp_path()
}

/// A file, opened for reading.
fn opened() -> File {
    File::open(file()).unwrap()
}

#[test]
fn recv() {
    let original = opened();
    let mut wrapper = FileWrapper::new(&original).unwrap();
    assert_ne!(wrapper.as_fd().as_raw_fd(), original.as_raw_fd());
    drop(original);
    let mut bytes = [0; 13];
    wrapper.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"It's not dead");

    let channel = Channel::new(wrapper).unwrap();
    assert_eq!(channel.recv(&mut bytes[..6]).unwrap(), 6);
    assert_eq!(&bytes[..6], b", it's");
    channel.close();
    let error = channel.recv(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
}

#[test]
fn send() {
    let path = file();
    let original = File::options().append(true).open(&path).unwrap();
    let mut wrapper = FileWrapper::new(&original).unwrap();
    drop(original);
    wrapper.write_all(b"Come again?").unwrap();
    let channel = Channel::new(wrapper).unwrap();
    channel.push(b"I want to buy some cheese.").unwrap();
    drop(channel);
    let expected = [CONTENT, b"Come again?I want to buy some cheese."].concat();
    assert_eq!(std::fs::read(&path).unwrap(), expected);
}

/// Nobody has to close what is leaked: it ends with its owner, and with nobody else.
#[test]
fn resource_warning() {
    let (mut reader, writer) = pipe().unwrap();
    let wrapper = FileWrapper::new(&writer).unwrap();
    drop(writer);
    nonblocking(&reader);
    let error = reader.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "the wrapper holds it open");
    drop(wrapper);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

fn nonblocking(fd: impl AsFd) {
    // Of the open file, which the wrapper shares.
    drop(FileWrapper::new(fd).unwrap());
}

on_both_backends! {
    fn dispatcher<B>() {
        let original = opened();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = file_dispatcher(&original).unwrap();
        drop(original);
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), [format!("a.read {}", CONTENT.escape_ascii())]);
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
        assert!(reactor.is_empty());
    }
}
