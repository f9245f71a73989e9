//! An echo server in a thread of its own, set up as SECURITY.md says.

use allocation_counter::measure;
use asyncore::{Address, Backend, Channel, Context, Dispatcher, Family, Reactor, Remote, Type};
use std::{
    io,
    net::SocketAddr,
    sync::mpsc,
    thread::{self, JoinHandle},
};

const HIGH_WATER: usize = 64 << 10;
const LOW_WATER: usize = 16 << 10;

struct Echo;

impl Dispatcher for Echo {
    fn readable(&self, channel: &Channel) -> bool {
        !channel.is_congested()
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let count = cx.recv(&mut buffer)?;
        cx.push(&buffer[..count])
    }
}

struct EchoServer;

impl Dispatcher for EchoServer {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        channel.set_water_marks(LOW_WATER, HIGH_WATER)?;
        cx.add_channel(channel, Echo).map(drop)
    }
}

/// A running server.
pub(crate) struct Server {
    /// It listens at several, so that clients do not run out of ports.
    pub(crate) addresses: Vec<SocketAddr>,
    remote: Remote,
    /// What it has allocated since it began and not freed, in bytes.
    thread: JoinHandle<io::Result<i64>>,
}

impl Server {
    pub(crate) fn start<B: Backend + Default>() -> io::Result<Self> {
        let (sender, started) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut reactor = Reactor::with_backend(B::default());
            let listening =
                listen(&mut reactor).and_then(|addresses| Ok((addresses, reactor.remote()?)));
            let listeners = reactor.len();
            // Who waits for it has not gone.
            let _ = sender.send(listening);
            let mut result = Ok(());
            let left = measure(|| result = serve(&mut reactor, listeners));
            result.map(|()| left.bytes_current)
        });
        let (addresses, remote) = started.recv().expect("it says where it listens")?;
        Ok(Self { addresses, remote, thread })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Ends it once all its clients have gone; says what they have left in its memory.
    pub(crate) fn stop(self) -> io::Result<i64> {
        self.remote.stop()?;
        self.thread.join().expect("the server panicked")
    }
}

fn listen(reactor: &mut Reactor<impl Backend>) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for host in ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        let listener = Channel::create_socket(Family::Inet, Type::Stream)?;
        match listener.bind(format!("{host}:0")) {
            // Only Linux has more than the first.
            Err(_) if !addresses.is_empty() => break,
            result => result?,
        }
        listener.listen(4096)?;
        addresses.extend(listener.local_addr()?.as_inet());
        reactor.add_channel(listener, EchoServer)?;
    }
    Ok(addresses)
}

fn serve(reactor: &mut Reactor<impl Backend>, listeners: usize) -> io::Result<()> {
    reactor.run_forever()?;
    while reactor.len() > listeners {
        reactor.poll(None)?;
    }
    Ok(())
}
