//! Bytes that were never captured. Inside a frame whose header was seen, how much of what is missing is known, and where the
//! next frame begins; anywhere else it has to be looked for.

use super::Event;
use super::frame::{END_STREAM, HEADER_BYTES, Kind, PREFACE};
use super::hpack::Extent;
use super::lane::{At, Data, Lane, Sink};
use super::settings::Shared;

impl Lane {
    /// So many bytes are missing here; 0 when not known.
    pub(super) fn gap(&mut self, shared: &mut Shared, bytes: u64, out: Sink<'_>) {
        self.untouched = false;
        let left = self.frame_left();
        let within = bytes > 0 && bytes <= left;
        // What is left of the frame behind a gap that ends inside it.
        let behind = if within { (left - bytes) as u32 } else { 0 };
        match self.at {
            At::Data(data) => return self.data_gap(shared, data, bytes, out),
            At::Preface(_) if within => return self.preface_to(shared, PREFACE.len() - behind as usize),
            At::Padding(header) if bytes > 0 => {
                let end = Some(header.has(END_STREAM));
                out(Event::DataGap { side: self.side, stream: header.stream, bytes: 0, end });
            }
            At::Collect(header, _) => self.finish_held(shared, &header, Extent::Cut, out),
            At::Header if within => self.header_gap(shared, bytes, out),
            At::Preface(_) | At::Padding(_) | At::Header | At::Skip(_) | At::Hunting => {}
        }
        if within {
            self.skip(behind);
        } else {
            self.lose(shared, bytes.saturating_sub(left), out);
        }
    }

    /// Bytes from here to the end of the frame, as far as its length was seen.
    fn frame_left(&self) -> u64 {
        match self.at {
            At::Preface(seen) => (PREFACE.len() - seen) as u64,
            At::Header => self.held.first_chunk::<3>().map_or(0, |&[a, b, c]| {
                (HEADER_BYTES - self.held.len()) as u64 + u64::from(u32::from_be_bytes([0, a, b, c]))
            }),
            At::Padding(header) => header.length.into(),
            At::Data(data) => u64::from(data.left) + u64::from(data.padding),
            At::Collect(header, seen) => (header.length - seen).into(),
            At::Skip(left) => left.into(),
            At::Hunting => 0,
        }
    }

    fn data_gap(&mut self, shared: &mut Shared, mut data: Data, bytes: u64, out: Sink<'_>) {
        let missing = bytes.min(data.left.into());
        data.left -= missing as u32;
        if missing > 0 {
            let end = Some(data.end && data.left == 0);
            out(Event::DataGap { side: self.side, stream: data.stream, bytes: missing, end });
        }
        let more = bytes - missing;
        match u32::try_from(more).ok().and_then(|more| data.padding.checked_sub(more)) {
            Some(padding) if bytes > 0 => self.go_on(Data { padding, ..data }),
            _ => self.lose(shared, more.saturating_sub(data.padding.into()), out),
        }
    }

    /// The gap begins in a frame header behind the length and ends inside the frame, which is thereby lost.
    fn header_gap(&mut self, shared: &mut Shared, bytes: u64, out: Sink<'_>) {
        let kind = self.held.get(3).map(|&kind| Kind::of(kind));
        self.held.clear();
        if kind.is_some_and(Kind::is_silent) {
            return;
        }
        if kind != Some(Kind::Data) {
            self.heads.interrupted(shared.table_limit(self.side), out);
            self.heads.lost();
            shared.lost(self.side);
        }
        out(Event::Lost { side: self.side, bytes });
    }
}
