//! Tests that need the inside of the room: failing disks, damaged headers, the sizes at which frames are cut.

use std::io;
use std::sync::{Arc, Mutex};

use super::log::Storage;
use super::{CaptureError, Compression, Provenance, Reader, Writer};
use crate::model::{
    Body, BodySource, Exchange, ExchangeId, Headers, Message, MessageKind, Nanos, Origin, Request, Scheme, SessionId,
    SessionInfo, Side, Timing, Transport, Version,
};

/// A file in memory that holds at most `room` bytes.
#[derive(Clone, Debug, Default)]
struct SmallDisk(Arc<Mutex<(Vec<u8>, usize)>>);

impl SmallDisk {
    fn new(room: usize) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), room))))
    }

    fn set_room(&self, room: usize) {
        self.0.lock().unwrap().1 = room;
    }

    fn content(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }

    fn open(&self) -> Reader {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), self.content()).unwrap();
        Reader::open(file.path()).unwrap()
    }
}

impl Storage for SmallDisk {
    /// Like a real disk: what fits is written before the error comes.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let (start, room) = (usize::try_from(offset).unwrap(), disk.1);
        let fits = bytes.len().min(room.saturating_sub(start));
        let len = disk.0.len().max(start + fits);
        disk.0.resize(len, 0);
        disk.0[start..start + fits].copy_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().0.truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn provenance() -> Provenance {
    Provenance { anchor_unix_ns: 1, source: "test".into(), program: "0.0.0".into() }
}

fn exchange(id: u64, body: Body) -> Exchange {
    Exchange {
        id: ExchangeId(id),
        session: SessionId(1),
        transaction: None,
        request: Request {
            origin: Origin::new(Scheme::Http, "shop.test", 80),
            method: "POST".into(),
            target: b"/".to_vec(),
            version: Version::Http11,
            headers: Headers::default(),
            body,
            trailers: Headers::default(),
        },
        interim: Vec::new(),
        response: None,
        timing: Timing { started: Nanos(id), finished: Nanos(id + 1), ..Timing::default() },
        transport: Transport {
            client: ([127, 0, 0, 1], 9).into(),
            client_connection: 1,
            upstream_connection: None,
            stream: None,
            tls: None,
            alpn: None,
            sni: None,
        },
        incomplete: None,
        remarks: Vec::new(),
    }
}

/// 64 KiB that do not compress, different for each number.
fn noise(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(step).take(crate::model::CHUNK_BYTES / 8).flatten().collect()
}

fn write(writer: &mut Writer, number: u64) -> Result<(), CaptureError> {
    let bytes = noise(number);
    let chunk = writer.chunk(&bytes)?;
    writer.exchange(&exchange(number, Body { chunks: vec![chunk], len: bytes.len() as u64 }))
}

#[test]
fn a_full_disk_leaves_a_sound_file_and_bounded_memory_and_writing_goes_on_when_there_is_room() {
    let disk = SmallDisk::new(3 << 20);
    let mut writer = Writer::over(Box::new(disk.clone()), &provenance(), Compression::Zstd).unwrap();
    writer.session(&SessionInfo { id: SessionId(1), ..SessionInfo::default() }).unwrap();
    let mut taken = Vec::new();
    let mut refused = 0;
    for number in 1..=400 {
        match write(&mut writer, number) {
            Ok(()) => taken.push(number),
            Err(CaptureError::DiskFull(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(taken.len() > 100 && refused > 100, "{} taken, {refused} refused", taken.len());
    assert!(matches!(writer.flush(), Err(CaptureError::DiskFull(_))));
    assert!(disk.open().damage().is_sound(), "a failed write leaves no trace");

    disk.set_room(64 << 20);
    writer.flush().unwrap();
    write(&mut writer, 500).unwrap();
    taken.push(500);
    let summary = writer.finish().unwrap();
    assert_eq!(summary.exchanges, taken.len() as u64);

    let reader = disk.open();
    assert!(reader.damage().is_sound() && !reader.damage().unfinished);
    let read: Vec<Exchange> = reader.exchanges().map(Result::unwrap).collect();
    assert_eq!(
        read.iter().map(|e| e.id.0).collect::<Vec<_>>(),
        taken,
        "what was taken is there, what was refused is not"
    );
    for exchange in &read {
        assert!(reader.load(&exchange.request.body, 1 << 20).unwrap() == noise(exchange.id.0));
    }
}

#[test]
fn a_disk_that_is_full_from_the_start_fails_the_creation() {
    let disk = SmallDisk::new(5);
    let error = Writer::over(Box::new(disk), &provenance(), Compression::Zstd).unwrap_err();
    assert!(matches!(error, CaptureError::DiskFull(_)));
}

#[test]
fn many_segments_of_the_index_find_everything_again() {
    let disk = SmallDisk::new(usize::MAX);
    let mut writer = Writer::over(Box::new(disk.clone()), &provenance(), Compression::Zstd).unwrap();
    let count = 30_000;
    for id in 1..=count {
        writer.exchange(&exchange(id, Body::default())).unwrap();
    }
    let unfinished = {
        writer.flush().unwrap();
        disk.open()
    };
    writer.finish().unwrap();
    let finished = disk.open();
    assert!(unfinished.damage().unfinished && !finished.damage().unfinished);
    for reader in [unfinished, finished] {
        assert_eq!(reader.exchange_count(), count);
        assert_eq!(reader.exchange(ExchangeId(17_000)).unwrap(), exchange(17_000, Body::default()));
        assert_eq!(reader.session(SessionId(1)).unwrap().exchanges.len() as u64, count);
    }
}

#[test]
fn a_frame_lost_before_a_segment_names_its_exchanges_even_without_an_end() {
    let disk = SmallDisk::new(usize::MAX);
    let mut writer = Writer::over(Box::new(disk.clone()), &provenance(), Compression::None).unwrap();
    writer.exchange(&exchange(1, Body::default())).unwrap();
    writer.flush().unwrap();
    let second = disk.content().len();
    writer.exchange(&exchange(2, Body::default())).unwrap();
    writer.exchange(&exchange(5, Body::default())).unwrap();
    writer.flush().unwrap();
    writer.exchange(&exchange(6, Body::default())).unwrap();
    writer.finish().unwrap();

    let mut bytes = disk.content();
    bytes[second + 60] ^= 1;
    let cut = bytes[..bytes.len() - 3].to_vec();
    for (bytes, unfinished) in [(bytes, false), (cut, true)] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let reader = Reader::open(file.path()).unwrap();
        let damage = reader.damage();
        assert_eq!(damage.unfinished, unfinished);
        assert_eq!(damage.lost_exchanges, [ExchangeId(2), ExchangeId(5)], "3 and 4 never were");
        assert_eq!(damage.bad_frames[0].2, "2 exchanges");
        assert_eq!(reader.session(SessionId(1)).unwrap().exchanges.len(), 2);
    }
}

#[test]
fn the_second_writer_of_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let _first = Writer::create(file.path(), &provenance()).unwrap();
    assert!(Writer::create(file.path(), &provenance()).is_err());
}

#[test]
fn a_small_file_that_unpacks_into_a_huge_index_is_refused() {
    let session = super::stored::encode_session(&SessionInfo::default()).unwrap();
    let mut payload = Vec::new();
    for _ in 0..500_000 {
        super::frame::push_record(&mut payload, &session);
    }
    let (mut bytes, seed) = super::header::encode(super::header::CURRENT, &provenance());
    bytes.extend(super::frame::Sealer::new(seed, true).seal(super::frame::Kind::Sessions, 500_000, &payload));
    assert!(bytes.len() < 10_000, "it is small: {}", bytes.len());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    assert!(matches!(Reader::open(file.path()), Err(CaptureError::Record)));
}

#[test]
fn a_disk_that_was_full_for_long_leaves_an_index_of_several_segments_that_names_all_messages() {
    let disk = SmallDisk::new(1 << 10);
    let mut writer = Writer::over(Box::new(disk.clone()), &provenance(), Compression::Zstd).unwrap();
    let messages = 600_000;
    for id in 1..=messages {
        let message = Message {
            exchange: ExchangeId(id),
            number: 1,
            from: Side::Request,
            kind: MessageKind::Ping,
            started: Nanos(id),
            ended: Nanos(id),
            frames: 1,
            body: Body::default(),
            compressed: false,
        };
        writer.message(&message).unwrap();
    }
    disk.set_room(64 << 20);
    writer.exchange(&exchange(messages, Body::default())).unwrap();
    writer.finish().unwrap();
    let reader = disk.open();
    assert!(reader.damage().is_sound() && !reader.damage().unfinished);
    assert_eq!(reader.message_count(), messages);
    assert_eq!(reader.messages(ExchangeId(messages)).unwrap().len(), 1);
}
