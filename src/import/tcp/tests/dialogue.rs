//! Packets written as lines, and what becomes of them.
//!
//! A line is `milliseconds direction flags seq ack [payload] [#option…]`: numbers count from the initial sequence number of
//! their side, so that a SYN is 0 and the first byte 1; `-` is no acknowledgement. Options: `#cut3`, `#lane7`, `#isn9`
//! and `#peer9` for other initial numbers.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::import::segment::{Flags, Segment};
use crate::import::tcp::{Census, Config, Reassembler};
use crate::model::Side;
use crate::observe::streams::{ConnectionId, Ending, Opening, Streams, UnixNanos};

/// The client's numbers wrap after three bytes.
pub const CLIENT: u32 = u32::MAX - 3;
pub const SERVER: u32 = 5000;
pub const MS: u64 = 1_000_000;
pub const START: u64 = 1_700_000_000_000_000_000;

/// Keeps a transcript, and checks what `Streams` promises.
#[derive(Default)]
pub struct Transcript {
    pub lines: Vec<String>,
    pub events: Vec<(u64, Side, Event)>,
    open: HashMap<u64, [(bool, UnixNanos); 2]>,
    pub openings: Vec<Opening>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Bytes(Vec<u8>),
    Gap(u64),
    Ended(Ending),
}

impl Transcript {
    fn event(&mut self, id: ConnectionId, side: Side, at: UnixNanos, event: Event) {
        let sides = self.open.get_mut(&id.0).expect("opened before anything else");
        let (ended, last) = &mut sides[usize::from(side == Side::Response)];
        assert!(!*ended, "nothing after the end");
        assert!(at >= *last, "time of a side goes back");
        *last = at;
        *ended = matches!(event, Event::Ended(_));
        let arrow = if side == Side::Request { '>' } else { '<' };
        match &event {
            Event::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                let start = format!("{} {arrow} ", id.0);
                let text = String::from_utf8_lossy(bytes);
                match self.lines.last_mut() {
                    Some(line) if line.starts_with(&start) && !line.contains(['[', ']']) => line.push_str(&text),
                    _ => self.lines.push(start + &text),
                }
            }
            Event::Gap(bytes) => {
                assert!(*bytes > 0);
                self.lines.push(format!("{} {arrow} [{bytes}]", id.0));
            }
            Event::Ended(how) => self.lines.push(format!("{} {arrow} [{how:?}]", id.0)),
        }
        self.events.push((id.0, side, event));
    }
}

impl Streams for Transcript {
    fn opened(&mut self, connection: ConnectionId, opening: &Opening) {
        assert!(self.open.insert(connection.0, Default::default()).is_none(), "opened twice");
        let midway = if opening.midway { " midway" } else { "" };
        let guessed = if opening.guessed { " guessed" } else { "" };
        self.lines.push(format!("{} [{}{midway}{guessed}]", connection.0, opening.client));
        self.openings.push(*opening);
    }

    fn bytes(&mut self, connection: ConnectionId, side: Side, at: UnixNanos, bytes: &[u8]) {
        self.event(connection, side, at, Event::Bytes(bytes.to_vec()));
    }

    fn gap(&mut self, connection: ConnectionId, side: Side, at: UnixNanos, bytes: u64) {
        self.event(connection, side, at, Event::Gap(bytes));
    }

    fn ended(&mut self, connection: ConnectionId, side: Side, at: UnixNanos, how: Ending) {
        self.event(connection, side, at, Event::Ended(how));
    }
}

pub fn flags(text: &str) -> Flags {
    Flags { syn: text.contains('S'), ack: text.contains('A'), fin: text.contains('F'), rst: text.contains('R') }
}

/// Client and server of dialogues.
pub fn ends() -> (SocketAddr, SocketAddr) {
    ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:80".parse().unwrap())
}

/// Feeds one line.
pub fn feed(reassembler: &mut Reassembler, line: &str, out: &mut Transcript) {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let mut option = |name: &str| {
        let found = words.iter().position(|word| word.starts_with(name))?;
        words.remove(found)[name.len()..].parse::<u32>().ok()
    };
    let (cut, lane) = (option("#cut").unwrap_or(0), option("#lane").unwrap_or(0));
    let (isn, peer) = (option("#isn"), option("#peer"));
    let from_client = words[1] == ">";
    let (client, server) = ends();
    let (source, destination, own, other) =
        if from_client { (client, server, CLIENT, SERVER) } else { (server, client, SERVER, CLIENT) };
    let number = |word: &str, base: u32| base.wrapping_add_signed(word.parse::<i32>().unwrap());
    let mut flags = flags(words[2]);
    flags.ack = words[4] != "-";
    let segment = Segment {
        at: START + words[0].parse::<u64>().unwrap() * MS,
        source,
        destination,
        lane: u64::from(lane),
        seq: number(words[3], isn.unwrap_or(own)),
        ack: if flags.ack { number(words[4], peer.unwrap_or(other)) } else { 0 },
        flags,
        payload: words.get(5).map_or(&[], |payload| payload.as_bytes()),
        cut,
    };
    reassembler.segment(&segment, out);
}

/// Feeds lines and ends the capture.
pub fn run(lines: &[&str]) -> (Transcript, Census) {
    run_with(Config::default(), lines)
}

pub fn run_with(config: Config, lines: &[&str]) -> (Transcript, Census) {
    let mut reassembler = Reassembler::new(config);
    let mut out = Transcript::default();
    for line in lines {
        feed(&mut reassembler, line, &mut out);
    }
    reassembler.end(&mut out);
    (out, reassembler.census())
}

/// A test of one dialogue.
macro_rules! dialogue {
    ($(#[$meta:meta])* $name:ident, [$($line:expr),* $(,)?], [$($expected:expr),* $(,)?]) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            let (out, _) = $crate::import::tcp::tests::dialogue::run(&[$($line),*]);
            let expected: &[&str] = &[$($expected),*];
            assert_eq!(out.lines, expected);
        }
    };
}
pub(super) use dialogue;
