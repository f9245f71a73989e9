//! A mail on its way to the disk: nothing of it waits in memory.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::NamedTempFile;

pub(crate) const TOO_LARGE: &str = "552 The mail is too large";

/// Where mail goes.
pub(crate) struct Sink {
    directory: PathBuf,
    pub(crate) max_size: u64,
}

impl Sink {
    /// Fails if mail cannot be written there.
    pub(crate) fn new(directory: &Path, max_size: u64) -> io::Result<Self> {
        let sink = Self { directory: directory.to_owned(), max_size };
        sink.create().map(|_| sink)
    }

    /// A file that is gone when it is dropped, unless it is given its name.
    fn create(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(&self.directory)
    }

    /// A name that sorts by time.
    fn name(&self) -> PathBuf {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos) = (now.as_secs(), now.subsec_nanos());
        self.directory.join(format!("{seconds}.{nanos:09}.{}.eml", process::id()))
    }
}

pub(crate) struct Envelope {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
}

pub(crate) struct Mail {
    /// Or what to tell the client in the end, if the mail is not kept.
    file: Result<BufWriter<NamedTempFile>, &'static str>,
    line: Line,
    /// How much may still come.
    room: u64,
}

/// What has come of the line.
#[derive(PartialEq)]
enum Line {
    Nothing,
    /// The end of the mail, if that is all; else the client has put it there (RFC 5321, 4.5.2).
    Dot,
    Text,
}

impl Mail {
    pub(crate) fn new(sink: &Sink, envelope: &Envelope) -> Result<Self, &'static str> {
        let mut file = BufWriter::new(sink.create().map_err(refusal)?);
        for to in &envelope.to {
            write!(file, "X-RcptTo: <{to}>\r\n").map_err(refusal)?;
        }
        write!(file, "X-MailFrom: <{}>\r\n", envelope.from).map_err(refusal)?;
        Ok(Self { file: Ok(file), line: Line::Nothing, room: sink.max_size })
    }

    /// A piece of a line, as it came; never an empty one.
    pub(crate) fn text(&mut self, mut data: &[u8]) {
        if self.line == Line::Nothing {
            data = data.strip_prefix(b".").unwrap_or(data);
            if data.is_empty() {
                self.line = Line::Dot;
                return;
            }
        }
        self.line = Line::Text;
        self.write(data);
    }

    /// Whether the line that ends here ends the mail, too.
    pub(crate) fn end_of_line(&mut self) -> bool {
        let ends = self.line == Line::Dot;
        if !ends {
            self.write(b"\r\n");
        }
        self.line = Line::Nothing;
        ends
    }

    fn write(&mut self, data: &[u8]) {
        let Ok(file) = &mut self.file else { return };
        match self.room.checked_sub(data.len() as u64) {
            None => self.file = Err(TOO_LARGE),
            Some(room) => {
                self.room = room;
                if let Err(error) = file.write_all(data) {
                    self.file = Err(refusal(error));
                }
            }
        }
    }

    /// The file gets its name only now that it is complete.
    pub(crate) fn keep(self, sink: &Sink) -> Result<(), &'static str> {
        let file = self.file?.into_inner().map_err(|error| refusal(error.into_error()))?;
        file.persist_noclobber(sink.name()).map_err(|error| refusal(error.error))?;
        Ok(())
    }
}

/// The operator is told what the client need not know.
fn refusal(error: io::Error) -> &'static str {
    // Nobody may be reading it.
    let _ = writeln!(io::stderr(), "smtp_sink: {error}");
    "451 The mail cannot be written"
}
