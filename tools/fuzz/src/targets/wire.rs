//! The sans-io readers of protocols, driven as observers drive them.

use overdub::model::{Nanos, Side};
use overdub::wire::http1::{AfterGap, Event, Limits, Reader};
use overdub::wire::http2::hpack::{Decoder, Extent, MAX_FIELDS};
use overdub::wire::http2::{Observer, Start};
use overdub::wire::websocket::{self, Deflate, MESSAGE_BYTES};
use overdub::wire::{grpc, sniff, sse};

use super::{Bench, split};
use crate::dialogue::{self, Turn};

/// One direction of HTTP/1 with what is not consumed yet.
struct Half {
    reader: Reader,
    held: Vec<u8>,
}

impl Half {
    /// Reads on, until more is needed; gives the methods of requests.
    fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        self.held.extend_from_slice(bytes);
        let (mut used, mut methods) = (0, Vec::new());
        let mut still = 0;
        loop {
            let rest = &self.held[used..];
            match self.reader.read(rest) {
                Ok(progress) => {
                    assert!(progress.consumed <= rest.len(), "consumed what is not there");
                    match &progress.event {
                        Some(Event::Body(range)) => assert!(range.end <= rest.len() && range.start <= range.end),
                        Some(Event::Request(head, _)) => methods.push(head.method.clone()),
                        _ => {}
                    }
                    used += progress.consumed;
                    if progress.consumed == 0 && progress.event.is_none() {
                        break;
                    }
                    still = if progress.consumed == 0 { still + 1 } else { 0 };
                }
                Err(_) => {
                    self.reader.seek_past();
                    still += 1;
                }
            }
            assert!(still < 10, "goes on without going on");
        }
        self.held.drain(..used);
        methods
    }
}

/// Both directions of HTTP/1: as who observes, and as who forwards.
pub fn http1(_: &Bench, input: &[u8]) {
    let limits = Limits { head_bytes: 16 * 1024, ..Limits::default() };
    let half = |reader| Half { reader, held: Vec::new() };
    let mut halves = [half(Reader::observed_requests(limits)), half(Reader::observed_responses(limits))];
    let turns = dialogue::parse(input);
    for turn in &turns {
        match turn {
            Turn::Says(side, bytes) => {
                for method in halves[*side as usize].read(bytes) {
                    halves[1].reader.expect(&method);
                }
            }
            Turn::Lost(side, bytes) => {
                let half = &mut halves[*side as usize];
                half.held.clear();
                let after = half.reader.gap(*bytes);
                half.read(b"");
                if let AfterGap::Ended(missing) = after
                    && missing < *bytes
                {
                    half.reader.seek();
                }
            }
            Turn::Ends(side) => drop(halves[*side as usize].reader.end_of_input()),
        }
    }
    for half in &mut halves {
        let _ = half.reader.end_of_input();
        half.reader.take_leniencies();
        half.reader.take_skipped();
    }
    forwarded(&turns, limits);
}

/// A strict reader stops at the first error and must not go in circles before it.
fn forwarded(turns: &[Turn], limits: Limits) {
    for (side, mut reader) in [(Side::Request, Reader::requests(limits)), (Side::Response, Reader::responses(limits))] {
        let all: Vec<u8> = turns
            .iter()
            .flat_map(|turn| match turn {
                Turn::Says(who, bytes) if *who == side => bytes.as_slice(),
                _ => &[],
            })
            .copied()
            .collect();
        reader.expect("GET");
        let (mut used, mut calls) = (0, 0);
        while let Ok(progress) = reader.read(&all[used..]) {
            used += progress.consumed;
            calls += 1;
            assert!(used <= all.len() && calls <= 3 * all.len() + 10, "goes in circles");
            if progress.consumed == 0 && progress.event.is_none() {
                break;
            }
        }
        let _ = reader.end_of_input();
    }
}

/// Both sides of HTTP/2.
pub fn http2(_: &Bench, input: &[u8]) {
    let Some((&start, input)) = input.split_first() else { return };
    let mut observer = Observer::new(match start % 4 {
        0 => Start::Upgraded,
        1 => Start::Midway,
        _ => Start::Preface,
    });
    let mut events = 0_usize;
    for turn in dialogue::parse(input) {
        let mut out = |_: overdub::wire::http2::Event<'_>| events += 1;
        match turn {
            Turn::Says(side, bytes) => drop(observer.read(side, &bytes, &mut out)),
            Turn::Lost(side, bytes) => observer.gap(side, bytes, &mut out),
            Turn::Ends(_) => {}
        }
    }
    assert!(events <= input.len() * 4 + 100, "more events than bytes");
}

/// Header blocks, each with its length before it.
pub fn hpack(_: &Bench, input: &[u8]) {
    let Some((&flags, mut input)) = input.split_first() else { return };
    let mut decoder = if flags & 1 == 0 { Decoder::new() } else { Decoder::midway() };
    let limit = [Some(4096), None, Some(0), Some(u32::MAX)][usize::from(flags >> 1 & 3)];
    while !input.is_empty() {
        let (block, rest) = split(input);
        input = rest;
        let extent = if flags & 8 == 0 { Extent::Whole } else { Extent::Cut };
        match decoder.decode(block, extent, limit) {
            Ok(fields) => assert!(fields.len() <= MAX_FIELDS + 1),
            Err(_) => decoder.lost(),
        }
    }
}

/// Both directions of a WebSocket.
pub fn websocket(_: &Bench, input: &[u8]) {
    let Some((&flags, input)) = input.split_first() else { return };
    let deflate = match flags & 3 {
        0 => None,
        1 => Some(Deflate::default()),
        2 => Some(Deflate { client_no_context_takeover: true, server_no_context_takeover: true, ..Deflate::default() }),
        _ => Some(Deflate { client_max_window_bits: 8, server_max_window_bits: 9, ..Deflate::default() }),
    };
    let mut readers = [Side::Request, Side::Response].map(|side| {
        if flags & 4 == 0 { websocket::Reader::new(side, deflate) } else { websocket::Reader::midway(side, deflate) }
    });
    let mut out = |found: websocket::Found<'_>| {
        assert!(found.payload.len() <= MESSAGE_BYTES && found.started <= found.ended && found.frames > 0);
    };
    for (at, turn) in (0..).map(Nanos).zip(dialogue::parse(input)) {
        match turn {
            Turn::Says(side, bytes) => drop(readers[side as usize].read(at, &bytes, &mut out)),
            Turn::Lost(side, bytes) => readers[side as usize].gap(bytes),
            Turn::Ends(side) => readers[side as usize].end(at, &mut out),
        }
    }
    readers.iter_mut().for_each(|reader| reader.end(Nanos(u64::MAX), &mut out));
}

/// Events of a stream.
pub fn sse(_: &Bench, input: &[u8]) {
    let mut reader = sse::Reader::default();
    let mut given = 0;
    let mut out = |started: Nanos, ended: Nanos, event: &[u8]| {
        assert!(started <= ended && event.len() <= sse::EVENT_BYTES + 2);
        given += event.len();
    };
    for (at, turn) in (0..).map(|at| Nanos(at * 70_000_000)).zip(dialogue::parse(input)) {
        match turn {
            Turn::Says(_, bytes) => reader.read(at, &bytes, &mut out),
            Turn::Lost(..) | Turn::Ends(_) => reader.end(at, &mut out),
        }
    }
    reader.end(Nanos(u64::MAX), &mut out);
    assert!(given <= input.len() + 8, "more than came");
}

/// Messages of gRPC; also tells protocols by the same bytes.
pub fn grpc(_: &Bench, input: &[u8]) {
    let mut reader = grpc::Reader::default();
    let mut out = |found: grpc::Found<'_>| assert!(found.started <= found.ended);
    let mut said = [Vec::new(), Vec::new()];
    for (at, turn) in (0..).map(Nanos).zip(dialogue::parse(input)) {
        match turn {
            Turn::Says(side, bytes) => {
                let _ = reader.read(at, &bytes, &mut out);
                said[side as usize].extend_from_slice(&bytes);
                let _ = sniff::sniff(&said[0], &said[1]);
                let _ = sniff::sniff_midway(&bytes, side == Side::Request);
            }
            Turn::Lost(_, bytes) => reader.gap(bytes),
            Turn::Ends(_) => reader.end(at, &mut out),
        }
    }
    let _ = sniff::guess(&said[0], &said[1], 443);
    reader.end(Nanos(u64::MAX), &mut out);
}
