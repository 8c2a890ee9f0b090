//! Records of messages.

use crate::model::{CHUNK_BYTES, ExchangeId, Message, MessageKind, Nanos};

use super::{CaptureError, StoredBody, StoredMessage, decode, encode, load_side, store_side};

/// Makes `record` a message's.
pub(in crate::capture) fn encode_message(message: &Message, record: &mut Vec<u8>) -> Result<(), CaptureError> {
    if message.body.len > (message.body.chunks.len() * CHUNK_BYTES) as u64 {
        return Err(CaptureError::Record);
    }
    let stored = StoredMessage {
        exchange: message.exchange.0,
        number: message.number,
        from: store_side(message.from),
        kind: store_kind(message.kind),
        started: message.started.0,
        ended: message.ended.0,
        frames: message.frames,
        body: StoredBody::of(&message.body),
        compressed: u8::from(message.compressed),
    };
    encode(stored, record)
}

/// Reads a message's record; none when it is of a kind or from a side that this version does not know.
pub(in crate::capture) fn decode_message(record: &[u8]) -> Result<Option<Message>, CaptureError> {
    let (stored, _newer_fields) = decode::<StoredMessage<'_>>(record)?;
    let (Some(from), Some(kind)) = (load_side(stored.from), load_kind(stored.kind)) else { return Ok(None) };
    Ok(Some(Message {
        exchange: ExchangeId(stored.exchange),
        number: stored.number,
        from,
        kind,
        started: Nanos(stored.started),
        ended: Nanos(stored.ended),
        frames: stored.frames,
        body: stored.body.model()?,
        compressed: stored.compressed != 0,
    }))
}

/// Exchange and number of a message, without the rest of it.
pub(in crate::capture) fn owner(record: &[u8]) -> Result<(ExchangeId, u32), CaptureError> {
    let ((exchange, number), _) = decode::<(u64, u32)>(record)?;
    Ok((ExchangeId(exchange), number))
}

fn store_kind(kind: MessageKind) -> u8 {
    match kind {
        MessageKind::Text => 0,
        MessageKind::Binary => 1,
        MessageKind::Close => 2,
        MessageKind::Ping => 3,
        MessageKind::Pong => 4,
        MessageKind::Event => 5,
        MessageKind::Grpc => 6,
        MessageKind::Bytes => 7,
    }
}

fn load_kind(code: u8) -> Option<MessageKind> {
    Some(match code {
        0 => MessageKind::Text,
        1 => MessageKind::Binary,
        2 => MessageKind::Close,
        3 => MessageKind::Ping,
        4 => MessageKind::Pong,
        5 => MessageKind::Event,
        6 => MessageKind::Grpc,
        7 => MessageKind::Bytes,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::model::{Body, ChunkId, Side};

    use super::*;

    fn message() -> Message {
        Message {
            exchange: ExchangeId(70_000),
            number: u32::MAX,
            from: Side::Response,
            kind: MessageKind::Text,
            started: Nanos(5),
            ended: Nanos(u64::MAX),
            frames: 3,
            body: Body { chunks: vec![ChunkId([7; 16])], len: 9 },
            compressed: true,
        }
    }

    fn encoded(message: &Message) -> Vec<u8> {
        let mut record = b"what was there before".to_vec();
        encode_message(message, &mut record).unwrap();
        record
    }

    #[test]
    fn every_kind_of_message_comes_back_and_is_found_by_its_first_fields() {
        use MessageKind::{Binary, Close, Event, Grpc, Ping, Pong, Text};
        for kind in [Text, Binary, Close, Ping, Pong, Event, Grpc] {
            for (from, compressed) in [(Side::Request, false), (Side::Response, true)] {
                let message = Message { kind, from, compressed, ..message() };
                let mut record = encoded(&message);
                record.extend_from_slice(b"something newer");
                assert_eq!(decode_message(&record).unwrap().as_ref(), Some(&message));
                assert_eq!(owner(&record).unwrap(), (message.exchange, message.number));
            }
        }
    }

    #[test]
    fn a_message_of_a_later_kind_is_passed_over_and_a_cut_one_is_an_error() {
        let record = encoded(&message());
        let kind_at = 5 + 5 + 1;
        let mut later = record.clone();
        assert_eq!(later[kind_at], 0);
        later[kind_at] = 99;
        assert_eq!(decode_message(&later).unwrap(), None);
        for cut in 0..record.len() {
            assert!(decode_message(&record[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_payload_longer_than_its_chunks_can_be_is_refused() {
        let mut message = message();
        message.body.len = CHUNK_BYTES as u64 + 1;
        assert!(encode_message(&message, &mut Vec::new()).is_err());
    }
}
