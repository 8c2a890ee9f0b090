//! Records as they lie in the file. The only user of bincode; the way between these records and `model` is in the modules
//! below. A field is never changed or removed; new ones go to the end, with a new minor version. Layout: FORMAT.md.

mod exchange;
mod message;
mod remark;
mod segment;

use std::borrow::Cow;

use bincode::de::BorrowDecoder;
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Encode};

use crate::model::{Body, CHUNK_BYTES, ChunkId, Headers, SessionId, SessionInfo, Side};

use super::CaptureError;

pub(super) use exchange::{decode_exchange, encode_exchange};
pub(super) use message::{decode_message, encode_message, owner};
pub(super) use segment::{decode_segment, encode_segment};

/// Longest record that is written; a record that long still decodes within `DECODE_LIMIT_BYTES`.
pub(super) const MAX_RECORD_BYTES: usize = 8 << 20;

/// What decoding one record may allocate. Records grow at most twentyfold in memory.
const DECODE_LIMIT_BYTES: usize = 256 << 20;

const CONFIG: bincode::config::Configuration = bincode::config::standard();

type Bytes<'a> = Cow<'a, [u8]>;
type Text<'a> = Cow<'a, str>;

/// Header fields, copied neither on the way in nor on the way out.
enum Fields<'a> {
    Model(&'a Headers),
    Record(Vec<(Bytes<'a>, Bytes<'a>)>),
}

/// Names of chunks, likewise.
enum Names<'a> {
    Model(&'a [ChunkId]),
    Record(Vec<[u8; 16]>),
}

#[derive(Encode, BorrowDecode)]
struct StoredSession<'a> {
    id: u32,
    client: Text<'a>,
    user_agent: Option<Text<'a>>,
}

/// What 1.1 added to a session.
#[derive(Default, Encode, BorrowDecode)]
struct SessionMore<'a> {
    evidence: Text<'a>,
    midway: u8,
}

#[derive(Encode, BorrowDecode)]
struct StoredBody<'a> {
    len: u64,
    chunks: Names<'a>,
}

#[derive(Encode, BorrowDecode)]
struct StoredExchange<'a> {
    id: u64,
    session: u32,
    transaction: Option<Text<'a>>,
    request: StoredRequest<'a>,
    interim: Vec<StoredResponse<'a>>,
    response: Option<StoredResponse<'a>>,
    timing: StoredTiming,
    transport: StoredTransport<'a>,
    incomplete: Option<(u8, Text<'a>)>,
}

/// What 1.1 added to an exchange.
#[derive(Default, Encode, BorrowDecode)]
struct ExchangeMore<'a> {
    remarks: Vec<StoredRemark<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct StoredRequest<'a> {
    scheme: u8,
    host: Text<'a>,
    port: u16,
    method: Text<'a>,
    target: Bytes<'a>,
    version: u8,
    headers: Fields<'a>,
    body: StoredBody<'a>,
    trailers: Fields<'a>,
}

#[derive(Encode, BorrowDecode)]
struct StoredResponse<'a> {
    version: u8,
    status: u16,
    reason: Bytes<'a>,
    headers: Fields<'a>,
    body: StoredBody<'a>,
    trailers: Fields<'a>,
}

#[derive(Encode, BorrowDecode)]
struct StoredTiming {
    started: u64,
    request_done: Option<u64>,
    connect: Option<(u64, u64)>,
    tls: Option<(u64, u64)>,
    upstream_sent: Option<u64>,
    upstream_first: Option<u64>,
    upstream_done: Option<u64>,
    client_first: Option<u64>,
    finished: u64,
}

#[derive(Encode, BorrowDecode)]
struct StoredTransport<'a> {
    client: Text<'a>,
    client_connection: u64,
    upstream_connection: Option<u64>,
    stream: Option<u32>,
    tls: Option<Text<'a>>,
    alpn: Option<Text<'a>>,
    sni: Option<Text<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct StoredMessage<'a> {
    exchange: u64,
    number: u32,
    from: u8,
    kind: u8,
    started: u64,
    ended: u64,
    frames: u32,
    body: StoredBody<'a>,
    compressed: u8,
}

/// What the fields of each kind mean is said in FORMAT.md.
#[derive(Clone, Debug, PartialEq, Eq, Encode, BorrowDecode)]
struct StoredRemark<'a> {
    kind: u8,
    about: u8,
    at: u64,
    count: u64,
    text: Bytes<'a>,
}

#[derive(Encode, BorrowDecode)]
struct StoredSegment<'a> {
    previous: u64,
    chunk_frames: Vec<(u64, Vec<[u8; 16]>)>,
    exchange_frames: Vec<(u64, Vec<StoredEntry>)>,
    /// Whole records, so that a session can gain fields.
    sessions: Vec<Bytes<'a>>,
}

/// What 1.1 added to a segment.
#[derive(Default, Encode, BorrowDecode)]
struct SegmentMore {
    message_frames: Vec<(u64, Vec<StoredMessageEntry>)>,
}

#[derive(Encode, BorrowDecode)]
struct StoredEntry {
    id: u64,
    session: u32,
    started: u64,
    finished: u64,
}

#[derive(Encode, BorrowDecode)]
struct StoredMessageEntry {
    exchange: u64,
    last: u32,
    count: u32,
}

/// A session's record.
pub(super) fn encode_session(info: &SessionInfo) -> Result<Vec<u8>, CaptureError> {
    let mut record = Vec::new();
    let stored =
        StoredSession { id: info.id.0, client: Cow::Borrowed(&info.client), user_agent: borrowed(&info.user_agent) };
    let more = SessionMore { evidence: Cow::Borrowed(&info.evidence), midway: u8::from(info.midway) };
    encode((stored, more), &mut record)?;
    Ok(record)
}

/// Reads a session's record.
pub(super) fn decode_session(record: &[u8]) -> Result<SessionInfo, CaptureError> {
    let (stored, more) = decode_with::<StoredSession<'_>, SessionMore<'_>>(record)?;
    Ok(SessionInfo {
        id: SessionId(stored.id),
        client: stored.client.into_owned(),
        user_agent: stored.user_agent.map(Cow::into_owned),
        evidence: more.evidence.into_owned(),
        midway: more.midway != 0,
    })
}

/// Makes `bytes` the record's.
fn encode(record: impl Encode, bytes: &mut Vec<u8>) -> Result<(), CaptureError> {
    bytes.clear();
    bincode::encode_into_writer(record, Tail(bytes), CONFIG).map_err(|_| CaptureError::Record)?;
    if bytes.len() > MAX_RECORD_BYTES { Err(CaptureError::TooLarge { bytes: bytes.len() as u64 }) } else { Ok(()) }
}

/// The end of a record under way.
struct Tail<'a>(&'a mut Vec<u8>);

impl Writer for Tail<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match bytes {
            [byte] => self.0.push(*byte),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }
}

/// Decodes the start of a record; returns what stands behind it, too.
fn decode<'a, T: BorrowDecode<'a, ()>>(record: &'a [u8]) -> Result<(T, &'a [u8]), CaptureError> {
    let config = CONFIG.with_limit::<DECODE_LIMIT_BYTES>();
    match bincode::borrow_decode_from_slice(record, config) {
        Ok((value, read)) => Ok((value, record.get(read..).unwrap_or_default())),
        Err(_) => Err(CaptureError::Record),
    }
}

/// Decodes a record of two parts: the fields of 1.0, and those of 1.1, which older records do not have. Bytes behind them
/// are fields of a newer minor version.
fn decode_with<'a, T, M>(record: &'a [u8]) -> Result<(T, M), CaptureError>
where
    T: BorrowDecode<'a, ()>,
    M: BorrowDecode<'a, ()> + Default,
{
    let (first, rest) = decode::<T>(record)?;
    let more = if rest.is_empty() { M::default() } else { decode::<M>(rest)?.0 };
    Ok((first, more))
}

impl Encode for Fields<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        match self {
            Self::Model(headers) => {
                (headers.0.len() as u64).encode(encoder)?;
                headers.0.iter().try_for_each(|(name, value)| {
                    encode_bytes(name, encoder)?;
                    encode_bytes(value, encoder)
                })
            }
            Self::Record(fields) => fields.encode(encoder),
        }
    }
}

/// As bincode does; short ones, of which there are the most, by a shorter way.
fn encode_bytes<E: Encoder>(bytes: &[u8], encoder: &mut E) -> Result<(), EncodeError> {
    match u8::try_from(bytes.len()) {
        Ok(len @ ..=250) => {
            encoder.writer().write(&[len])?;
            encoder.writer().write(bytes)
        }
        _ => bytes.encode(encoder),
    }
}

impl<'de, C> BorrowDecode<'de, C> for Fields<'de> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        BorrowDecode::borrow_decode(decoder).map(Self::Record)
    }
}

impl Encode for Names<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        match self {
            Self::Model(ids) => {
                (ids.len() as u64).encode(encoder)?;
                ids.iter().try_for_each(|id| id.0.encode(encoder))
            }
            Self::Record(ids) => ids.encode(encoder),
        }
    }
}

impl<'de, C> BorrowDecode<'de, C> for Names<'de> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        BorrowDecode::borrow_decode(decoder).map(Self::Record)
    }
}

impl Fields<'_> {
    fn model(self) -> Headers {
        match self {
            Self::Model(headers) => headers.clone(),
            Self::Record(fields) => {
                Headers(fields.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
            }
        }
    }
}

impl Names<'_> {
    fn model(self) -> Vec<ChunkId> {
        match self {
            Self::Model(ids) => ids.to_vec(),
            Self::Record(ids) => ids.into_iter().map(ChunkId).collect(),
        }
    }
}

impl<'a> StoredBody<'a> {
    fn of(body: &'a Body) -> Self {
        Self { len: body.len, chunks: Names::Model(&body.chunks) }
    }

    /// A length that its chunks cannot have is refused, so that nobody sizes a buffer by it.
    fn model(self) -> Result<Body, CaptureError> {
        let body = Body { chunks: self.chunks.model(), len: self.len };
        if body.len > (body.chunks.len() as u64).saturating_mul(CHUNK_BYTES as u64) {
            return Err(CaptureError::Record);
        }
        Ok(body)
    }
}

fn borrowed(text: &Option<String>) -> Option<Text<'_>> {
    text.as_deref().map(Cow::Borrowed)
}

fn store_side(side: Side) -> u8 {
    match side {
        Side::Request => 0,
        Side::Response => 1,
    }
}

fn load_side(code: u8) -> Option<Side> {
    match code {
        0 => Some(Side::Request),
        1 => Some(Side::Response),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_newer_minor_version_are_passed_over() {
        let info =
            SessionInfo { id: SessionId(3), client: "10.0.0.1".into(), user_agent: None, ..SessionInfo::default() };
        let mut record = encode_session(&info).unwrap();
        record.extend_from_slice(b"something newer");
        assert_eq!(decode_session(&record).unwrap(), info);
    }

    #[test]
    fn a_session_without_the_fields_of_1_1_has_nothing_in_them() {
        let stored = StoredSession { id: 3, client: "10.0.0.1".into(), user_agent: None };
        let mut record = Vec::new();
        encode(stored, &mut record).unwrap();
        let info = decode_session(&record).unwrap();
        assert_eq!(info, SessionInfo { id: SessionId(3), client: "10.0.0.1".into(), ..SessionInfo::default() });
    }

    #[test]
    fn a_body_longer_than_its_chunks_can_be_is_refused() {
        for (len, chunks, fine) in [
            (0, 0, true),
            (1, 0, false),
            (0, 1, true),
            (65_536, 1, true),
            (65_537, 1, false),
            (65_537, 2, true),
            (u64::MAX, 2, false),
        ] {
            let body = StoredBody { len, chunks: Names::Record(vec![[0; 16]; chunks]) };
            assert_eq!(body.model().is_ok(), fine, "{len} bytes in {chunks} chunks");
        }
    }
}
