//! Dialogues: what both sides of a connection say goes in, the exchanges of the capture come out.

mod http1;
mod http2;
mod inside;
mod losses;
mod nesting;
mod secured;

use std::path::PathBuf;

use tempfile::TempDir;

use crate::capture::Reader;
use crate::model::{BodySource, Exchange, Headers, Remark, Side};
use crate::observe::recorder::Recorder;
use crate::observe::streams::{ConnectionId, Ending, Opening, Streams};
use crate::observe::tls::Keyring;
use crate::wire::identity::Sessions;

use super::{Connection, Conversations, Stance, Tally};

const MS: u64 = 1_000_000;
/// Wall clock at which every test begins.
const START: u64 = 1_700_000_000_000_000_000;

/// Something that happens on a connection.
#[derive(Clone)]
pub(super) enum Act {
    Bytes(Side, Vec<u8>),
    Gap(Side, u64),
    End(Side, Ending),
}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(side, bytes) => write!(f, "{side:?} {}", bytes.escape_ascii()),
            Self::Gap(side, bytes) => write!(f, "{side:?} gap of {bytes}"),
            Self::End(side, how) => write!(f, "{side:?} ends: {how:?}"),
        }
    }
}

pub(super) fn client(bytes: impl AsRef<[u8]>) -> Act {
    Act::Bytes(Side::Request, bytes.as_ref().to_vec())
}

pub(super) fn server(bytes: impl AsRef<[u8]>) -> Act {
    Act::Bytes(Side::Response, bytes.as_ref().to_vec())
}

pub(super) fn client_gap(bytes: u64) -> Act {
    Act::Gap(Side::Request, bytes)
}

pub(super) fn server_gap(bytes: u64) -> Act {
    Act::Gap(Side::Response, bytes)
}

pub(super) fn client_end(how: Ending) -> Act {
    Act::End(Side::Request, how)
}

pub(super) fn server_end(how: Ending) -> Act {
    Act::End(Side::Response, how)
}

/// A connection seen from its SYN on: 10.0.0.1:5000 to 10.0.0.2:80, 4 ms to the server, 1 ms to the client.
pub(super) fn opening() -> Opening {
    Opening {
        client: "10.0.0.1:5000".parse().unwrap(),
        server: "10.0.0.2:80".parse().unwrap(),
        syn: Some(START),
        syn_ack: Some(START + 4 * MS),
        ack: Some(START + 5 * MS),
        first: START,
        midway: false,
        guessed: false,
    }
}

/// Joined in the middle, with the ends guessed.
pub(super) fn midway() -> Opening {
    Opening { syn: None, syn_ack: None, ack: None, midway: true, guessed: true, ..opening() }
}

/// An import of a few connections.
pub(super) struct Play {
    dir: TempDir,
    pub(super) conversations: Conversations,
    now: u64,
}

/// What came of it.
pub(super) struct Told {
    _dir: TempDir,
    reader: Reader,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) tally: Tally,
}

impl Play {
    pub(super) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path: PathBuf = dir.path().join("a.dub");
        let recorder = Recorder::create(&path, "test", START, Sessions::default()).unwrap();
        Self { dir, conversations: Conversations::new(recorder, Keyring::default(), Stance::Stop), now: START + 5 * MS }
    }

    pub(super) fn open(&mut self, id: u64, opening: &Opening) {
        self.conversations.opened(ConnectionId(id), opening);
    }

    /// Each act is 10 ms after the one before.
    pub(super) fn act(&mut self, id: u64, act: &Act) {
        self.now += 10 * MS;
        let id = ConnectionId(id);
        match act {
            Act::Bytes(side, bytes) => self.conversations.bytes(id, *side, self.now, bytes),
            Act::Gap(side, bytes) => self.conversations.gap(id, *side, self.now, *bytes),
            Act::End(side, how) => self.conversations.ended(id, *side, self.now, *how),
        }
    }

    pub(super) fn finish(self) -> Told {
        assert!(self.conversations.trouble().is_none());
        let (recorder, tally) = self.conversations.finish();
        recorder.close().unwrap();
        let reader = Reader::open(&self.dir.path().join("a.dub")).unwrap();
        let mut exchanges: Vec<Exchange> = reader.exchanges().collect::<Result<_, _>>().unwrap();
        exchanges.sort_by_key(|exchange| exchange.id);
        assert_eq!(exchanges.len() as u64, tally.exchanges);
        Told { _dir: self.dir, reader, exchanges, tally }
    }
}

/// Plays one connection.
pub(super) fn play(opening: &Opening, acts: &[Act]) -> Told {
    let mut play = Play::new();
    play.open(1, opening);
    acts.iter().for_each(|act| play.act(1, act));
    play.finish()
}

impl Told {
    /// Each exchange in one line: request, response, what is missing, what is remarkable.
    pub(super) fn lines(&self) -> Vec<String> {
        self.exchanges.iter().map(|exchange| self.line(exchange)).collect()
    }

    /// Those of one connection.
    pub(super) fn lines_of(&self, connection: u64) -> Vec<String> {
        let of = |exchange: &&Exchange| exchange.transport.client_connection == connection;
        self.exchanges.iter().filter(of).map(|exchange| self.line(exchange)).collect()
    }

    fn line(&self, exchange: &Exchange) -> String {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let body = |body| match self.reader.load(body, 1 << 20).unwrap() {
            bytes if bytes.is_empty() => String::new(),
            bytes => format!(" [{}]", text(&bytes)),
        };
        let trailers = |fields: &Headers| {
            fields.0.iter().map(|(name, value)| format!(" {}={}", text(name), text(value))).collect::<String>()
        };
        let request = &exchange.request;
        let mut line =
            format!("{} {}{}{}", request.method, request.url(), body(&request.body), trailers(&request.trailers));
        for interim in &exchange.interim {
            line += &format!(" > {}", interim.status);
        }
        if let Some(response) = &exchange.response {
            line += &format!(" > {}{}{}", response.status, body(&response.body), trailers(&response.trailers));
        }
        if let Some(reason) = &exchange.incomplete {
            line += &format!(" ! {reason}");
        }
        for remark in &exchange.remarks {
            match remark {
                Remark::Tap { .. } => {}
                Remark::Gap { side, at, bytes } => line += &format!(" # {side:?} gap of {bytes} at {at}"),
                Remark::UnknownField { side, position, name } => {
                    line += &format!(" # {side:?} {position} {}?", text(name.as_deref().unwrap_or(b"")));
                }
                Remark::BodyAbsent { .. } => line += " # absent",
                Remark::Resumed { side, at, .. } => line += &format!(" # {side:?} paused at {at}"),
                Remark::Other(words) => line += &format!(" # {words}"),
            }
        }
        line
    }
}

/// Plays a connection and compares its lines.
pub(super) fn expect(opening: &Opening, acts: &[Act], lines: &[&str]) {
    assert_eq!(play(opening, acts).lines(), lines, "{acts:#?}");
}

/// The remark of a request that was not seen.
pub(super) const UNASKED: &str =
    " ! not recorded: the request was not captured # Request 0 :method? # Request 1 :path?";

/// A source of numbers that is the same in each run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

#[test]
fn an_idle_connection_is_small() {
    let bytes = size_of::<Connection>() + size_of::<super::http1::Http1>();
    assert!(bytes <= 1024, "{bytes} bytes");
}
