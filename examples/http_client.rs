//! asyncore's HTTP client, grown up enough to be used: one GET, its body on standard output.
//!
//! `cargo run --example http_client https://example.org/`

mod common;

use asyncore::{Backend, Channel, Context, Destination, Dispatcher, Reactor, State};
use clap::Parser;
use common::tls::{Tls, certificates};
use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use std::{
    cell::RefCell,
    fmt,
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use url::{Host, Url};

/// Fetch URL: the status line goes to standard error, the body to standard output
///
/// Exit status: 0 for a 2xx answer, 1 where nothing or not everything could be fetched, 2 for a
/// wrong command line, 3 for any other answer.
#[derive(Parser)]
struct Args {
    /// What to fetch: http[s]://HOST[:PORT]/PATH; HOST may be a name or an IPv4 or [IPv6] address
    url: Url,
    /// Certificates of the authorities to trust, in PEM, instead of those that Mozilla trusts
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// How long it may take to connect, the resolution of the name included
    #[arg(long, value_name = "TIME", default_value = "30s")]
    connect_timeout: humantime::Duration,
    /// How long the server may be silent
    #[arg(long, value_name = "TIME", default_value = "60s")]
    idle_timeout: humantime::Duration,
    /// The system call to wait with
    #[arg(long, value_enum, default_value = common::DEFAULT_BACKEND)]
    backend: common::BackendName,
}

/// A head that is longer than this is not one.
const LONGEST_HEAD: usize = 64 << 10;

/// How far the answer has come.
#[derive(Debug, Default)]
struct Answer {
    status: Option<u16>,
    /// How much of the body is still to come, if the server has said so.
    missing: Option<u64>,
    error: Option<io::Error>,
}

struct HttpClient {
    /// With https; without it the channel alone is enough.
    tls: Option<Tls>,
    /// What came before the body began.
    head: Vec<u8>,
    answer: Rc<RefCell<Answer>>,
}

impl Dispatcher for HttpClient {
    fn readable(&self, _: &Channel) -> bool {
        self.tls.as_ref().is_none_or(Tls::readable)
    }

    fn writable(&self, _: &Channel) -> bool {
        self.tls.as_ref().is_some_and(Tls::writable)
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 64 << 10];
        let Some(tls) = &mut self.tls else {
            let count = cx.recv(&mut buffer)?;
            return self.part(cx, &buffer[..count]);
        };
        tls.receive(cx)?;
        while cx.state() == State::Connected
            && let Some(tls) = &mut self.tls
        {
            match tls.recv(&mut buffer)? {
                0 => return tls.close_when_sent(cx),
                count => self.part(cx, &buffer[..count])?,
            }
        }
        Ok(())
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.tls.as_mut().map_or(Ok(()), |tls| tls.flush(cx))
    }

    fn handle_close(&mut self, _: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        let mut answer = self.answer.borrow_mut();
        answer.error = match (cause, answer.status, answer.missing) {
            (Some(error), ..) => Some(error),
            (None, None, _) => Some(invalid("the server closed without an answer")),
            (None, Some(_), Some(missing)) if missing > 0 => {
                Some(invalid(format!("the server closed {missing} bytes too early")))
            }
            _ => None,
        };
        Ok(())
    }
}

impl HttpClient {
    /// Sends the request.
    fn ask(
        channel: &Channel,
        request: &str,
        tls: Option<ClientConnection>,
        answer: Rc<RefCell<Answer>>,
    ) -> Self {
        let mut tls = tls.map(|connection| Tls::new(channel, connection));
        // If the connection broke, handle_close will tell, once all is read that came before.
        let _ = match &mut tls {
            None => channel.push(request.as_bytes()),
            Some(tls) => tls.push(channel, request.as_bytes()),
        };
        Self { tls, head: Vec::new(), answer }
    }

    /// Takes what has come of the answer.
    fn part(&mut self, cx: &mut Context<'_>, part: &[u8]) -> io::Result<()> {
        if self.answer.borrow().status.is_some() {
            return self.body(cx, part);
        }
        self.head.extend_from_slice(part);
        let Some(length) = self.parse_head()? else { return Ok(()) };
        let body = self.head.split_off(length);
        self.body(cx, &body)
    }

    /// Reads the head, if it is complete, and returns its length.
    fn parse_head(&mut self) -> io::Result<Option<usize>> {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(&self.head).map_err(invalid)? {
            httparse::Status::Complete(head) => head,
            httparse::Status::Partial if self.head.len() < LONGEST_HEAD => return Ok(None),
            httparse::Status::Partial => return Err(invalid("the answer's head has no end")),
        };
        let status = response.code.unwrap_or_default();
        let reason = response.reason.unwrap_or_default();
        eprintln!("HTTP/1.{} {status} {reason}", response.version.unwrap_or_default());

        let header = |name: &'static str| {
            let named = response
                .headers
                .iter()
                .filter(move |header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
        };
        if header("Transfer-Encoding").any(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(invalid("the server sends a transfer coding that HTTP/1.0 does not have"));
        }
        let length = header("Content-Length").next();
        if header("Content-Length").any(|other| Some(other) != length) {
            return Err(invalid("the server names two lengths of its answer"));
        }
        let mut answer = self.answer.borrow_mut();
        answer.missing = match length {
            _ if status == 204 || status == 304 => Some(0),
            Some(length) => Some(length.parse().map_err(invalid)?),
            None => None,
        };
        answer.status = Some(status);
        Ok(Some(head))
    }

    /// Passes a part of the body on, and ends when it was the last.
    fn body(&mut self, cx: &mut Context<'_>, part: &[u8]) -> io::Result<()> {
        let mut answer = self.answer.borrow_mut();
        let wanted = answer.missing.map_or(part.len(), |missing| {
            usize::try_from(missing).unwrap_or(usize::MAX).min(part.len())
        });
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&part[..wanted]).and_then(|()| stdout.flush());
        written.map_err(|error| io::Error::other(format!("standard output: {error}")))?;
        if let Some(missing) = &mut answer.missing {
            *missing -= wanted as u64;
            if *missing == 0 {
                // Whether the server hears of it makes no difference to the answer.
                let _ = self.tls.as_mut().map(|tls| tls.close_when_sent(cx));
                cx.close();
            }
        }
        Ok(())
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn fetch<B: Backend>(
    mut reactor: Reactor<B>,
    server: Destination,
    idle_timeout: Duration,
    request: &str,
    tls: Option<ClientConnection>,
) -> io::Result<Answer> {
    let answer = Rc::new(RefCell::new(Answer::default()));
    let (request, told) = (request.to_owned(), Rc::clone(&answer));
    reactor.connect_to(server, move |scope, result| {
        let begun = result.and_then(|channel| {
            channel.set_timeout(Some(idle_timeout));
            let client = HttpClient::ask(&channel, &request, tls, Rc::clone(&told));
            scope.add_channel(channel, client)
        });
        told.borrow_mut().error = begun.err();
    });
    reactor.run()?;
    Ok(answer.take())
}

/// What went wrong, with the place where it did.
struct Failure(String);

impl Failure {
    fn at(place: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self(format!("{place}: {error}"))
    }
}

/// Whom to trust. Mozilla's list is compiled in: it is the same on every machine, and there is
/// nothing to be found or to fail, as there is with the system's.
fn authorities(cacert: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let Some(file) = cacert else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    for certificate in certificates(file).map_err(|error| Failure::at(file.display(), error))? {
        roots.add(certificate).map_err(|error| Failure::at(file.display(), error))?;
    }
    Ok(roots)
}

/// What a TLS connection begins with: whom to trust, and who the server has to be.
fn https(
    host: &Host<&str>,
    cacert: Option<&Path>,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), Failure> {
    let config = ClientConfig::builder().with_root_certificates(authorities(cacert)?);
    let name = match host {
        Host::Ipv4(ip) => IpAddr::from(*ip).into(),
        Host::Ipv6(ip) => IpAddr::from(*ip).into(),
        Host::Domain(name) => {
            ServerName::try_from((*name).to_owned()).map_err(|error| Failure::at(name, error))?
        }
    };
    Ok((Arc::new(config.with_no_client_auth()), name))
}

fn run(args: &Args) -> Result<u16, Failure> {
    let url = &args.url;
    let host = url.host().ok_or_else(|| Failure::at(url, "there is no host in it"))?;
    let tls = match url.scheme() {
        "http" => None,
        "https" => Some(https(&host, args.cacert.as_deref())?),
        _ => return Err(Failure::at(url, "only http:// and https:// are spoken here")),
    };
    let port = url.port_or_known_default().unwrap_or(80);
    let name = match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    let server = Destination::host(name, port).timeout(args.connect_timeout.into());
    let place = format!("{host}:{port}");
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\n\r\n");

    let connection = tls.map(|(config, name)| ClientConnection::new(config, name)).transpose();
    let connection = connection.map_err(|error| Failure::at(url, error))?;
    let idle_timeout = args.idle_timeout.into();
    let answer = common::run_on!(args.backend, fetch(server, idle_timeout, &request, connection));
    match answer.map(|answer| (answer.error, answer.status)) {
        Ok((None, Some(status))) => Ok(status),
        Ok((None, None)) => Err(Failure::at(place, "there was no answer")),
        Ok((Some(error), _)) | Err(error) => Err(Failure::at(place, error)),
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(200..=299) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(Failure(message)) => {
            eprintln!("http_client: {message}");
            ExitCode::FAILURE
        }
    }
}
