//! Rows B36 to B47: reading, and every way a connection ends.

use crate::common::{Log, Probe, on_both_backends, poll_until, reactor};
use asyncore::{Channel, Interest};
use std::{io::Write, os::unix::net::UnixStream};

on_both_backends! {
    fn b36_everything_is_read_before_a_hang_up_closes<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[b'x'; 60_000]).unwrap();
        drop(theirs);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(ours).unwrap(), Probe::new("a", &log)).unwrap();
        poll_until(&mut reactor, || log.contains("a.drop"));
        assert_eq!(log.bytes_read("a").len(), 60_000);
        let entries = log.take();
        assert_eq!(entries[entries.len() - 3..], ["a.eof", "a.close", "a.drop"]);
    }

    fn b36_everything_is_read_though_reading_was_paused<B>() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[b'x'; 60_000]).unwrap();
        drop(theirs);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log);
        let key = reactor.add_channel(Channel::new(ours).unwrap(), probe).unwrap();
        reactor.pause(key, Interest::READ);
        crate::common::assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
        reactor.resume(key, Interest::READ);
        poll_until(&mut reactor, || log.contains("a.drop"));
        assert_eq!(log.bytes_read("a").len(), 60_000);
        assert_eq!(log.count("a.close"), 1);
    }
}
