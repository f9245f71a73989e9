//! The intent of CPython's own test_asynchat.py, in our words: what each of its tests wants to make
//! sure of, under its name, on IPv4, IPv6 and Unix sockets and on both backends.

mod common;

use asyncore::{
    Address, AsyncChat, Backend, Channel, Chat, ChatContext, Context, Dispatcher, Family, Key,
    Reactor, SimpleProducer, Terminator, Type,
};
use common::{PATIENCE, families::on_every_family, reactor, run_out, wait_for};
use nix::poll::PollFlags;
use std::{
    cell::RefCell,
    io::{self, Read, Write},
    net::TcpListener,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    rc::Rc,
    sync::mpsc,
    thread::{self, JoinHandle},
};

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A listener of the family; the path of a Unix one goes with it.
enum Listener {
    Inet(TcpListener),
    Unix(UnixListener, tempfile::TempDir),
}

impl Listener {
    fn new(family: Family) -> Self {
        match family {
            Family::Inet => Self::Inet(TcpListener::bind("127.0.0.1:0").unwrap()),
            Family::Inet6 => Self::Inet(TcpListener::bind("[::1]:0").unwrap()),
            Family::Unix => {
                let directory = tempfile::tempdir().unwrap();
                let listener = UnixListener::bind(directory.path().join("listener")).unwrap();
                Self::Unix(listener, directory)
            }
        }
    }

    fn address(&self) -> Address {
        match self {
            Self::Inet(listener) => Address::Inet(listener.local_addr().unwrap()),
            Self::Unix(_, directory) => Address::Unix(directory.path().join("listener")),
        }
    }

    fn accept(&self) -> Box<dyn Stream> {
        match self {
            Self::Inet(listener) => {
                let (stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                Box::new(stream)
            }
            Self::Unix(listener, _) => Box::new(listener.accept().unwrap().0),
        }
    }

    /// A connected pair.
    fn pair(&self) -> (OwnedFd, Box<dyn Stream>) {
        let ours = match self.address() {
            Address::Inet(address) => std::net::TcpStream::connect(address).unwrap().into(),
            Address::Unix(path) => std::os::unix::net::UnixStream::connect(path).unwrap().into(),
            _ => unreachable!(),
        };
        (ours, self.accept())
    }
}

/// What makes the server send everything back and close.
const QUIT: &[u8] = b"QUIT\n";

/// The peer, in a thread: takes one connection, reads until it is told to quit, and sends back
/// what came before, in parts of `size`, once `go` allows it. Returns what came.
fn echo_server(listener: Listener, size: usize, go: mpsc::Receiver<()>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut stream = listener.accept();
        let (mut heard, mut byte) = (Vec::new(), [0]);
        while !heard.ends_with(QUIT) && stream.read(&mut byte).unwrap() > 0 {
            heard.push(byte[0]);
        }
        heard.truncate(heard.len() - if heard.ends_with(QUIT) { QUIT.len() } else { 0 });
        go.recv_timeout(PATIENCE).unwrap();
        for part in heard.chunks(size) {
            if stream.write_all(part).is_err() {
                break;
            }
            thread::yield_now();
        }
        heard
    })
}

/// What a client has heard.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    /// What came before each terminator.
    contents: Vec<Vec<u8>>,
    /// What came after the last.
    rest: Vec<u8>,
}

struct EchoClient(Rc<RefCell<Heard>>);

impl AsyncChat for EchoClient {
    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        self.0.borrow_mut().contents.push(cx.take_data());
        Ok(())
    }

    fn handle_close(
        &mut self,
        cx: &mut ChatContext<'_, '_>,
        cause: Option<io::Error>,
    ) -> io::Result<()> {
        assert!(cause.is_none(), "{cause:?}");
        self.0.borrow_mut().rest = cx.take_data();
        Ok(())
    }
}

/// Connects a client to an echo server, with what it is to say queued before the connection is
/// there, and runs until the server has closed. Returns what each of them has heard.
fn converse<B: Backend + Default>(
    family: Family,
    terminator: impl Into<Terminator>,
    size: usize,
    say: impl FnOnce(&Channel) -> io::Result<()>,
) -> (Heard, Vec<u8>) {
    let listener = Listener::new(family);
    let channel = Channel::create_socket(family, Type::Stream).unwrap();
    channel.connect(listener.address()).unwrap();
    say(&channel).unwrap();
    let (go, gone) = mpsc::channel();
    go.send(()).unwrap();
    let server = echo_server(listener, size, gone);
    let (mut reactor, heard) = (reactor::<B>(), Rc::default());
    let chat = Chat::new(EchoClient(Rc::clone(&heard)), terminator);
    reactor.add_channel(channel, chat).unwrap();
    run_out(&mut reactor);
    drop(reactor);
    (Rc::into_inner(heard).unwrap().into_inner(), server.join().unwrap())
}

fn contents<const N: usize>(lines: [&[u8]; N]) -> Heard {
    Heard { contents: lines.map(<[u8]>::to_vec).to_vec(), rest: Vec::new() }
}

/// Two lines come back whole, in parts of 1, 2 and 3 bytes.
#[track_caller]
fn check_lines<B: Backend + Default>(family: Family, terminator: &'static [u8]) {
    for size in [1, 2, 3] {
        let (heard, _) = converse::<B>(family, terminator, size, |channel| {
            channel.push(b"hello ")?;
            channel.push(&[b"world", terminator].concat())?;
            channel.push(&[b"I'm not dead yet!", terminator].concat())?;
            channel.push(QUIT)
        });
        assert_eq!(heard, contents([b"hello world", b"I'm not dead yet!"]), "in parts of {size}");
    }
}

/// So many bytes come back as one piece; what is behind them has no terminator any more.
#[track_caller]
fn check_length<B: Backend + Default>(family: Family, length: usize) {
    let data = b"hello world, I'm not dead yet!\n";
    let (heard, _) = converse::<B>(family, length, 1, |channel| {
        channel.push(data)?;
        channel.push(QUIT)
    });
    let (content, rest) = data.split_at(length);
    assert_eq!(heard, Heard { contents: vec![content.to_vec()], rest: rest.to_vec() });
}

const TWO_LINES: &[u8] = b"hello world\nI'm not dead yet!\n";

on_every_family! {
    /// One byte.
    fn line_terminator1<B>(family: Family) {
        check_lines::<B>(family, b"\n");
    }

    /// Two different ones, between which the input may be split.
    fn line_terminator2<B>(family: Family) {
        check_lines::<B>(family, b"\r\n");
    }

    /// Three that look the same.
    fn line_terminator3<B>(family: Family) {
        check_lines::<B>(family, b"qqq");
    }

    fn numeric_terminator1<B>(family: Family) {
        check_length::<B>(family, 1);
    }

    fn numeric_terminator2<B>(family: Family) {
        check_length::<B>(family, 6);
    }

    /// Everything is collected, and nothing is found.
    fn none_terminator<B>(family: Family) {
        let data = b"hello world, I'm not dead yet!\n";
        let (heard, _) = converse::<B>(family, Terminator::None, 1, |channel| {
            channel.push(data)?;
            channel.push(QUIT)
        });
        assert_eq!(heard, Heard { contents: Vec::new(), rest: data.to_vec() });
    }

    /// What a producer makes in small pieces arrives as if it had been pushed.
    fn simple_producer<B>(family: Family) {
        let (heard, said) = converse::<B>(family, "\n", 1, |channel| {
            channel.push_with_producer(SimpleProducer::with_piece([TWO_LINES, QUIT].concat(), 8))
        });
        assert_eq!(heard, contents([b"hello world", b"I'm not dead yet!"]));
        assert_eq!(said, TWO_LINES);
    }

    /// asynchat takes bytes for a producer; here a producer takes any bytes, in its usual pieces.
    fn string_producer<B>(family: Family) {
        let (heard, said) = converse::<B>(family, "\n", 1, |channel| {
            channel.push_with_producer(SimpleProducer::new(TWO_LINES))?;
            channel.push_with_producer(SimpleProducer::new("QUIT\n"))
        });
        assert_eq!(heard, contents([b"hello world", b"I'm not dead yet!"]));
        assert_eq!(said, TWO_LINES);
    }

    /// An empty line is a line.
    fn empty_line<B>(family: Family) {
        let (heard, _) = converse::<B>(family, "\n", 1, |channel| {
            channel.push(b"hello world\n\nI'm not dead yet!\n")?;
            channel.push(QUIT)
        });
        assert_eq!(heard, contents([b"hello world", b"", b"I'm not dead yet!"]));
    }

    /// The channel closes when all is sent, and not before: the server has everything, and the
    /// client nothing of what comes back later.
    fn close_when_done<B>(family: Family) {
        let listener = Listener::new(family);
        let channel = Channel::create_socket(family, Type::Stream).unwrap();
        channel.connect(listener.address()).unwrap();
        channel.push(TWO_LINES).unwrap();
        channel.push(QUIT).unwrap();
        channel.close_when_sent();
        let (go, gone) = mpsc::channel();
        let server = echo_server(listener, 1, gone);
        let (mut reactor, heard) = (reactor::<B>(), Rc::default());
        reactor.add_channel(channel, Chat::new(EchoClient(Rc::clone(&heard)), "\n")).unwrap();
        run_out(&mut reactor);
        go.send(()).unwrap();
        assert_eq!(server.join().unwrap(), TWO_LINES);
        assert_eq!(*heard.borrow(), Heard::default());
    }

    /// Bytes of every kind can be pushed; that nothing else can is the compiler's to say.
    fn push<B>(family: Family) {
        let (heard, _) = converse::<B>(family, "\n", 1, |channel| {
            let (bytes, vector) = (b"bytes\n", Vec::from(b"bytes\n"));
            channel.push(bytes)?;
            channel.push(&vector)?;
            channel.push(&[b"some ", &bytes[..], b"more"].concat()[5..11])?;
            channel.push("text\n".as_bytes())?;
            channel.push(QUIT)
        });
        assert_eq!(heard, contents([b"bytes", b"bytes", b"bytes", b"text"]));
    }

    /// A read that finds nothing, after all, is no error. A real one: somebody else has taken what
    /// the channel was woken for.
    fn blockingioerror<B>(family: Family) {
        struct Thief(Key<Chat<Strict>>);
        impl Dispatcher for Thief {
            fn writable(&self, _: &Channel) -> bool {
                false
            }
            fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
                cx.recv(&mut [0; 8])?;
                assert_eq!(cx.channel(self.0).unwrap().recv(&mut [0; 8])?, 6);
                Ok(())
            }
        }
        struct Strict(Vec<Vec<u8>>);
        impl AsyncChat for Strict {
            fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
                self.0.push(cx.take_data());
                Ok(())
            }
            fn handle_error(
                &mut self,
                _: &mut ChatContext<'_, '_>,
                error: io::Error,
            ) -> io::Result<()> {
                panic!("{error}")
            }
        }
        let listener = Listener::new(family);
        let mut pairs = [listener.pair(), listener.pair()];
        // The thief is served first.
        pairs.sort_by_key(|(ours, _)| ours.as_raw_fd());
        let [(thief, mut to_thief), (ours, mut theirs)] = pairs;
        to_thief.write_all(b"x").unwrap();
        theirs.write_all(b"stolen").unwrap();
        wait_for(&thief, PollFlags::POLLIN);
        wait_for(&ours, PollFlags::POLLIN);
        let mut reactor = reactor::<B>();
        let chat = Chat::new(Strict(Vec::new()), "\n");
        let key = reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
        reactor.add_channel(Channel::new(thief).unwrap(), Thief(key)).unwrap();
        assert_eq!(reactor.poll(Some(PATIENCE)).unwrap(), 2);
        assert_eq!(reactor.len(), 2);
        theirs.write_all(b"mine\n").unwrap();
        assert_eq!(reactor.poll(Some(PATIENCE)).unwrap(), 1);
        assert_eq!(reactor.get(key).unwrap().0, [b"mine"]);
    }

    /// Of what may be the beginning of a terminator just that is kept back.
    fn find_prefix_at_end<B>(family: Family) {
        for (input, terminator, held) in [
            ("qwerty\r", "\r\n", 1),
            ("qwertydkjf", "\r\n", 0),
            ("qwerty\r\n.\r", "\r\n.\r\n", 4),
            ("qwerty\r\n\r", "\r\n.\r\n", 1),
            ("aaaaaa", "aaab", 3),
        ] {
            #[derive(Default)]
            struct Collected(usize);
            impl AsyncChat for Collected {
                fn collect_incoming_data(
                    &mut self,
                    _: &mut ChatContext<'_, '_>,
                    data: &[u8],
                ) -> io::Result<()> {
                    self.0 += data.len();
                    Ok(())
                }
                fn found_terminator(&mut self, _: &mut ChatContext<'_, '_>) -> io::Result<()> {
                    unreachable!()
                }
            }
            let (ours, mut theirs) = Listener::new(family).pair();
            let mut reactor: Reactor<B> = reactor();
            let chat = Chat::new(Collected::default(), terminator);
            let key = reactor.add_channel(Channel::new(ours).unwrap(), chat).unwrap();
            theirs.write_all(input.as_bytes()).unwrap();
            assert_eq!(reactor.poll(Some(PATIENCE)).unwrap(), 1);
            assert_eq!(input.len() - reactor.get(key).unwrap().0, held, "{input:?}");
        }
    }
}

/// A length cannot be negative: it is a `usize`, and `Terminator::from(-1)` does not compile.
#[test]
fn disallow_negative_terminator() {
    let length: fn(usize) -> Terminator = Terminator::Length;
    // As in the original, nothing needs to be connected.
    let mut chat = Chat::new(EchoClient(Rc::default()), Terminator::None);
    chat.set_terminator(usize::MAX);
    assert_eq!(*chat.terminator(), length(usize::MAX));
}
