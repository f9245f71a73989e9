//! Back-pressure: what was read is cut to its end, and nothing more is read.

use crate::{common::on_both_backends, recorder::talk};
use asyncore::Interest;
use std::io::Write;

on_both_backends! {
    fn a_pause_holds_from_the_next_read_on<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            recorder.on("found", |cx| {
                cx.pause(Interest::READ);
                Ok(())
            })
        });
        talk.say("a\nb\nc");
        assert_eq!(talk.calls(), ["data a", "found", "data b", "found", "data c"]);
        talk.say("d\n");
        assert_eq!(talk.calls(), [""; 0]);
        talk.channel().resume(Interest::READ);
        talk.settle();
        assert_eq!(talk.calls(), ["data d", "found"]);
    }

    fn what_readable_says_holds_from_the_next_read_on<B>() {
        let mut talk = talk::<B>("\n", |recorder| recorder);
        talk.say("a\n");
        talk.chat().readable = false;
        talk.say("b\n");
        crate::common::assert_quiet(&mut talk.reactor);
        talk.chat().readable = true;
        talk.settle();
        assert_eq!(talk.calls(), ["data a", "found", "data b", "found"]);
    }

    /// A peer that sends and never reads is not read from for ever.
    fn answers_that_nobody_reads_stop_the_questions<B>() {
        let mut talk = talk::<B>("\n", |recorder| {
            recorder.on("found", |cx| {
                cx.push(&[b'.'; 4096])?;
                if cx.has_output() {
                    cx.pause(Interest::READ);
                }
                Ok(())
            })
        });
        talk.peer.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while talk.peer.write_all(b"question\n").is_ok() {
            sent += 1;
            talk.settle();
        }
        assert!(sent > talk.log.count("found"));
        // One read's worth of questions may be answered, and no more.
        assert!(talk.channel().queued() <= 16 << 20);
        assert!(talk.channel().has_output());
    }

    /// An idle chat is not asked to write: asynchat's `writable`.
    fn it_writes_only_what_was_pushed<B>() {
        let mut talk = talk::<B>("\n", |recorder| recorder);
        crate::common::assert_quiet(&mut talk.reactor);
        talk.channel().push(&vec![b'.'; 1 << 20]).unwrap();
        crate::common::assert_quiet(&mut talk.reactor);
        talk.peer.flush().unwrap();
        assert_eq!(talk.calls(), [""; 0]);
    }
}
