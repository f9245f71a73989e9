//! asynchat: input that is cut at terminators, and producers.

#[path = "../common/mod.rs"]
mod common;

use asyncore::{AsyncChat, Channel, Chat, ChatContext, FileProducer, SimpleProducer};
use common::{on_both_backends, reactor, run_out};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
};

on_both_backends! {
    fn a_server_of_lines<B>() {
        struct Lines;
        impl AsyncChat for Lines {
            fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
                let line = cx.take_data();
                cx.push(b"<")?;
                cx.push_with_producer(SimpleProducer::with_piece(line, 2))?;
                cx.push_with_producer(FileProducer::new(b">".as_slice()))
            }
            fn handle_eof(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
                let tail = cx.take_data();
                cx.push(&tail)
            }
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut reactor = reactor::<B>();
        reactor.add_channel(Channel::new(ours).unwrap(), Chat::new(Lines, "\r\n")).unwrap();
        theirs.write_all(b"hello\r\n\r\nworld\r\nrest\r").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        run_out(&mut reactor);
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "<hello><><world>rest\r");
    }
}
