//! An orderly end: nobody new comes in, and what is queued goes out.

use crate::{Reactor, State};
use asyncore_backends::Backend;
use std::{
    io,
    time::{Duration, Instant},
};

impl<B: Backend> Reactor<B> {
    /// Ends every channel in an orderly way, and whatever is left after `within` at once: what a
    /// server does when it is told to stop. True if nothing was left.
    ///
    /// Listeners are closed, and connects that are under way. Connections
    /// [close when all that was pushed is sent](crate::Channel::close_when_sent), each with a
    /// `handle_close`, and read nothing more. Timers that are due meanwhile are called. The reactor
    /// can be used again.
    ///
    /// # Errors
    ///
    /// Those of [`poll`](Self::poll) and of [`close_all`](Self::close_all).
    ///
    /// # Panics
    ///
    /// As [`poll`](Self::poll) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncore::{Channel, Dispatcher, Reactor};
    /// use std::{io, io::Read, os::unix::net::UnixStream, time::Duration};
    ///
    /// struct Server;
    /// impl Dispatcher for Server {}
    ///
    /// let (ours, mut client) = UnixStream::pair()?;
    /// let mut reactor = Reactor::new();
    /// let key = reactor.add_channel(Channel::new(ours)?, Server)?;
    /// let answer = vec![b'x'; 1 << 20];
    /// reactor.channel(key).unwrap().push(&answer)?;
    /// let reader = std::thread::spawn(move || {
    ///     let mut received = Vec::new();
    ///     client.read_to_end(&mut received).map(|_| received)
    /// });
    /// assert!(reactor.drain(Duration::from_secs(10))?);
    /// assert_eq!(reader.join().unwrap()?, answer);
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn drain(&mut self, within: Duration) -> io::Result<bool> {
        let end = Instant::now().checked_add(within);
        for fd in self.map.slab.numbers() {
            let Some(key) = self.map.slab.key_of(fd).filter(|key| self.map.own != Some(*key))
            else {
                continue;
            };
            match self.channel(key) {
                Some(channel) if channel.state() == State::Connected => channel.close_when_sent(),
                _ => drop(self.close_channel(key)),
            }
        }
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if self.is_empty() || left == Some(Duration::ZERO) {
                break;
            }
            self.poll(left)?;
        }
        let all = self.is_empty();
        self.close_all()?;
        Ok(all)
    }
}
