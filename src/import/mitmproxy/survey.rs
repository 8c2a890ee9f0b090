//! The first pass: where the flows are, when they began, and which of them belong together.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek};

use super::records::{Record, Records};
use super::tnetstring::Value;
use super::{Damage, FlowError};
use crate::model::ChunkId;
use crate::observe::streams::UnixNanos;

/// Most flows of one file; 32 bytes of memory each.
const FLOWS: usize = 4_000_000;

/// Most WebSocket flows that are kept apart from their handshakes, as the versions before 12 did.
const SOCKETS: usize = 1_000_000;

/// Version of the format up to which this was written.
const NEWEST: u64 = 21;

/// What a flow file holds.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The earliest moment of any flow: instant 0 of the capture.
    pub anchor: UnixNanos,
    /// Versions of the format, with the number of flows of each: `21`, `0.18`.
    pub versions: BTreeMap<String, u64>,
    /// Flows of a version later than any that is known here; they are read as far as they are alike.
    pub newer: u64,
    /// Flows that are not HTTP (`tcp`, `udp`, `dns`, …) by kind; they are left out.
    pub elsewhere: BTreeMap<String, u64>,
    /// Where the file cannot be read.
    pub damage: Option<Damage>,
    /// Flows beyond the limit of four million, which are not imported.
    pub beyond: u64,
    /// Connections that the capture holds already, from other files: numbers go on from here.
    pub connections_before: u64,
    /// In the order in which they began.
    pub(super) places: Vec<Place>,
}

/// An HTTP flow in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// When its request began.
    pub(super) start: UnixNanos,
    pub(super) inside: Inside,
    /// The flow with its WebSocket messages, when that is another one.
    pub(super) socket: Option<Inside>,
}

/// The inside of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inside {
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl Survey {
    /// Number of HTTP flows that will be looked at.
    pub fn flows(&self) -> u64 {
        self.places.len() as u64
    }
}

/// Surveys a flow file from its start. Damaged places are passed over: [`Survey::damage`] says where.
///
/// # Errors
/// When the input cannot be read, or does not hold a single flow.
pub fn survey<R: Read + Seek>(input: R) -> Result<Survey, FlowError> {
    let mut records = Records::new(input)?;
    let mut surveyor = Surveyor::default();
    let (mut at, mut inside) = (0, Vec::new());
    while let Some((record, next)) = records.next(at, &mut inside)? {
        match record {
            Record::Whole { start, length } => {
                let place = Inside { offset: start, length: u32::try_from(length).unwrap_or(u32::MAX) };
                surveyor.flow(place, Value::dictionary(&inside));
            }
            Record::TooLong { offset } => surveyor.survey.damaged(offset, next - offset, "a flow is over 1 GiB"),
            Record::Broken { offset, bytes } => {
                let what = if surveyor.flows == 0 { "there is no flow" } else { "a flow is torn or damaged" };
                surveyor.survey.damaged(offset, bytes, what);
            }
        }
        at = next;
    }
    surveyor.finish()
}

#[derive(Default)]
struct Surveyor {
    survey: Survey,
    flows: u64,
    earliest: Option<UnixNanos>,
    /// WebSocket flows of old versions by the id of their handshake.
    sockets: HashMap<ChunkId, Inside>,
    /// Places of the handshakes.
    handshakes: HashMap<ChunkId, usize>,
}

impl Surveyor {
    fn flow(&mut self, inside: Inside, flow: Value<'_>) {
        let Some(version) = version(flow) else {
            return self.survey.damaged(inside.offset, u64::from(inside.length), "a record is no flow");
        };
        self.flows += 1;
        self.survey.newer += u64::from(version.parse().is_ok_and(|version: u64| version > NEWEST));
        if self.survey.versions.len() < 64 {
            *self.survey.versions.entry(version).or_default() += 1;
        }
        match flow.get("type").and_then(Value::text).unwrap_or("http") {
            "http" => self.http(inside, flow),
            "websocket" => self.socket(inside, flow),
            kind @ ("tcp" | "udp" | "dns") => self.survey.left_out(kind),
            _ => self.survey.left_out("other"),
        }
    }

    fn http(&mut self, inside: Inside, flow: Value<'_>) {
        if self.survey.places.len() >= FLOWS {
            self.survey.beyond += 1;
            return;
        }
        let request = flow.get("request");
        let began = request.and_then(|request| request.get("timestamp_start")?.moment());
        let created = flow.get("timestamp_created").and_then(Value::moment);
        let connected = flow.get("client_conn").and_then(|client| client.get("timestamp_start")?.moment());
        let start = began.or(created).or(connected).unwrap_or(0);
        let server = flow.get("server_conn").and_then(|server| server.get("timestamp_start")?.moment());
        for moment in [Some(start).filter(|start| *start > 0), server].into_iter().flatten() {
            self.earliest = Some(self.earliest.map_or(moment, |earliest| earliest.min(moment)));
        }
        let handshake =
            flow.get("metadata").is_some_and(|metadata| metadata.get("websocket").is_some_and(Value::is_true));
        if handshake
            && self.handshakes.len() < SOCKETS
            && let Some(id) = flow.get("id").and_then(Value::bytes)
        {
            self.handshakes.insert(ChunkId::of(id), self.survey.places.len());
        }
        self.survey.places.push(Place { start, inside, socket: None });
    }

    fn socket(&mut self, inside: Inside, flow: Value<'_>) {
        let handshake = flow.get("metadata").and_then(|metadata| metadata.get("websocket_handshake")?.bytes());
        match handshake.map(ChunkId::of) {
            Some(id) if self.sockets.len() < SOCKETS && !self.sockets.contains_key(&id) => {
                self.sockets.insert(id, inside);
            }
            _ => self.survey.left_out("websocket"),
        }
    }

    fn finish(mut self) -> Result<Survey, FlowError> {
        if self.flows == 0 {
            return Err(FlowError::NotFlows);
        }
        for (id, inside) in self.sockets {
            match self.handshakes.get(&id) {
                Some(place) => self.survey.places[*place].socket = Some(inside),
                None => self.survey.left_out("websocket"),
            }
        }
        self.survey.anchor = self.earliest.unwrap_or(0);
        self.survey.places.sort_unstable();
        Ok(self.survey)
    }
}

impl Survey {
    fn left_out(&mut self, kind: &str) {
        *self.elsewhere.entry(kind.to_owned()).or_default() += 1;
    }

    /// The first damage is told with its place, the rest is counted.
    fn damaged(&mut self, byte: u64, bytes: u64, what: &'static str) {
        let damage = self.damage.get_or_insert(Damage { byte, what, places: 0, bytes: 0 });
        damage.places += 1;
        damage.bytes = damage.bytes.saturating_add(bytes);
    }
}

/// The version of a flow; older ones have that of the program.
fn version(flow: Value<'_>) -> Option<String> {
    let version = flow.get("version")?;
    if let Some(number) = version.integer() {
        return Some(number.to_string());
    }
    let numbers: Vec<String> = version.items().take(2).map_while(|n| Some(n.integer()?.to_string())).collect();
    (!numbers.is_empty()).then(|| numbers.join("."))
}
