//! Packet captures into a capture: containers, layers, TCP and conversations in one pass.
//!
//! Several files (as rotation leaves them) are one capture: connections go on from one to the next.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ImportError;
use super::control::Control;
use super::error::Problem;
use super::input::{Damage, Input, Wait};
use super::keys::Keys;
use super::packet::{self, Container, ContainerError, Dissector, Item};
use super::tcp::{self, Reassembler};
use crate::observe::Recorder;
use crate::observe::conversation::{Conversations, Stance, Tally};
use crate::observe::recorder::Finished;
use crate::observe::streams::UnixNanos;
use crate::wire::identity::Sessions;
use crate::wire::redact::Redactor;

/// What is accepted is in the file at most this much later, when the input is live.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// The clock and the stop signal are looked at once in so many packets.
const LOOK_EVERY: u64 = 1024;

/// How packets are imported.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How packets are read.
    pub packets: packet::Config,
    /// How connections are put together.
    pub tcp: tcp::Config,
}

/// What was in the packets.
#[derive(Clone, Debug, Default)]
pub struct PacketReport {
    /// Layers.
    pub packets: packet::Census,
    /// Packets that the capturing program says it lost.
    pub dropped_by_capturer: u64,
    /// Connections.
    pub tcp: tcp::Census,
    /// What the connections carried.
    pub tally: Tally,
    /// First and last packet.
    pub span: Option<(UnixNanos, UnixNanos)>,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was read as far as that was possible, or wanted.
    Here,
    /// It was followed, and now another file has its name.
    Replaced,
}

/// The capture and whoever redacted it, what was in the packets, what was wrong with them.
pub(super) type Imported = (Option<(Finished, Option<Redactor>)>, PacketReport, Vec<Problem>);

/// An import under way.
pub(super) struct PacketImport<'a> {
    output: &'a Path,
    source: &'a str,
    sessions: Option<Sessions>,
    redactor: Option<Redactor>,
    keys: Keys,
    dissector: Dissector,
    reassembler: Reassembler,
    /// Since the first packet, whose time is the anchor.
    conversations: Option<Conversations>,
    report: PacketReport,
    problems: Vec<Problem>,
    flushed: Instant,
}

impl<'a> PacketImport<'a> {
    /// Into `output`, which is created with the first packet.
    pub(super) fn new(options: Options, output: &'a Path, source: &'a str, sessions: Sessions, keys: Keys) -> Self {
        Self {
            dissector: Dissector::new(options.packets),
            reassembler: Reassembler::new(options.tcp),
            output,
            source,
            sessions: Some(sessions),
            redactor: None,
            keys,
            conversations: None,
            report: PacketReport::default(),
            problems: Vec::new(),
            flushed: Instant::now(),
        }
    }

    /// Reads one input to its end, its damage, or the stop signal.
    ///
    /// # Errors
    /// When not even its header can be read, or the capture cannot be written.
    pub(super) fn read(&mut self, path: &Path, input: Input, control: &mut Control<'_>) -> Result<Ended, ImportError> {
        let mut container =
            Container::open(input).map_err(|source| ImportError::Packets { path: path.to_owned(), source })?;
        container.reader_mut().set_wait(Wait::Short);
        let mut count = 0_u64;
        loop {
            count += 1;
            if count.is_multiple_of(LOOK_EVERY) {
                if control.stopped() {
                    break;
                }
                control.progress(container.reader().source_bytes());
                if control.live {
                    self.refresh()?;
                }
            }
            match container.next() {
                Ok(Some(Item::Packet(packet))) => {
                    self.begin(packet.at)?;
                    self.packet(&packet);
                    if let Some(trouble) = self.conversations.as_mut().and_then(Conversations::take_trouble) {
                        return Err(trouble.into());
                    }
                }
                Ok(Some(Item::Secrets(text))) => self.keys.add(text, self.conversations.as_mut()),
                Ok(Some(Item::Names(_) | Item::Interface(_))) => {}
                Ok(Some(Item::Skipped { offset, bytes })) => {
                    self.problems.push(Problem::Skipped { path: path.to_owned(), offset, bytes });
                }
                Ok(Some(Item::Idle)) => {
                    if control.stopped() {
                        break;
                    }
                    self.refresh()?;
                }
                Ok(None) => break,
                Err(error) => {
                    self.problems.push(Problem::Packets { path: path.to_owned(), error });
                    break;
                }
            }
        }
        self.report.dropped_by_capturer += container.dropped();
        let damage = container.reader().damage();
        if damage == Some(Damage::Replaced) {
            return Ok(Ended::Replaced);
        }
        // Who is stopped stops in the middle of something.
        let torn = matches!(damage, None | Some(Damage::Torn(_)));
        if damage.is_some() || control.stopped() {
            self.problems.retain(|problem| !is_torn_in(problem, path));
        }
        if !(control.stopped() && torn) {
            self.problems.extend(damage.map(|damage| Problem::Compression { path: path.to_owned(), damage }));
        }
        Ok(Ended::Here)
    }

    /// Secrets are replaced by this.
    pub(super) fn redacting(mut self, redactor: Option<Redactor>) -> Self {
        self.redactor = redactor;
        self
    }

    /// Ends all connections and closes the capture. No capture was made when there was no packet.
    ///
    /// # Errors
    /// When the capture cannot be written.
    pub(super) fn finish(mut self) -> Result<Imported, ImportError> {
        self.dissector.finish();
        self.report.packets = self.dissector.census().clone();
        for (&link, &packets) in &self.report.packets.unsupported_links {
            self.problems.push(Problem::LinkType { link, packets });
        }
        let Some(mut conversations) = self.conversations.take() else {
            return Ok((None, self.report, self.problems));
        };
        self.reassembler.end(&mut conversations);
        self.report.tcp = self.reassembler.census();
        if let Some(trouble) = conversations.take_trouble() {
            return Err(trouble.into());
        }
        let (recorder, tally) = conversations.finish();
        self.keys.judge(&tally, &mut self.problems);
        self.report.tally = tally;
        Ok((Some(recorder.close_keeping()?), self.report, self.problems))
    }

    fn begin(&mut self, at: UnixNanos) -> Result<(), ImportError> {
        let (first, last) = self.report.span.unwrap_or((at, at));
        self.report.span = Some((first.min(at), last.max(at)));
        if self.conversations.is_none() {
            let sessions = self.sessions.take().unwrap_or_default();
            let recorder = Recorder::create(self.output, self.source, at, sessions)?.redacting(self.redactor.take());
            self.conversations = Some(Conversations::new(recorder, self.keys.take(), Stance::Stop));
        }
        Ok(())
    }

    fn packet(&mut self, packet: &packet::Packet<'_>) {
        let Self { dissector, reassembler, conversations, .. } = self;
        let Some(conversations) = conversations else { return };
        dissector.packet(packet, &mut |segment| reassembler.segment(&segment, conversations));
    }

    /// What a live import does twice a second: puts what it has into the file, and looks for new keys.
    fn refresh(&mut self) -> Result<(), ImportError> {
        if self.flushed.elapsed() < FLUSH_EVERY {
            return Ok(());
        }
        self.flushed = Instant::now();
        if let Some(conversations) = &mut self.conversations {
            self.keys.reread(conversations);
            conversations.recorder_mut().flush()?;
        }
        Ok(())
    }
}

fn is_torn_in(problem: &Problem, at: &Path) -> bool {
    matches!(problem, Problem::Packets { path, error: ContainerError::Torn { .. } } if path == at)
}

/// Paths of the inputs as one line of provenance.
pub(super) fn named(kind: &str, paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| super::error::shown(path)).collect();
    format!("{kind} {}", names.join(", "))
}
