//! `overdub verify`: reads every frame and every body of a capture and says whether all of it is there.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::capture::{BodyCheck, CaptureError, Damage, Reader};
use crate::model::ExchangeId;

use super::inspect::{Stop, cannot_read, count, ranges, settle, size};
use super::{CliError, Console, Exit};

/// Ranges of exchange numbers that a line of text names.
const NAMED_RANGES: usize = 40;

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The capture (.dub)
    file: PathBuf,
    /// Print the findings as one JSON object
    #[arg(long)]
    json: bool,
}

/// What was found, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Findings {
    sound: bool,
    finished: bool,
    header_damaged: bool,
    sessions: u64,
    exchanges: u64,
    messages: u64,
    bodies: u64,
    chunks: u64,
    unknown_frames: u64,
    torn_bytes: u64,
    bad_frames: Vec<BadFrame>,
    lost_exchanges: Vec<u64>,
    lost_messages: Vec<LostMessages>,
    broken_bodies: Vec<u64>,
    unreadable_exchanges: u64,
    unreadable_messages: u64,
}

#[derive(Debug, Serialize)]
struct BadFrame {
    offset: u64,
    bytes: u64,
    held: String,
}

#[derive(Debug, Serialize)]
struct LostMessages {
    exchange: u64,
    messages: u64,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let failed = |error: CaptureError| cannot_read(&arguments.file, &error);
    let findings = match Reader::open_checked(&arguments.file) {
        Ok(reader) => Findings::of(&reader, reader.check_bodies().map_err(failed)?),
        Err(CaptureError::Header) => Findings::headless(),
        Err(error) => return Err(failed(error)),
    };
    let console = Console::new(false);
    if findings.sound && !findings.finished {
        let path = arguments.file.display();
        console.say(format_args!(
            "{path} has no index: the recorder was stopped hard, or still runs. Nothing is lost by that; \
             `overdub repair {path} -o NEW.dub` adds one."
        ));
    }
    let mut out = console.data();
    settle(print(&mut out, arguments, &findings).map_err(Stop::from).map(|()| findings.exit()))
}

fn print(out: &mut impl Write, arguments: &Arguments, findings: &Findings) -> io::Result<()> {
    if arguments.json {
        serde_json::to_writer(&mut *out, findings)?;
        writeln!(out)?;
    } else {
        findings.print(out, &arguments.file)?;
    }
    out.flush()
}

impl Findings {
    fn of(reader: &Reader, check: BodyCheck) -> Self {
        let Damage { torn_bytes, bad_frames, lost_exchanges, lost_messages, unfinished } = reader.damage();
        let unreadable = check.unreadable + check.unreadable_messages;
        let numbers = |ids: &[ExchangeId]| ids.iter().map(|id| id.0).collect();
        Self {
            sound: reader.damage().is_sound() && check.broken.is_empty() && unreadable == 0,
            finished: !unfinished,
            header_damaged: false,
            sessions: reader.sessions().len() as u64,
            exchanges: reader.exchange_count(),
            messages: reader.message_count(),
            bodies: check.bodies,
            chunks: reader.chunk_count(),
            unknown_frames: reader.unknown_frames(),
            torn_bytes: *torn_bytes,
            bad_frames: bad_frames
                .iter()
                .map(|(offset, bytes, held)| BadFrame { offset: *offset, bytes: *bytes, held: held.clone() })
                .collect(),
            lost_exchanges: numbers(lost_exchanges),
            lost_messages: lost_messages
                .iter()
                .map(|(exchange, messages)| LostMessages { exchange: exchange.0, messages: *messages })
                .collect(),
            broken_bodies: numbers(&check.broken),
            unreadable_exchanges: check.unreadable,
            unreadable_messages: check.unreadable_messages,
        }
    }

    /// A capture of which nothing can be read without repair.
    fn headless() -> Self {
        Self {
            sound: false,
            finished: false,
            header_damaged: true,
            sessions: 0,
            exchanges: 0,
            messages: 0,
            bodies: 0,
            chunks: 0,
            unknown_frames: 0,
            torn_bytes: 0,
            bad_frames: Vec::new(),
            lost_exchanges: Vec::new(),
            lost_messages: Vec::new(),
            broken_bodies: Vec::new(),
            unreadable_exchanges: 0,
            unreadable_messages: 0,
        }
    }

    fn exit(&self) -> Exit {
        if self.sound { Exit::Passed } else { Exit::Failed }
    }

    fn print(&self, out: &mut impl Write, path: &Path) -> io::Result<()> {
        let path = path.display();
        writeln!(out, "{path}: {}", if self.sound { "sound" } else { "damaged" })?;
        if self.header_damaged {
            return writeln!(
                out,
                "  the header is damaged; `overdub repair {path} -o NEW.dub` saves what is behind it"
            );
        }
        let (sessions, mut exchanges) = (count(self.sessions, "session"), count(self.exchanges, "exchange"));
        if self.messages > 0 {
            exchanges = format!("{exchanges}, {}", count(self.messages, "message"));
        }
        writeln!(out, "  {sessions}, {exchanges}, {} bodies in {}", self.bodies, count(self.chunks, "chunk"))?;
        if self.unknown_frames > 0 {
            let frames = count(self.unknown_frames, "frame");
            writeln!(out, "  {frames} of a kind that a later version writes, passed over")?;
        }
        if self.torn_bytes > 0 {
            writeln!(out, "  torn: the last {} are no whole frame", size(self.torn_bytes))?;
        }
        for BadFrame { offset, bytes, held } in &self.bad_frames {
            writeln!(out, "  damaged at offset {offset}, {bytes} bytes: held {held}")?;
        }
        for (what, numbers) in [("lost", &self.lost_exchanges), ("without a whole body", &self.broken_bodies)] {
            if !numbers.is_empty() {
                let exchanges = count(numbers.len() as u64, "exchange");
                writeln!(out, "  {exchanges} {what}: {}", ranges(numbers, NAMED_RANGES))?;
            }
        }
        if !self.lost_messages.is_empty() {
            let lost = self.lost_messages.iter().fold(0_u64, |sum, lost| sum.saturating_add(lost.messages));
            let numbers: Vec<u64> = self.lost_messages.iter().map(|lost| lost.exchange).collect();
            let (messages, of) = (count(lost, "message"), count(numbers.len() as u64, "exchange"));
            writeln!(out, "  {messages} lost, of {of}: {}", ranges(&numbers, NAMED_RANGES))?;
        }
        for (unreadable, what) in [(self.unreadable_exchanges, "exchange"), (self.unreadable_messages, "message")] {
            if unreadable > 0 {
                writeln!(out, "  {} that cannot be decoded", count(unreadable, what))?;
            }
        }
        if !self.sound {
            writeln!(out, "  `overdub repair {path} -o NEW.dub` saves what can be read")?;
        }
        Ok(())
    }
}
