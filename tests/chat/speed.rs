//! The cost is linear in the input, whatever is looked for. Only the thread's own processor time is
//! looked at, and only for differences of a kind that nothing but a wrong algorithm makes.
#![cfg(target_os = "linux")]

use crate::common::{on_both_backends, reactor, time_spent};
use asyncore::{AsyncChat, Backend, Channel, Chat, ChatContext, Terminator};
use std::{io, io::Write, os::unix::net::UnixStream, time::Duration};

/// What is shorter than the kernel's clock can tell counts as this much.
const LEAST: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Count {
    bytes: usize,
    found: usize,
}

impl AsyncChat for Count {
    fn collect_incoming_data(
        &mut self,
        _: &mut ChatContext<'_, '_>,
        data: &[u8],
    ) -> io::Result<()> {
        self.bytes += data.len();
        Ok(())
    }

    fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.found += 1;
        Ok(())
    }
}

/// What it costs to hear `input` in parts of this size, and how often the terminator was found.
fn time<B: Backend + Default>(
    terminator: impl Into<Terminator>,
    input: &[u8],
    size: usize,
) -> (Duration, usize) {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let mut reactor = reactor::<B>();
    let mut chat = Chat::new(Count::default(), terminator);
    chat.set_input_limit(usize::MAX);
    let key = reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
    let start = time_spent();
    for part in input.chunks(size) {
        peer.write_all(part).unwrap();
        while reactor.poll(Some(Duration::ZERO)).unwrap() > 0 {}
    }
    (time_spent() - start, reactor.get(key).unwrap().found)
}

on_both_backends! {
    /// asynchat copies what it has read for each of them.
    fn many_short_lines<B>() {
        let (small, found) = time::<B>("\n", &b"x\n".repeat(256 << 10), 64 << 10);
        assert_eq!(found, 256 << 10);
        let (large, found) = time::<B>("\n", &b"x\n".repeat(2 << 20), 64 << 10);
        assert_eq!(found, 2 << 20);
        assert!(large < small.max(LEAST) * 8 * 4, "512 KiB: {small:?}, 4 MiB: {large:?}");
    }

    /// A search that begins anew behind each near miss compares 4096 times as much.
    fn a_long_terminator_that_is_nearly_there_all_the_time<B>() {
        let input = vec![b'a'; 4 << 20];
        let (short, _) = time::<B>(b"ab", &input, 64 << 10);
        let mut terminator = vec![b'a'; 8191];
        terminator.push(b'b');
        let (long, _) = time::<B>(terminator, &input, 64 << 10);
        assert!(long < short.max(LEAST) * 20, "2 bytes: {short:?}, 8192 bytes: {long:?}");
    }

    /// What is held is not searched again with each byte that comes.
    fn a_long_terminator_byte_by_byte<B>() {
        let mut terminator = vec![b'a'; 8191];
        terminator.push(b'b');
        let input = [&vec![b'a'; 3 * 8191][..], b"b"].concat();
        let (short, found) = time::<B>(b"ab", &input, 1);
        assert_eq!(found, 1);
        let (long, found) = time::<B>(terminator, &input, 1);
        assert_eq!(found, 1);
        assert!(long < short.max(LEAST) * 20, "2 bytes: {short:?}, 8192 bytes: {long:?}");
    }

    /// One long line in small parts.
    fn a_long_line<B>() {
        let (small, _) = time::<B>("\r\n", &vec![b'x'; 512 << 10], 100);
        let (large, _) = time::<B>("\r\n", &vec![b'x'; 4 << 20], 100);
        assert!(large < small.max(LEAST) * 8 * 4, "512 KiB: {small:?}, 4 MiB: {large:?}");
    }
}
