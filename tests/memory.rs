//! What a channel costs in memory: the bytes that are allocated and not freed.

mod common;

use allocation_counter::measure;
use asyncore::{Backend, Channel, Context, Dispatcher, Reactor, Scan};
use common::on_both_backends;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{io, os::unix::net::UnixStream, time::Duration};

const IDLE: usize = 10_000;

/// What an idle channel may take beside its dispatcher, in bytes.
const MOST: i64 = 200;

/// The same, with a timeout.
const MOST_WITH_TIMEOUT: i64 = 256;

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

/// The bytes that each of many idle channels takes in a reactor.
fn bytes_of_each<B: Backend + Default>(timeout: Option<Duration>) -> i64 {
    let builder = Reactor::builder().backend(B::default()).scan(Scan::Adaptive);
    let mut reactor = builder.build();
    // Copies of one end: what they are is asked here, and not counted.
    let (end, _open) = UnixStream::pair().unwrap();
    let copies = (0..IDLE).map(|_| Channel::new(end.try_clone().unwrap()).unwrap());
    let mut channels: Vec<_> = copies.collect();
    let info = measure(|| {
        for channel in channels.drain(..) {
            channel.set_timeout(timeout);
            reactor.add_channel(channel, Reader).unwrap();
        }
        for _ in 0..5 {
            assert_eq!(reactor.poll(Some(Duration::ZERO)).unwrap(), 0);
        }
        reactor.poll(Some(Duration::from_millis(1))).unwrap();
    });
    let each = info.bytes_current / IDLE as i64;
    assert!(each > 50, "it was not counted: {info:?}");
    each
}

/// Whether to go on: in a process of the test's own, which may have so many descriptors.
fn has_room() -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let room = hard >= IDLE as u64 + 100;
    if !room {
        eprintln!("skipped: no more than {hard} descriptors");
    }
    room && common::alone() && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok()
}

on_both_backends! {
    fn an_idle_channel_takes_no_more_than_it_may<B>() {
        if has_room() {
            let each = bytes_of_each::<B>(None);
            println!("{each} bytes each");
            assert!(each <= MOST, "{each} bytes each");
        }
    }

    fn nor_does_one_with_a_timeout<B>() {
        if has_room() {
            let each = bytes_of_each::<B>(Some(Duration::from_secs(3600)));
            println!("{each} bytes each");
            assert!(each <= MOST_WITH_TIMEOUT, "{each} bytes each");
        }
    }
}
