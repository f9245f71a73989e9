//! TLS on a channel: rustls, which does no input or output of its own, and a [`Channel`] for both.
//!
//! A dispatcher asks [`Tls::readable`] and [`Tls::writable`] for its own, calls [`Tls::receive`] in
//! `handle_read` and [`Tls::flush`] in `handle_write`, and has plaintext from [`Tls::recv`] and for
//! [`Tls::push`] in either. It takes all the plaintext there is, or leaves the rest until what it
//! has to send is out.

use super::send_at_once;
use asyncore::Channel;
use rustls::{
    Connection,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
};
use std::{
    io::{self, ErrorKind, Read, Write},
    path::Path,
};

/// How much may wait to be sent: for the end of the handshake, or for the peer.
const MOST_QUEUED: usize = 256 << 10;

/// How often a channel is read before the others have their turn; rustls reads 4 KiB at a time. As
/// a rule it ends sooner, with the first record that has plaintext.
const MOST_READS: usize = 16;

/// A TLS connection on a channel, on either side.
///
/// The queue is rustls' own, and not that of [`Channel::push`]: records lie in it already, it has a
/// limit, and as long as something does, `wants_write` says so. A second queue behind it would only
/// hide from rustls and from the dispatcher how much is not sent.
#[derive(Debug)]
pub(crate) struct Tls {
    connection: Connection,
    closing: bool,
}

impl Tls {
    pub(crate) fn new(channel: &Channel, connection: impl Into<Connection>) -> Self {
        let mut connection = connection.into();
        connection.set_buffer_limit(Some(MOST_QUEUED));
        // The end of TCP's input is not the end of what is to be sent.
        channel.set_half_close(true);
        // Nothing waits here for more to come: records are whole.
        send_at_once(channel);
        Self { connection, closing: false }
    }

    /// False while there is plaintext to take: whoever leaves it there holds up the peer. Nor does
    /// a handshake go on before its last message is out.
    pub(crate) fn readable(&self) -> bool {
        self.connection.wants_read()
    }

    pub(crate) fn writable(&self) -> bool {
        self.connection.wants_write()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Reads records, until one has plaintext; and sends what TLS itself has to answer.
    ///
    /// The error of one that is wrong is told to the peer first, as far as that can be sent.
    pub(crate) fn receive(&mut self, channel: &Channel) -> io::Result<()> {
        for _ in 0..MOST_READS {
            if !self.readable() {
                break;
            }
            match self.connection.read_tls(&mut &*channel) {
                // Whether it is the end of a file, or of half of one, is for `recv` to say.
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                read => read?,
            };
            if let Err(error) = self.connection.process_new_packets() {
                let _ = self.flush(channel);
                // Closing with something unread is a reset, which could destroy the alert.
                channel.close_when_sent();
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        self.flush(channel)
    }

    /// Plaintext; 0 bytes are the orderly end of it, `WouldBlock` is that there is none yet.
    pub(crate) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.connection.reader().read(buffer).map_err(|error| match error.kind() {
            // Anybody can end a connection, but only the peer can say that this was all.
            ErrorKind::UnexpectedEof => io::Error::new(
                ErrorKind::UnexpectedEof,
                "the connection ended without a close_notify: something may be missing",
            ),
            _ => error,
        })
    }

    /// Sends plaintext: now what can be sent, the rest by [`flush`](Self::flush).
    pub(crate) fn push(&mut self, channel: &Channel, plaintext: &[u8]) -> io::Result<()> {
        self.connection.writer().write_all(plaintext)?;
        self.flush(channel)
    }

    /// Sends what rustls has to send, as far as the kernel takes it.
    pub(crate) fn flush(&mut self, channel: &Channel) -> io::Result<()> {
        while self.writable() {
            match self.connection.write_tls(&mut &*channel) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                written => written?,
            };
        }
        if self.closing {
            channel.close_when_sent();
        }
        Ok(())
    }

    /// Says that this was all, and closes the channel once everything is sent.
    pub(crate) fn close_when_sent(&mut self, channel: &Channel) -> io::Result<()> {
        self.connection.send_close_notify();
        self.closing = true;
        self.flush(channel)
    }
}

/// The certificates in a PEM file, of which there must be one.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let certificates = CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(certificates) }
}
