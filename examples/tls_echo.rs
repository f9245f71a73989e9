//! The echo server with TLS: rustls on a channel, by `common/tls.rs`.
//!
//! `cargo run --release --example tls_echo -- --cert cert.pem --key key.pem`, then
//! `openssl s_client -connect 127.0.0.1:8443` from another terminal. Who has no certificate makes
//! one that is good for `localhost`:
//!
//! ```sh
//! openssl req -x509 -newkey rsa -noenc -keyout key.pem -out cert.pem -subj /CN=localhost \
//!     -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE
//! ```

mod common;

use asyncore::{Address, Channel, Context, Dispatcher, ToAddress};
use clap::Parser;
use common::{
    serve,
    tls::{Tls, certificates},
};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use std::{
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

/// Echo what every client sends, over TLS 1.2 or 1.3, until SIGINT or SIGTERM
#[derive(Parser)]
struct Args {
    /// Where to listen: IP:PORT, or the path of a Unix socket; port 0 takes a free one
    #[arg(default_value = "127.0.0.1:8443")]
    addr: String,
    /// The server's certificate, and those between it and the authority's, in PEM
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

/// How long a client may be quiet before the connection is secure.
const HANDSHAKE: Duration = Duration::from_secs(10);

struct Echo {
    tls: Tls,
}

impl Dispatcher for Echo {
    fn readable(&self, _: &Channel) -> bool {
        self.tls.readable()
    }

    fn writable(&self, _: &Channel) -> bool {
        self.tls.writable()
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.tls.receive(cx)?;
        self.echo(cx)
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.tls.flush(cx)?;
        self.echo(cx)
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        if let Some(error) = cause {
            let peer = cx.peer_addr().unwrap_or(Address::Unnamed);
            // Nobody may be reading it; the server goes on.
            let _ = writeln!(io::stderr(), "tls_echo: {peer}: {error}");
        }
        Ok(())
    }
}

impl Echo {
    /// Sends plaintext back. While some of it is not out the rest stays where it is, so that a
    /// client that does not read what it is sent is not read from, either.
    fn echo(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if cx.timeout().is_some() && !self.tls.is_handshaking() {
            cx.set_timeout(None);
        }
        let mut buffer = [0; 16 << 10];
        while !self.tls.writable() {
            match self.tls.recv(&mut buffer)? {
                0 => return self.tls.close_when_sent(cx),
                count => self.tls.push(cx, &buffer[..count])?,
            }
        }
        Ok(())
    }
}

struct EchoServer {
    config: Arc<ServerConfig>,
}

impl Dispatcher for EchoServer {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        peer: Address,
    ) -> io::Result<()> {
        // Nobody may be reading what is printed; the server goes on.
        let _ = writeln!(io::stdout(), "Incoming connection from {peer}");
        let connection =
            ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        let tls = Tls::new(&channel, connection);
        channel.set_timeout(Some(HANDSHAKE));
        cx.add_channel(channel, Echo { tls })?;
        Ok(())
    }
}

fn config(cert: &Path, key: &Path) -> Result<ServerConfig, String> {
    let chain = certificates(cert).map_err(at(cert.display()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(at(key.display()))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private);
    config.map_err(at(cert.display()))
}

fn run(args: &Args) -> Result<(), String> {
    let server = EchoServer { config: Arc::new(config(&args.cert, &args.key)?) };
    let address = args.addr.to_address().map_err(at(&args.addr))?;
    common::run_on!(args.backend, serve(&address, server)).map_err(at(&args.addr))
}

/// What went wrong, with the place where it did.
fn at<E: Display>(place: impl Display) -> impl FnOnce(E) -> String {
    move |error| format!("{place}: {error}")
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("tls_echo: {message}");
            ExitCode::FAILURE
        }
    }
}
