//! Names: where to connect, if that is not one address, but a name or several addresses.

mod order;
mod race;
mod resolver;

pub(crate) use race::Race;
pub(crate) use resolver::Resolver;

use crate::{Channel, Scope, Timer, map::Map, timer::Time, timing::Call};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    time::Duration,
};

/// Whom to connect to, and how much time it may take: a name, or several addresses of one server.
/// [`Reactor::connect_to`](crate::Reactor::connect_to) takes it.
///
/// Addresses are tried as RFC 8305 ("Happy Eyeballs") describes. The next attempt begins when the
/// last one has failed or has lasted for the [attempt delay](Self::attempt_delay); the others go
/// on. The first that connects wins, and the others are closed.
///
/// `(name, port)` and a `SocketAddr` convert to one.
///
/// # Examples
///
/// ```
/// use asyncore::Destination;
/// use std::time::Duration;
///
/// let web = Destination::host("example.org", 443).timeout(Duration::from_secs(30));
/// let replicas = Destination::any(["192.0.2.1:5432".parse()?, "192.0.2.2:5432".parse()?]);
/// # let _ = (web, replicas);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub struct Destination {
    source: Source,
    timeout: Option<Duration>,
    attempt_delay: Duration,
}

enum Source {
    Addresses(Vec<SocketAddr>),
    Lookup(Lookup),
}

/// Finds addresses, and may block.
type Lookup = Box<dyn FnOnce() -> io::Result<Vec<SocketAddr>> + Send>;

/// As RFC 8305 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The RFC's least: less would be a burst.
const LEAST_ATTEMPT_DELAY: Duration = Duration::from_millis(10);

impl Destination {
    /// A host, by its name or its IP address (an IPv6 one without brackets).
    ///
    /// A name is resolved by the system (`getaddrinfo(3)`), as [`looked_up`](Self::looked_up) says.
    /// An address needs no resolution.
    pub fn host(name: impl Into<String>, port: u16) -> Self {
        let name = name.into();
        match name.parse::<IpAddr>() {
            Ok(ip) => Self::any([(ip, port).into()]),
            Err(_) => Self::looked_up(move || Ok((name, port).to_socket_addrs()?.collect())),
        }
    }

    /// Any of these addresses, tried in this order.
    pub fn any(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::new(Source::Addresses(addresses.into_iter().collect()))
    }

    /// Any of the addresses that `lookup` finds: a resolver of your own, SRV records, a file.
    ///
    /// It may block. It runs on a thread that exists only while there is something to look up. A
    /// reactor has eight of them at the most; what is more waits for its turn. A lookup that hangs
    /// holds up neither the reactor's end nor the program's; if its time is over, its result is
    /// dropped when it comes. If it panics, that is an error.
    ///
    /// The addresses are tried in the order of `lookup`, but IPv6 and IPv4 take turns, and each
    /// address is tried once.
    pub fn looked_up(
        lookup: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> Self {
        Self::new(Source::Lookup(Box::new(lookup)))
    }

    fn new(source: Source) -> Self {
        Self { source, timeout: None, attempt_delay: ATTEMPT_DELAY }
    }

    /// How long everything may take, the lookup included; for as long as the system tries unless
    /// set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long an attempt may last before the next address is tried beside it; 250 ms unless set,
    /// never less than 10 ms.
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.attempt_delay = delay.max(LEAST_ATTEMPT_DELAY);
        self
    }
}

impl From<(&str, u16)> for Destination {
    fn from((name, port): (&str, u16)) -> Self {
        Self::host(name, port)
    }
}

impl From<(String, u16)> for Destination {
    fn from((name, port): (String, u16)) -> Self {
        Self::host(name, port)
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self::any([address])
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Destination");
        match &self.source {
            Source::Addresses(addresses) => debug.field("addresses", addresses),
            Source::Lookup(_) => debug.field("addresses", &format_args!("to be looked up")),
        };
        debug.field("timeout", &self.timeout).field("attempt_delay", &self.attempt_delay).finish()
    }
}

/// What `Reactor`, `Context` and `Scope` offer alike.
impl Map {
    /// Nothing is done at once but to ask: the first attempt, too, is the next pass's.
    pub(crate) fn connect_to(
        &mut self,
        destination: Destination,
        callback: impl FnOnce(&mut Scope<'_>, io::Result<Channel>) + 'static,
    ) -> Timer {
        let Destination { source, timeout, attempt_delay } = destination;
        let deadline = timeout.map_or(Time::MAX, |timeout| self.after(timeout));
        let race = Race::new(attempt_delay, Box::new(callback));
        let connecting = self.timers.set(deadline, Call::Connect(Box::new(race)));
        match source {
            Source::Addresses(addresses) => self.enter(connecting, Ok(addresses)),
            Source::Lookup(lookup) => {
                if let Err(error) = self.look_up(connecting, lookup) {
                    self.enter(connecting, Err(error));
                }
            }
        }
        connecting
    }
}
