//! As much of HTTP/1.1 as two pages need: GET and HEAD, one answer after the other.

use crate::{metrics, page::Page};
use asyncore::{AsyncChat, Channel, ChatContext, InputTooLong};
use httparse::{EMPTY_HEADER, Request};
use std::{io, rc::Rc};

/// In bytes; a request has no body here.
pub(crate) const LONGEST_HEAD: usize = 8 << 10;

/// Whoever asks on and on and leaves this much unread has to go.
pub(crate) const MOST_UNREAD: usize = 8 << 20;

/// While so much is unread, no more questions are read.
const MUCH_UNREAD: usize = 64 << 10;

const MOST_HEADERS: usize = 64;

pub(crate) struct Session {
    page: Rc<Page>,
}

/// A status line and what goes with it.
struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

/// What is left of a request that was understood.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    path: String,
    method: Method,
    keeps_alive: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Method {
    Get,
    Head,
    Other,
}

impl Session {
    pub(crate) fn new(page: Rc<Page>) -> Self {
        Self { page }
    }

    fn answer(&self, cx: &ChatContext<'_, '_>, question: &Question) -> Answer {
        match &*question.path {
            "/" | "/metrics" if question.method == Method::Other => {
                Answer::plain("405 Method Not Allowed")
            }
            "/" => match self.page.render(cx) {
                Ok(body) => {
                    Answer { status: "200 OK", content_type: "text/html; charset=utf-8", body }
                }
                Err(_) => Answer::plain("500 Internal Server Error"),
            },
            "/metrics" => {
                Answer { body: metrics::render(cx, self.page.backend()), ..Answer::METRICS }
            }
            _ => Answer::plain("404 Not Found"),
        }
    }
}

impl Answer {
    const METRICS: Self = Self {
        status: "200 OK",
        content_type: "text/plain; version=0.0.4; charset=utf-8",
        body: String::new(),
    };

    fn plain(status: &'static str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{status}\n") }
    }

    fn send(&self, cx: &ChatContext<'_, '_>, method: &Method, keeps_alive: bool) -> io::Result<()> {
        let Self { status, content_type, body } = self;
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let connection = if keeps_alive { "keep-alive" } else { "close" };
        let mut answer = format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: {content_type}\r\n\
             Content-Length: {}\r\n\
             {allow}\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Connection: {connection}\r\n\r\n",
            body.len()
        );
        if *method != Method::Head {
            answer.push_str(body);
        }
        cx.push(answer.as_bytes())?;
        if !keeps_alive {
            cx.close_when_done();
        }
        Ok(())
    }
}

impl AsyncChat for Session {
    fn readable(&self, channel: &Channel) -> bool {
        channel.queued() < MUCH_UNREAD
    }

    fn found_terminator(&mut self, cx: &mut ChatContext<'_, '_>) -> io::Result<()> {
        let mut head = cx.take_data();
        head.extend_from_slice(b"\r\n\r\n");
        match parse(&head) {
            Ok(question) => {
                self.answer(cx, &question).send(cx, &question.method, question.keeps_alive)
            }
            Err(status) => Answer::plain(status).send(cx, &Method::Get, false),
        }
    }

    fn handle_error(&mut self, cx: &mut ChatContext<'_, '_>, error: io::Error) -> io::Result<()> {
        if !error.get_ref().is_some_and(|error| error.is::<InputTooLong>()) {
            return Err(error);
        }
        Answer::plain("431 Request Header Fields Too Large").send(cx, &Method::Get, false)
    }
}

/// What is asked for, or the status line of a refusal.
fn parse(head: &[u8]) -> Result<Question, &'static str> {
    const BAD: &str = "400 Bad Request";
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err("431 Request Header Fields Too Large"),
        Err(httparse::Error::Version) => return Err("505 HTTP Version Not Supported"),
        _ => return Err(BAD),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else { return Err(BAD) };
    let is_newest = request.version == Some(1);
    let values = |name: &'static str| {
        let fields =
            request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        fields.map(|header| header.value)
    };
    if values("host").count() > 1 || (is_newest && values("host").next().is_none()) {
        return Err(BAD);
    }
    let wants_close = values("connection").any(|value| {
        let mut options = value.split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    });
    // A body is not read, so what follows it is not found.
    let has_body = values("transfer-encoding").next().is_some()
        || values("content-length").any(|value| value.trim_ascii() != b"0");
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    Ok(Question {
        path: path(target).to_owned(),
        method,
        keeps_alive: is_newest && !wants_close && !has_body,
    })
}

/// Of what a proxy would be asked for as well; without a query.
fn path(target: &str) -> &str {
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    path.split_once('?').map_or(path, |(path, _)| path)
}
