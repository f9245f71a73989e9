//! What a channel costs in memory: the bytes that are allocated and not freed.

mod common;

use allocation_counter::measure;
use asyncore::{Channel, Context, Dispatcher, Reactor, Scan};
use common::on_both_backends;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{io, os::unix::net::UnixStream, time::Duration};

const IDLE: usize = 10_000;

/// What an idle channel may take beside its dispatcher, in bytes.
const MOST: i64 = 200;

/// Nothing is allocated for it.
struct Reader;

impl Dispatcher for Reader {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.recv(&mut [0; 8]).map(drop)
    }
}

on_both_backends! {
    fn an_idle_channel_takes_no_more_than_it_may<B>() {
        if !common::alone() {
            return;
        }
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        if hard < IDLE as u64 + 100 {
            eprintln!("skipped: no more than {hard} descriptors");
            return;
        }
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let builder = Reactor::builder().backend(B::default()).scan(Scan::Adaptive);
        let mut reactor = builder.build();
        // Copies of one end: what they are is asked here, and not counted.
        let (end, _open) = UnixStream::pair().unwrap();
        let copies = (0..IDLE).map(|_| Channel::new(end.try_clone().unwrap()).unwrap());
        let mut channels: Vec<_> = copies.collect();
        let info = measure(|| {
            for channel in channels.drain(..) {
                reactor.add_channel(channel, Reader).unwrap();
            }
            for _ in 0..5 {
                assert_eq!(reactor.poll(Some(Duration::ZERO)).unwrap(), 0);
            }
        });
        let each = info.bytes_current / IDLE as i64;
        assert!(each <= MOST, "{each} bytes each: {info:?}");
        assert!(each > 50, "it was not counted: {info:?}");
    }
}
