//! What stands behind a frame header: DATA is handed on as it comes, small frames are read whole, the rest is passed over.

use super::Event;
use super::frame::{ACK, END_STREAM, Header, Kind, PADDED, number_at, stream_at};
use super::heads::BLOCK_BYTES;
use super::hpack::Extent;
use super::lane::{At, Data, Lane, Sink};
use super::settings::Shared;

/// Most that is kept of SETTINGS and GOAWAY.
const SMALL_BYTES: usize = 16 * 1024;
/// Most that is kept of a frame with fields: the block with its longest padding and what stands before it.
const FIELDS_BYTES: usize = BLOCK_BYTES + 512;

impl Lane {
    /// A frame begins.
    pub(super) fn begin(&mut self, shared: &mut Shared, header: Header, rest: &mut &[u8], out: Sink<'_>) {
        if self.heads.is_open() && header.kind != Kind::Continuation {
            self.heads.interrupted(shared.table_limit(self.side), out);
            self.heads.lost();
            out(Event::Lost { side: self.side, bytes: 0 });
        }
        match header.kind {
            Kind::Data if header.has(PADDED) && header.length == 0 => {
                out(Event::Lost { side: self.side, bytes: 0 });
                self.at = At::Header;
            }
            Kind::Data if header.has(PADDED) => self.at = At::Padding(header),
            Kind::Data => self.begin_data(header, header.length, 0, out),
            Kind::Headers | Kind::Promise | Kind::Continuation | Kind::Reset | Kind::Settings | Kind::GoAway => {
                match rest.split_at_checked(header.length as usize) {
                    Some((payload, behind)) => {
                        *rest = behind;
                        self.at = At::Header;
                        self.finish(shared, &header, payload, Extent::Whole, out);
                    }
                    None => self.at = At::Collect(header, 0),
                }
            }
            _ => self.skip(header.length),
        }
        shared.used(header.stream);
    }

    pub(super) fn padding(&mut self, header: Header, rest: &mut &[u8], out: Sink<'_>) {
        let Some((&padding, behind)) = rest.split_first() else { return };
        *rest = behind;
        let padding = u32::from(padding);
        match (header.length - 1).checked_sub(padding) {
            Some(left) => self.begin_data(header, left, padding, out),
            None => {
                out(Event::Lost { side: self.side, bytes: header.length.into() });
                self.skip(header.length - 1);
            }
        }
    }

    fn begin_data(&mut self, header: Header, left: u32, padding: u32, out: Sink<'_>) {
        let data = Data { stream: header.stream, left, padding, end: header.has(END_STREAM) };
        if left > 0 {
            self.at = At::Data(data);
            return;
        }
        if data.end {
            out(Event::Data { side: self.side, stream: data.stream, bytes: &[], end: true });
        }
        self.skip(padding);
    }

    pub(super) fn data(&mut self, mut data: Data, rest: &mut &[u8], out: Sink<'_>) {
        let (bytes, behind) = rest.split_at(rest.len().min(data.left as usize));
        *rest = behind;
        data.left -= bytes.len() as u32;
        out(Event::Data { side: self.side, stream: data.stream, bytes, end: data.end && data.left == 0 });
        self.go_on(data);
    }

    /// In a DATA frame of which this is left.
    pub(super) fn go_on(&mut self, data: Data) {
        if data.left > 0 {
            self.at = At::Data(data);
        } else {
            self.skip(data.padding);
        }
    }

    pub(super) fn collect(&mut self, shared: &mut Shared, header: Header, seen: u32, rest: &mut &[u8], out: Sink<'_>) {
        let (now, behind) = rest.split_at(rest.len().min((header.length - seen) as usize));
        *rest = behind;
        let kept = if header.kind.has_fields() { FIELDS_BYTES } else { SMALL_BYTES };
        self.held.extend_from_slice(&now[..now.len().min(kept - self.held.len())]);
        let seen = seen + now.len() as u32;
        if seen < header.length {
            self.at = At::Collect(header, seen);
            return;
        }
        let extent = if self.held.len() < seen as usize { Extent::Cut } else { Extent::Whole };
        self.at = At::Header;
        self.finish_held(shared, &header, extent, out);
    }

    /// The frame that was collected is over, or what follows is lost.
    pub(super) fn finish_held(&mut self, shared: &mut Shared, header: &Header, extent: Extent, out: Sink<'_>) {
        let mut payload = std::mem::take(&mut self.held);
        self.finish(shared, header, &payload, extent, out);
        if payload.capacity() <= SMALL_BYTES {
            payload.clear();
            self.held = payload;
        }
    }

    /// A frame of the kinds that are read whole.
    fn finish(&mut self, shared: &mut Shared, header: &Header, payload: &[u8], extent: Extent, out: Sink<'_>) {
        let side = self.side;
        match header.kind {
            Kind::Settings if header.has(ACK) => {}
            Kind::Settings => {
                shared.announce(side, payload);
                if extent == Extent::Cut {
                    shared.unsure(side);
                }
            }
            Kind::Reset => out(match number_at(payload) {
                Some(code) => Event::Reset { side, stream: header.stream, code },
                None => Event::Lost { side, bytes: 0 },
            }),
            Kind::GoAway => out(match (stream_at(payload), payload.get(4..).and_then(number_at)) {
                (Some(last_stream), Some(code)) => Event::GoAway { side, last_stream, code, debug: &payload[8..] },
                _ => Event::Lost { side, bytes: 0 },
            }),
            _ => {
                if header.kind == Kind::Promise {
                    let promised = payload.get(usize::from(header.has(PADDED))..).and_then(stream_at);
                    shared.pushed = shared.pushed.max(promised.unwrap_or(0));
                }
                self.heads.frame(header, payload, extent, shared.table_limit(side), out);
            }
        }
    }
}
