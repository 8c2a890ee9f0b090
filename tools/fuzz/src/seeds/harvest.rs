//! Seeds out of files: connections of packet captures, what they say in plaintext, and small files of the other kinds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use overdub::import::Format;
use overdub::import::input::Input;
use overdub::import::packet::{Container, Dissector, Item};
use overdub::import::segment::Segment;
use overdub::observe::streams::{ConnectionId, Ending, Opening, Streams, UnixNanos};
use overdub::import::tcp::{self, Reassembler};
use overdub::observe::tls::{Decryptor, Keyring, Output};
use overdub::model::Side;

use super::{Seeds, Talk, Tape};
use crate::dialogue::{Dialogue, Turn};
use crate::packets::Packet;

/// Most connections that are taken of one file.
const CONNECTIONS: usize = 24;
/// Most packets that are taken of one connection.
const PACKETS: usize = 60;
/// Most bytes that are taken of one connection.
const BYTES: usize = 32 * 1024;
/// Longest file of another kind that is taken.
const FILE_BYTES: u64 = 40 * 1024;

/// Everything below a path. Key logs beside captures (`.keylog`, `.keys`) are read for them.
pub fn folder(path: &Path, seeds: &mut Seeds) {
    if path.is_dir() {
        let Ok(entries) = fs::read_dir(path) else { return };
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        return paths.iter().for_each(|path| folder(path, seeds));
    }
    file(path, seeds);
}

fn file(path: &Path, seeds: &mut Seeds) {
    let Ok(file) = File::open(path) else { return };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let Ok(mut input) = Input::new(file) else { return };
    let Some(format) = input.peek(4096).ok().and_then(Format::of) else { return };
    if format == Format::Packets {
        let keys = ["keylog", "keys"].iter().find_map(|ending| fs::read(path.with_extension(ending)).ok());
        return packets(input, keys.unwrap_or_default(), seeds);
    }
    let Some(bytes) = fs::read(path).ok().filter(|_| length <= FILE_BYTES) else { return };
    match format {
        Format::Har => seeds.har.push(bytes),
        Format::Mitmproxy => seeds.flows.push(bytes),
        Format::GoReplay | Format::Packets => seeds.payloads.push(bytes),
    }
}

fn packets(input: Input, mut keys: Vec<u8>, seeds: &mut Seeds) {
    let Ok(mut container) = Container::open(input) else { return };
    let mut dissector = Dissector::new(Default::default());
    let mut reassembler = Reassembler::new(tcp::Config::default());
    let mut listener = Listener::default();
    let mut tapes: BTreeMap<u64, Tape> = BTreeMap::new();
    let mut others = Tape::default();
    while let Ok(Some(item)) = container.next() {
        match item {
            Item::Secrets(text) => keys.extend_from_slice(text),
            Item::Packet(packet) => {
                let mut flow = None;
                dissector.packet(&packet, &mut |segment: Segment<'_>| {
                    let ends = [segment.source, segment.destination];
                    flow = Some(u64::from(ends[0].port()) * u64::from(ends[1].port()) + segment.lane);
                    reassembler.segment(&segment, &mut listener);
                });
                let packet = Packet {
                    at: packet.at,
                    link: packet.link,
                    data: packet.data.to_vec(),
                    wire_bytes: packet.wire_bytes,
                };
                let full = tapes.len() >= CONNECTIONS;
                let tape = match flow {
                    Some(flow) if !full || tapes.contains_key(&flow) => tapes.entry(flow).or_default(),
                    _ => &mut others,
                };
                let bytes: usize = tape.packets.iter().map(|packet| packet.data.len()).sum();
                if tape.packets.len() < PACKETS && bytes + packet.data.len() <= BYTES {
                    tape.packets.push(packet);
                }
            }
            _ => {}
        }
    }
    reassembler.end(&mut listener);
    for mut tape in tapes.into_values().chain([others]).filter(|tape| !tape.packets.is_empty()) {
        tape.keys = wanted(&keys, &tape.packets.iter().map(|packet| packet.data.as_slice()).collect::<Vec<_>>());
        seeds.tapes.push(tape);
    }
    for turns in listener.heard.into_values().take(CONNECTIONS) {
        let said: Vec<&[u8]> = turns.iter().filter_map(said).collect();
        let keys = wanted(&keys, &said);
        if keys.is_empty() {
            seeds.talks.push(Talk { turns: shortened(turns), keys });
        } else {
            seeds.talks.push(Talk { turns: shortened(decrypted(&turns, &keys)), keys: Vec::new() });
            seeds.sealed.push(Talk { turns: shortened(turns), keys });
        }
    }
}

fn said(turn: &Turn) -> Option<&[u8]> {
    match turn {
        Turn::Says(_, bytes) => Some(bytes),
        _ => None,
    }
}

/// Key log lines whose client random is somewhere in `pieces`.
fn wanted(keys: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let fits = |line: &&[u8]| {
        let random = line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        let random: Option<Vec<u8>> =
            random.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
        random.is_some_and(|random| {
            random.len() == 32 && pieces.iter().any(|piece| piece.windows(32).any(|at| at == random))
        })
    };
    keys.split_inclusive(|&byte| byte == b'\n').filter(fits).collect::<Vec<_>>().concat()
}

fn decrypted(turns: &[Turn], keys: &[u8]) -> Dialogue {
    let mut keyring = Keyring::default();
    keyring.add(keys);
    let mut decryptor = Decryptor::new();
    let mut plain = Vec::new();
    let mut out = |side: Side, output: Output<'_>| match output {
        Output::Plaintext(bytes) => plain.push(Turn::Says(side, bytes.to_vec())),
        Output::Gap { bytes } => plain.push(Turn::Lost(side, bytes)),
        _ => {}
    };
    for turn in turns {
        match turn {
            Turn::Says(side, bytes) => decryptor.read(&keyring, *side, bytes, &mut out),
            Turn::Lost(side, bytes) => decryptor.gap(&keyring, *side, *bytes, &mut out),
            Turn::Ends(side) => decryptor.end(&keyring, *side, &mut out),
        }
    }
    plain
}

fn shortened(turns: Dialogue) -> Dialogue {
    let mut left = BYTES;
    turns
        .into_iter()
        .take(200)
        .map_while(|turn| {
            let length = said(&turn).map_or(0, <[u8]>::len);
            let fits = length <= left;
            left = left.saturating_sub(length);
            fits.then_some(turn)
        })
        .collect()
}

/// Hears what connections say, the beginning of each.
#[derive(Default)]
struct Listener {
    heard: BTreeMap<u64, Dialogue>,
}

impl Listener {
    fn add(&mut self, connection: ConnectionId, turn: Turn) {
        let turns = self.heard.entry(connection.0).or_default();
        if turns.len() < 300 {
            turns.push(turn);
        }
    }
}

impl Streams for Listener {
    fn opened(&mut self, _: ConnectionId, _: &Opening) {}

    fn bytes(&mut self, connection: ConnectionId, side: Side, _: UnixNanos, bytes: &[u8]) {
        self.add(connection, Turn::Says(side, bytes.to_vec()));
    }

    fn gap(&mut self, connection: ConnectionId, side: Side, _: UnixNanos, bytes: u64) {
        self.add(connection, Turn::Lost(side, bytes));
    }

    fn ended(&mut self, connection: ConnectionId, side: Side, _: UnixNanos, _: Ending) {
        self.add(connection, Turn::Ends(side));
    }
}

/// The TLS transcripts of this repository (format in fixtures/tls/README.md).
pub fn transcripts(seeds: &mut Seeds) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tls");
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "bin")) {
        let Ok(bytes) = fs::read(path) else { continue };
        let mut rest = bytes.as_slice();
        let mut talk = Talk::default();
        while let Some((&[tag, a, b, c, d], behind)) = rest.split_first_chunk::<5>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let (content, behind) = behind.split_at(length.min(behind.len()));
            rest = behind;
            match tag {
                b'C' => talk.turns.push(crate::dialogue::client(content)),
                b'S' => talk.turns.push(crate::dialogue::server(content)),
                b'K' => talk.keys.extend_from_slice(content),
                _ => {}
            }
        }
        seeds.sealed.push(talk);
    }
}
