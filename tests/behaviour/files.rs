//! Rows B74 to B76: pipes, files, terminals.

use crate::common::{
    Log, Probe, Silent, assert_quiet, is_cloexec, is_nonblocking, name_of, on_both_backends, pass,
    poll_until, reactor, read_available, run_out,
};
use asyncore::{Channel, Dispatcher, FileWrapper, Interest, file_dispatcher};
use nix::pty::openpty;
use std::{
    fs::{self, File},
    io::{self, PipeReader, PipeWriter, Read, Seek, SeekFrom, Write, pipe},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// More than a pipe holds.
const LOTS: usize = 1 << 20;

/// A pipe that can take nothing more.
fn full_pipe() -> (PipeReader, PipeWriter, usize) {
    let (reader, writer) = pipe().unwrap();
    let mut wrapper = FileWrapper::new(&writer).unwrap();
    let mut total = 0;
    while let Ok(count) = wrapper.write(&[b'.'; 4096]) {
        total += count;
    }
    (reader, writer, total)
}

on_both_backends! {
    fn b74_a_file_dispatcher_has_a_duplicate_that_does_not_block<B>() {
        let (reader, mut writer) = pipe().unwrap();
        let channel = file_dispatcher(&reader).unwrap();
        assert_ne!(channel.as_fd().as_raw_fd(), reader.as_raw_fd());
        assert!(is_nonblocking(&channel) && is_cloexec(&channel));
        let error = channel.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);

        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        writer.write_all(b"x").unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.read x"]);
        // The original outlives the channel.
        reactor.close_channel(key);
        writer.write_all(b"y").unwrap();
        let mut byte = [0];
        (&reader).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"y");
    }

    fn b74_the_channel_outlives_the_original<B>() {
        let (reader, mut writer) = pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = file_dispatcher(&reader).unwrap();
        drop(reader);
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        writer.write_all(b"x").unwrap();
        drop(writer);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.read x", "a.eof", "a.close", "a.drop"]);
    }

    fn b74_a_wrapper_reads_and_writes_and_becomes_a_channel<B>() {
        let (reader, writer) = pipe().unwrap();
        let mut wrapper = FileWrapper::new(&writer).unwrap();
        assert_ne!(wrapper.as_fd().as_raw_fd(), writer.as_raw_fd());
        assert!(is_nonblocking(&wrapper) && is_cloexec(&wrapper));
        wrapper.write_all(b"hello").unwrap();
        wrapper.flush().unwrap();
        let mut bytes = [0; 2];
        FileWrapper::new(&reader).unwrap().read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"he");
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let channel = Channel::new(FileWrapper::new(&reader).unwrap()).unwrap();
        reactor.add_channel(channel, Probe::new("a", &log)).unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.read llo"]);
    }

    /// Empty is not ended.
    fn b75_a_pipe_that_was_read_before_the_default_is_asked_lives_on<B>() {
        let (reader, mut writer) = pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).on("read", |cx| {
            cx.recv(&mut [0; 64])?;
            Silent.handle_read(cx)
        });
        let key = reactor.add_channel(Channel::new(reader).unwrap(), probe).unwrap();
        writer.write_all(b"x").unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.read"]);
        // Nobody handles it, so it is no longer watched for until it is taken up again.
        reactor.resume(key, Interest::READ);
        drop(writer);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.read", "a.close", "a.drop"]);
    }

    fn b75_the_end_of_a_pipe_is_read_and_closes_once<B>() {
        let (reader, writer) = pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true);
        reactor.add_channel(Channel::new(reader).unwrap(), probe).unwrap();
        assert_quiet(&mut reactor);
        drop(writer);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn b75_what_is_in_the_pipe_is_read_before_its_end<B>() {
        let (reader, writer, size) = full_pipe();
        drop(writer);
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(reader).unwrap(), Probe::new("a", &log)).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.bytes_read("a").len(), size);
        let entries = log.take();
        assert_eq!(entries[entries.len() - 3..], ["a.eof", "a.close", "a.drop"]);
    }

    fn b75_the_end_of_a_pipe_waits_while_reading_is_not_wanted<B>() {
        let (reader, writer) = pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false);
        let key = reactor.add_channel(Channel::new(reader).unwrap(), probe).unwrap();
        drop(writer);
        assert_quiet(&mut reactor);
        reactor.get_mut(key).unwrap().readable = true;
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
    }

    fn b75_an_idle_writer_hears_of_a_broken_pipe_once<B>() {
        let (reader, writer) = pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(writer).unwrap(), Probe::new("a", &log)).unwrap();
        assert_quiet(&mut reactor);
        drop(reader);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.close EPIPE", "a.drop"]);
    }

    fn b75_a_busy_writer_hears_of_a_broken_pipe_once<B>() {
        for readable in [false, true] {
            let (reader, writer) = pipe().unwrap();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log).readable(readable).writable(true);
            let probe = probe.on("write", |cx| cx.send(b"x").map(drop));
            reactor.add_channel(Channel::new(writer).unwrap(), probe).unwrap();
            pass(&mut reactor);
            assert_eq!(log.take(), ["a.write"]);
            drop(reader);
            run_out(&mut reactor);
            let written: &[_] = if readable { &[] } else { &["a.write"] };
            assert_eq!(log.take(), [written, &["a.close EPIPE", "a.drop"]].concat());
        }
    }

    fn b75_a_writer_with_a_queue_hears_of_a_broken_pipe_once<B>() {
        for readable in [false, true] {
            let (reader, writer, _) = full_pipe();
            let (log, mut reactor) = (Log::default(), reactor::<B>());
            let probe = Probe::new("a", &log).readable(readable);
            let key = reactor.add_channel(Channel::new(writer).unwrap(), probe).unwrap();
            reactor.channel(key).unwrap().push(b"queued").unwrap();
            assert_quiet(&mut reactor);
            drop(reader);
            run_out(&mut reactor);
            assert_eq!(log.take(), ["a.close EPIPE", "a.drop"]);
        }
    }

    fn b75_a_writer_that_wants_nothing_hears_nothing<B>() {
        let (reader, writer) = pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).readable(false);
        reactor.add_channel(Channel::new(writer).unwrap(), probe).unwrap();
        drop(reader);
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
    }

    fn b75_both_ends_of_a_pipe_in_one_reactor<B>() {
        let (reader, writer) = pipe().unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(reader).unwrap(), Probe::new("r", &log)).unwrap();
        let probe = Probe::new("w", &log);
        let key = reactor.add_channel(Channel::new(writer).unwrap(), probe).unwrap();
        reactor.channel(key).unwrap().push(&vec![b'x'; LOTS]).unwrap();
        reactor.channel(key).unwrap().close_when_sent();
        run_out(&mut reactor);
        assert_eq!(log.bytes_read("r").len(), LOTS);
        let entries = log.take();
        let (reads, rest): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.starts_with("r.read"));
        assert!(reads.len() >= LOTS / 4096);
        assert_eq!(rest, ["w.close", "w.drop", "r.eof", "r.close", "r.drop"]);
    }

    fn b75_a_fifo_opened_for_both_is_read_and_written<B>() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let fifo = File::options().read(true).write(true).open(path).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key =
            reactor.add_channel(Channel::new(fifo).unwrap(), Probe::new("a", &log)).unwrap();
        reactor.channel(key).unwrap().push(b"x").unwrap();
        pass(&mut reactor);
        assert_eq!(log.take(), ["a.read x"]);
        assert_quiet(&mut reactor);
    }

    fn b76_a_regular_file_is_always_ready_to_be_read<B>() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'x'; 10_000]).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(file).unwrap(), Probe::new("a", &log)).unwrap();
        for length in [4096, 4096, 1808] {
            assert_eq!(pass(&mut reactor), 1);
            assert_eq!(log.take(), [format!("a.read {}", "x".repeat(length))]);
        }
        assert_eq!(pass(&mut reactor), 1);
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);
        assert!(reactor.is_empty());
    }

    fn b76_a_regular_file_is_always_ready_to_be_written<B>() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create(&path).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let probe = Probe::new("a", &log).writable(true);
        let probe = probe.on("write", |cx| cx.send(b"line\n").map(drop));
        let key = reactor.add_channel(Channel::new(file).unwrap(), probe).unwrap();
        for _ in 0..3 {
            assert_eq!(pass(&mut reactor), 1);
            assert_eq!(log.take(), ["a.write"]);
        }
        reactor.channel(key).unwrap().push(&vec![b'x'; LOTS]).unwrap();
        reactor.channel(key).unwrap().close_when_sent();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.close", "a.drop"]);
        let content = fs::read(path).unwrap();
        assert_eq!(&content[..15], b"line\nline\nline\n");
        assert_eq!(content.len(), 15 + LOTS);
    }

    fn b76_dev_null_is_at_its_end_and_takes_everything<B>() {
        let open = || File::options().read(true).write(true).open("/dev/null").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        reactor.add_channel(Channel::new(open()).unwrap(), Probe::new("a", &log)).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.eof", "a.close", "a.drop"]);

        let probe = Probe::new("a", &log).readable(false).writable(true);
        let probe = probe.on("write", |cx| cx.push(&[0; 100_000]));
        let key = reactor.add_channel(Channel::new(open()).unwrap(), probe).unwrap();
        for _ in 0..3 {
            assert_eq!(pass(&mut reactor), 1);
            assert_eq!(log.take(), ["a.write"]);
            assert_eq!(reactor.channel(key).unwrap().queued(), 0);
        }
    }

    fn b76_a_file_that_is_opened_for_one_direction_is_watched_for_that_alone<B>() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let writer = Channel::new(File::create(&path).unwrap()).unwrap();
        reactor.add_channel(writer, Probe::new("w", &log)).unwrap();
        assert_quiet(&mut reactor);
        let reader = Channel::new(File::open(&path).unwrap()).unwrap();
        let probe = Probe::new("r", &log).readable(false).writable(true);
        reactor.add_channel(reader, probe).unwrap();
        assert_quiet(&mut reactor);
        assert_eq!(log.take(), [""; 0]);
    }

    fn b76_a_file_in_the_wrong_direction_is_an_error_and_still_our_own<B>() {
        let file = File::open("/dev/null").unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let seen = log.clone();
        let probe = Probe::new("a", &log).keep_on_error().on("read", move |cx| {
            seen.push(name_of(&cx.send(b"x").unwrap_err()));
            assert_eq!(cx.recv(&mut [0; 8])?, 0);
            Ok(())
        });
        reactor.add_channel(Channel::new(file).unwrap(), probe).unwrap();
        run_out(&mut reactor);
        assert_eq!(log.take(), ["a.read", "EBADF", "a.close", "a.drop"]);
    }

    #[cfg(target_os = "linux")]
    fn b76_a_terminal_whose_slave_has_closed_is_at_its_end<B>() {
        let pty = openpty(None, None).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let master = Channel::new(pty.master).unwrap();
        let key = reactor.add_channel(master, Probe::new("a", &log)).unwrap();
        assert_quiet(&mut reactor);
        let mut slave = File::from(pty.slave);
        slave.write_all(b"hello").unwrap();
        drop(slave);
        poll_until(&mut reactor, || log.contains("a.drop"));
        assert_eq!(log.take(), ["a.read hello", "a.eof", "a.close", "a.drop"]);
        assert!(!reactor.close_channel(key));
    }

    #[cfg(target_os = "linux")]
    fn b76_a_terminal_talks_both_ways<B>() {
        let pty = openpty(None, None).unwrap();
        let slave: OwnedFd = pty.slave;
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let key = reactor.add_channel(Channel::new(pty.master).unwrap(), Probe::new("m", &log));
        let key = key.unwrap();
        let probe = Probe::new("s", &log);
        reactor.add_channel(Channel::new(slave).unwrap(), probe).unwrap();
        reactor.channel(key).unwrap().push(b"typed\n").unwrap();
        poll_until(&mut reactor, || log.contains(r"s.read typed\n"));
        // The terminal echoes.
        poll_until(&mut reactor, || log.bytes_read("m") == r"typed\r\n");
        log.take();
        assert_quiet(&mut reactor);
        reactor.close_channel(key);
        run_out(&mut reactor);
        assert_eq!(log.take(), ["m.drop", "s.eof", "s.close", "s.drop"]);
    }

    fn b76_reading_a_terminal_is_paused_like_anything_else<B>() {
        let pty = openpty(None, None).unwrap();
        let (log, mut reactor) = (Log::default(), reactor::<B>());
        let master = Channel::new(pty.master).unwrap();
        let key = reactor.add_channel(master, Probe::new("a", &log)).unwrap();
        reactor.pause(key, Interest::READ);
        let mut slave = File::from(pty.slave);
        slave.write_all(b"hello").unwrap();
        assert_quiet(&mut reactor);
        reactor.resume(key, Interest::READ);
        poll_until(&mut reactor, || log.contains("a.read hello"));
        let mut nothing = Vec::new();
        let slave = FileWrapper::new(&slave).unwrap();
        assert!(!read_available(slave, &mut nothing) && nothing.is_empty());
    }
}
