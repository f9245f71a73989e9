//! Two threads against one: a reactor in each, on one address by `SO_REUSEPORT`.
//!
//! `cargo bench --bench many_cores`. A round serves the same number of requests by one thread and
//! by two, one after the other, so that what else the machine does hits both; a ratio is that of
//! one round, and every other round goes backwards. The clients are a reactor in a thread of its
//! own, which takes its share of the processors, too: of two cores, two servers never have both. So
//! a request costs the server something, as it does in a real one; what comes out where it costs
//! nothing is shown as well.

use asyncore::{
    Address, Channel, Context, DefaultBackend, Dispatcher, Family, Key, Reactor, Remote, Type,
};
use nix::sys::resource::{UsageWho, getrusage};
use std::{
    cell::Cell,
    hint::black_box,
    io,
    os::fd::OwnedFd,
    rc::Rc,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const ROUNDS: usize = 15;
const CONNECTIONS: usize = 32;
const REQUEST: usize = 1024;
const ANSWER: usize = 8;

/// What a round is made of.
struct Load {
    name: &'static str,
    requests: usize,
    /// How often the server goes over the request.
    work: usize,
}

const LOADS: [Load; 3] = [
    Load { name: "no work", requests: 40_000, work: 0 },
    Load { name: "some work", requests: 10_000, work: 20 },
    Load { name: "much work", requests: 4_000, work: 100 },
];

/// FNV-1a, again and again.
fn digest(request: &[u8], work: usize) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for _ in 0..work {
        for byte in black_box(request) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

struct Server {
    work: usize,
}

impl Dispatcher for Server {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        cx.add_channel(channel, Session { request: Vec::new(), work: self.work }).map(drop)
    }
}

struct Session {
    request: Vec<u8>,
    work: usize,
}

impl Dispatcher for Session {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; REQUEST];
        let count = cx.recv(&mut buffer[self.request.len()..])?;
        self.request.extend_from_slice(&buffer[..count]);
        if self.request.len() < REQUEST {
            return Ok(());
        }
        let answer = digest(&self.request, self.work);
        self.request.clear();
        cx.push(&answer.to_ne_bytes())
    }
}

/// Sends a request and waits for its answer, as long as there are requests left for all.
struct Client {
    left: Rc<Cell<usize>>,
    answered: usize,
}

impl Client {
    fn ask(&mut self, channel: &Channel) -> io::Result<()> {
        let Some(left) = self.left.get().checked_sub(1) else {
            channel.close();
            return Ok(());
        };
        self.left.set(left);
        channel.push(&[b'x'; REQUEST])
    }
}

impl Dispatcher for Client {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.answered += cx.recv(&mut [0; ANSWER])?;
        if self.answered == ANSWER {
            self.answered = 0;
            self.ask(cx)?;
        }
        Ok(())
    }
}

/// Asks all requests; the time begins when everybody is connected.
fn ask(address: &Address, requests: usize) -> io::Result<Duration> {
    let mut reactor = Reactor::new();
    let left = Rc::new(Cell::new(requests));
    let mut keys: Vec<Key<Client>> = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = std::net::TcpStream::connect(address.as_inet().expect("an Internet address"))?;
        stream.set_nodelay(true)?;
        let client = Client { left: Rc::clone(&left), answered: 0 };
        keys.push(reactor.add_channel(Channel::new(stream)?, client)?);
    }
    let start = Instant::now();
    for key in keys {
        left.set(left.get() - 1);
        reactor.channel(key).expect("it is connected").push(&[b'x'; REQUEST])?;
    }
    reactor.run()?;
    assert_eq!(left.get(), 0, "a connection ended early");
    Ok(start.elapsed())
}

/// The processor time of the calling thread.
fn time_spent() -> Duration {
    #[cfg(target_os = "linux")]
    let who = UsageWho::RUSAGE_THREAD;
    #[cfg(not(target_os = "linux"))]
    let who = UsageWho::RUSAGE_SELF;
    let usage = getrusage(who).expect("it is there");
    let time = usage.user_time() + usage.system_time();
    Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
}

/// One half of a round: how long it took, and the processor time of each server and of the clients.
struct Half {
    time: Duration,
    servers: Vec<Duration>,
    clients: Duration,
}

fn serve(listener: OwnedFd, work: usize, remotes: mpsc::Sender<Remote>) -> io::Result<Duration> {
    let mut reactor = Reactor::<DefaultBackend>::new();
    remotes.send(reactor.remote()?).expect("it is waited for");
    reactor.add_channel(Channel::new(listener)?, Server { work })?;
    let before = time_spent();
    reactor.run()?;
    Ok(time_spent() - before)
}

fn measure(load: &Load, threads: usize) -> io::Result<Half> {
    let mut address = Address::Inet(([127, 0, 0, 1], 0).into());
    let mut listeners = Vec::new();
    for _ in 0..threads {
        let listener = Channel::create_socket(Family::Inet, Type::Stream)?;
        listener.set_reuse_port()?;
        listener.bind(&address)?;
        listener.listen(128)?;
        address = listener.local_addr()?;
        listeners.push(listener.into_fd()?);
    }
    let (sender, remotes) = mpsc::channel();
    thread::scope(|scope| {
        let mut servers = Vec::new();
        for listener in listeners {
            let sender = sender.clone();
            servers.push(scope.spawn(move || serve(listener, load.work, sender)));
        }
        drop(sender);
        let remotes: Vec<Remote> = remotes.iter().take(threads).collect();
        let clients = scope.spawn(|| {
            let before = time_spent();
            let time = ask(&address, load.requests);
            (time, time_spent() - before)
        });
        let (time, clients) = clients.join().expect("the clients do not panic");
        for remote in remotes {
            remote.stop()?;
        }
        let joined = servers.into_iter().map(|server| server.join().expect("no server panics"));
        Ok(Half { time: time?, servers: joined.collect::<io::Result<_>>()?, clients })
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn share(part: Duration, of: Duration) -> f64 {
    100.0 * part.as_secs_f64() / of.as_secs_f64()
}

fn main() -> io::Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches`: it is enough that this compiles.
        return Ok(());
    }
    let cores = thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!(
        "{ROUNDS} rounds of {CONNECTIONS} connections, {REQUEST} bytes to the server and {ANSWER} \
         back, on {cores} cores"
    );
    for load in &LOADS {
        let (mut ratios, mut rates) = (Vec::new(), [Vec::new(), Vec::new()]);
        let mut shares = [Vec::new(), Vec::new(), Vec::new()];
        measure(load, 2)?; // to warm up
        for round in 0..ROUNDS {
            let (one, two) = if round % 2 == 0 {
                (measure(load, 1)?, measure(load, 2)?)
            } else {
                let two = measure(load, 2)?;
                (measure(load, 1)?, two)
            };
            ratios.push(one.time.as_secs_f64() / two.time.as_secs_f64());
            for (rate, half) in rates.iter_mut().zip([&one, &two]) {
                rate.push(load.requests as f64 / half.time.as_secs_f64());
            }
            shares[0].push(share(one.servers[0], one.time));
            shares[1].push(share(two.servers.iter().sum(), two.time));
            shares[2].push(share(two.clients, two.time));
        }
        let [one, two] = rates.each_mut().map(|rates| median(rates));
        let [server, servers, clients] = shares.each_mut().map(|shares| median(shares));
        let middle = median(&mut ratios);
        println!(
            "{:>9}: {one:>7.0} requests/s with one thread ({server:.0} % of a core), {two:>7.0} \
             with two ({servers:.0} %, and the clients {clients:.0} %): {middle:.2} times, from \
             {:.2} to {:.2}",
            load.name,
            ratios[0],
            ratios[ROUNDS - 1],
        );
    }
    Ok(())
}
