//! Mutated input, the same in every run: nothing may panic, hang or exhaust memory.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use overdub::capture::{Reader, Writer};
use overdub::correlate::{Prior, correlate};
use overdub::measure::{Aggregate, Run};
use overdub::model::{BodySource, DataTable, Exchange, MemoryBodies, Nanos, Origin, Session};
use overdub::plan::{Speed, Target, Users, Workload, plan};
use overdub::replay::{Config, Control, Trust};
use overdub::rules::RuleSet;

use crate::support::Server;

use super::{run, shipped, workplace};

/// Random numbers that are the same in every run (xorshift, Marsaglia 2003).
struct Dice(u64);

/// So many rounds in a test; `OVERDUB_TEST_ROUNDS=50` makes it fifty times as many, for a search that may take long.
fn rounds(usual: usize) -> usize {
    let times = std::env::var("OVERDUB_TEST_ROUNDS").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    usual.saturating_mul(times)
}

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below.max(1)
    }

    /// Spoils bytes in one to four places.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        const ODD: [&[u8]; 12] = [
            b"\0",
            b"\xff\xff\xff\xff",
            b"\xc3",
            b"\r\n",
            b"\r\n\r\n",
            b"\"",
            b"<",
            b"{}",
            b"%",
            b"18446744073709551615",
            b"-1",
            b"\xf0\x9f\xa6\x80",
        ];
        for _ in 0..=self.roll(4) {
            let at = self.roll(bytes.len() + 1);
            let end = (at + self.roll(24)).min(bytes.len());
            match self.roll(7) {
                0 => drop(bytes.drain(at..end)),
                1 => bytes.truncate(at),
                2 => {
                    let again = bytes[at..end].to_vec();
                    let to = self.roll(bytes.len() + 1);
                    bytes.splice(to..to, again);
                }
                3 => {
                    let odd = ODD[self.roll(ODD.len())];
                    bytes.splice(at..at, odd.iter().copied());
                }
                _ if at < bytes.len() => bytes[at] = self.roll(256) as u8,
                _ => {}
            }
        }
    }

    fn spoil_text(&mut self, text: &mut String) {
        let mut bytes = std::mem::take(text).into_bytes();
        self.spoil(&mut bytes);
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
}

fn workload(recorded: Option<Origin>, data: Option<DataTable>) -> Workload {
    let actual = "http://127.0.0.1:9".parse().unwrap();
    Workload {
        speed: Speed::Factor(0.000_001),
        users: Users::Multiplied(2),
        targets: vec![Target { recorded, actual }],
        data,
        iterations: 1,
        seed: 1,
    }
}

/// Everything that happens to sessions before a replay.
fn correlate_and_plan(sessions: &[Session], bodies: &dyn BodySource) {
    let rules = correlate(sessions, bodies, None, Prior::KnownTokens);
    let text = rules.print();
    let read = RuleSet::parse(&text);
    let real = |e: &Exchange| e.request.origin.to_string().parse::<Origin>().is_ok_and(|o| o == e.request.origin);
    if sessions.iter().flat_map(|s| &s.exchanges).all(real) {
        assert!(read.is_ok(), "our own rules cannot be read: {read:?}\n{text}");
    }
    let _ = plan(sessions, bodies, &read.unwrap_or(rules), &workload(None, None));
}

fn sessions_of(reader: &Reader) -> Vec<Session> {
    reader.sessions().iter().filter_map(|s| reader.session(s.info.id).ok()).collect()
}

/// Opens what may be a capture, and uses all of it.
fn use_capture(path: &Path) -> bool {
    let Ok(reader) = Reader::open(path) else { return false };
    for exchange in reader.exchanges().flatten() {
        let _ = reader.load(&exchange.request.body, 1 << 20);
        if let Some(response) = &exchange.response {
            let _ = reader.load(&response.body, 1 << 20);
        }
    }
    let _ = (reader.check_bodies(), reader.span());
    correlate_and_plan(&sessions_of(&reader), &reader);
    true
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/capture").join(name)).unwrap()
}

/// A new file each time: to write over one can wait for the disk.
fn put(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

#[test]
fn mutated_captures_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.dub");
    let mut dice = Dice(1);
    let mut opened = 0;
    for round in 0..rounds(2000) {
        let mut bytes = fixture(if round % 2 == 0 { "v1.0.dub" } else { "v1.0-zstd.dub" });
        dice.spoil(&mut bytes);
        put(&path, &bytes);
        opened += usize::from(use_capture(&path));
    }
    assert!(opened > 100, "only {opened} were still captures");
}

/// Spoils the payloads of frames and makes their checksums right again (FORMAT.md).
fn spoil_and_reseal(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let seed = u32_at(16);
    let mut at = 20 + u32_at(12) as usize;
    let mut out = bytes[..at].to_vec();
    while at < bytes.len() {
        let stored = u32_at(at + 12) as usize;
        let mut header = bytes[at..at + 20].to_vec();
        let mut payload = bytes[at + 28..at + 28 + stored].to_vec();
        if dice.roll(3) == 0 {
            dice.spoil(&mut payload);
            let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
            header[12..16].copy_from_slice(&length);
            header[16..20].copy_from_slice(&length);
        }
        if dice.roll(20) == 0 {
            let field = [4, 5, 8, 9, 11, 16, 19][dice.roll(7)];
            header[field] = dice.roll(256) as u8;
        }
        let header_crc = crc32c::crc32c_append(seed, &header);
        let frame_crc = crc32c::crc32c_append(header_crc, &payload);
        out.extend_from_slice(&header);
        out.extend_from_slice(&header_crc.to_le_bytes());
        out.extend_from_slice(&frame_crc.to_le_bytes());
        out.extend_from_slice(&payload);
        at += 28 + stored;
    }
    out
}

#[test]
fn captures_that_lie_under_right_checksums_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("liar.dub");
    let sound = fixture("v1.0.dub");
    let mut dice = Dice(2);
    let mut opened = 0;
    for _ in 0..rounds(3000) {
        put(&path, &spoil_and_reseal(&sound, &mut dice));
        opened += usize::from(use_capture(&path));
    }
    assert!(opened > 500, "only {opened} were still captures");
}

/// Spoils what was recorded: text, times, bodies.
fn spoil_exchange(exchange: &mut Exchange, dice: &mut Dice, bodies: &mut MemoryBodies, held: &Reader) {
    match dice.roll(9) {
        0 => dice.spoil(&mut exchange.request.target),
        1 => dice.spoil_text(&mut exchange.request.origin.host),
        2 => dice.spoil_text(&mut exchange.request.method),
        3 => exchange.timing.finished = Nanos([0, 1, u64::MAX / 2, u64::MAX][dice.roll(4)]),
        4 => exchange.timing.started = Nanos([0, 1, u64::MAX / 2, u64::MAX][dice.roll(4)]),
        5 => {
            let headers = &mut exchange.request.headers.0;
            let chosen = dice.roll(headers.len());
            if let Some((_, value)) = headers.get_mut(chosen) {
                dice.spoil(value);
            }
        }
        6 => {
            let mut body = held.load(&exchange.request.body, 1 << 20).unwrap_or_default();
            dice.spoil(&mut body);
            exchange.request.body = bodies.add(&body);
        }
        7 => {
            let headers = exchange.response.as_mut().map(|r| &mut r.headers.0);
            let chosen = headers.and_then(|h| {
                let chosen = dice.roll(h.len());
                h.get_mut(chosen)
            });
            if let Some((_, value)) = chosen {
                dice.spoil(value);
            }
        }
        _ => {
            if let Some(response) = &mut exchange.response {
                let mut body = held.load(&response.body, 1 << 20).unwrap_or_default();
                dice.spoil(&mut body);
                response.body = bodies.add(&body);
            }
        }
    }
}

/// The bodies of a capture and those that were spoilt.
struct Both<'a>(&'a MemoryBodies, &'a Reader);

impl BodySource for Both<'_> {
    fn chunk(&self, id: overdub::model::ChunkId) -> Result<Arc<[u8]>, overdub::model::BodyError> {
        self.0.chunk(id).or_else(|_| self.1.chunk(id))
    }
}

#[test]
fn recorded_traffic_of_any_kind_is_correlated_and_planned() {
    let reader = Reader::open(&shipped()).unwrap();
    let sound = sessions_of(&reader);
    let mut dice = Dice(3);
    for _ in 0..rounds(40) {
        let mut bodies = MemoryBodies::default();
        let mut sessions = sound.clone();
        for _ in 0..12 {
            let exchanges = &mut sessions[0].exchanges;
            let chosen = dice.roll(exchanges.len());
            spoil_exchange(&mut exchanges[chosen], &mut dice, &mut bodies, &reader);
        }
        correlate_and_plan(&sessions, &Both(&bodies, &reader));
    }
}

#[test]
fn mutated_rules_are_read_or_refused_with_a_place_and_applied() {
    let reader = Reader::open(&shipped()).unwrap();
    let sessions = sessions_of(&reader);
    let sound = correlate(&sessions, &reader, None, Prior::KnownTokens).print();
    let mut dice = Dice(4);
    let mut read = 0;
    for round in 0..rounds(3000) {
        let mut text = sound.clone();
        dice.spoil_text(&mut text);
        match RuleSet::parse(&text) {
            Ok(rules) => {
                read += 1;
                // Printing rounds confidence, and nothing else.
                let printed = rules.print();
                assert_eq!(RuleSet::parse(&printed).unwrap().print(), printed, "{text}");
                if round % 10 == 0 {
                    let _ = plan(&sessions, &reader, &rules, &workload(None, None));
                }
            }
            Err(error) => {
                let lines = text.lines().count() + 1;
                assert!(
                    (1..=lines).contains(&error.line) && error.column >= 1 && !error.what.is_empty(),
                    "{error}\n{text}"
                );
            }
        }
    }
    assert!(read > 100, "only {read} were still rules");
}

#[test]
fn mutated_results_do_no_harm() {
    let dir = workplace();
    run(dir.path(), "replay good.dub --target http://127.0.0.1:9 --speed max -o good.run").expect(4, &[]);
    let sound = Run::read(&dir.path().join("good.run")).unwrap();
    let json = serde_json::to_vec(&sound).unwrap();
    let bytes = fs::read(dir.path().join("good.run")).unwrap();
    let mut dice = Dice(5);
    let mut read = 0;
    for _ in 0..rounds(2000) {
        let mut odd = bytes.clone();
        dice.spoil(&mut odd);
        let _ = Run::read_from(odd.as_slice());
        // Sound compression around wrong content.
        let mut inside = json.clone();
        dice.spoil(&mut inside);
        let mut odd = overdub::measure::MAGIC.to_vec();
        odd.extend(zstd::encode_all(inside.as_slice(), 1).unwrap());
        let Ok(run) = Run::read_from(odd.as_slice()) else { continue };
        read += 1;
        let comparison = overdub::compare::compare(&sound, &run, &overdub::compare::Settings::default());
        overdub::report::text(&mut Vec::new(), &comparison).unwrap();
        let against = overdub::report::Against { run: &sound, comparison: &comparison };
        overdub::report::html(&mut Vec::new(), &run, Some(against)).unwrap();
    }
    assert!(read > 5, "only {read} were still results");
}

#[test]
fn mutated_data_files_are_used_or_refused() {
    let dir = workplace();
    let sound = "user,password,tag\nann,\"a,\"\"1\",x\nbob,b,y\r\n\u{e4},c,z\n".as_bytes();
    let mut dice = Dice(6);
    for _ in 0..rounds(30) {
        let mut bytes = sound.to_vec();
        dice.spoil(&mut bytes);
        put(&dir.path().join("odd.csv"), &bytes);
        let told = run(dir.path(), "replay good.dub --target http://127.0.0.1:9 --speed max --data odd.csv");
        assert!(matches!(told.code, Some(2 | 4)), "{told:#?}");
        let told = run(dir.path(), "correlate good.dub -q --data odd.csv -o new.toml");
        assert!(matches!(told.code, Some(0 | 2)), "{told:#?}");
        assert!(told.err.lines().count() <= 2, "{told:#?}");
    }
}

/// The recorded answers as bytes, by request line.
fn answers(sessions: &[Session], reader: &Reader) -> HashMap<String, Vec<u8>> {
    let mut answers = HashMap::new();
    for exchange in sessions.iter().flat_map(|s| &s.exchanges) {
        let Some(response) = &exchange.response else { continue };
        let body = reader.load(&response.body, 1 << 20).unwrap();
        let mut bytes = format!("HTTP/1.1 {} OK\r\n", response.status).into_bytes();
        for (name, value) in &response.headers.0 {
            if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"transfer-encoding") {
                bytes.extend([name, b": ".as_slice(), value, b"\r\n"].concat());
            }
        }
        if body.len() % 2 == 0 {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend(&body);
        } else {
            bytes.extend(format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()).as_bytes());
            bytes.extend([body.as_slice(), b"\r\n0\r\n\r\n"].concat());
        }
        answers
            .insert(exchange.request.method.clone() + " " + &String::from_utf8_lossy(&exchange.request.target), bytes);
    }
    answers
}

#[test]
fn mutated_answers_end_as_samples() {
    let reader = Reader::open(&shipped()).unwrap();
    let sessions = sessions_of(&reader);
    let rules = correlate(&sessions, &reader, None, Prior::KnownTokens);
    let answers = answers(&sessions, &reader);
    let (served, whole) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, same) = (Arc::clone(&served), Arc::clone(&whole));
    let server = Server::scripted(move |dialogue| {
        let Some(request) = dialogue.request() else { return };
        let number = count.fetch_add(1, Ordering::SeqCst);
        let line = request.split(" HTTP/1.1").next().unwrap_or_default();
        let known = answers.get(line).or_else(|| answers.values().nth(number % answers.len()));
        let mut answer = known.cloned().unwrap_or_default();
        if number % 4 == 0 {
            same.fetch_add(1, Ordering::SeqCst);
        } else {
            Dice(number as u64 + 1).spoil(&mut answer);
        }
        dialogue.send(answer);
    });
    let mut load = workload(None, None);
    load.targets[0].actual = server.url().parse().unwrap();
    (load.speed, load.users, load.iterations) = (Speed::Max, Users::Concurrent(4), 4);
    let plan = Arc::new(plan(&sessions, &reader, &rules, &load).unwrap());
    let config = Config {
        trust: Trust::System,
        answer_timeout: Duration::from_millis(200),
        retry_pause: Duration::from_millis(1),
        threads: Some(2),
        ..Config::default()
    };
    let finished =
        overdub::replay::run(&plan, config, || Aggregate::new(plan.endpoints.len()), &Control::new()).unwrap();
    let totals = finished.totals;
    assert_eq!(totals.sent, totals.ok + totals.diverged + totals.failed);
    assert!(totals.sent >= 100 && totals.ok > 0 && totals.diverged > 0 && totals.failed > 0, "{totals:?}");
    assert_eq!(totals.sessions_started, totals.sessions_completed + totals.sessions_failed);
}

#[test]
fn a_capture_of_extreme_traffic_is_shown_correlated_and_planned() {
    let dir = workplace();
    let reader = Reader::open(&shipped()).unwrap();
    let mut writer = Writer::create(&dir.path().join("odd.dub"), reader.provenance()).unwrap();
    for summary in reader.sessions() {
        writer.session(&summary.info).unwrap();
    }
    let mut dice = Dice(7);
    for mut exchange in reader.exchanges().flatten() {
        exchange.timing.started = Nanos(u64::MAX - dice.roll(2) as u64);
        exchange.timing.finished = Nanos(dice.roll(2) as u64);
        exchange.request.target.resize(20_000, b'%');
        exchange.request.headers.0.extend((0..500).map(|n| (vec![n as u8; 3], vec![0xff; 50])));
        if let Some(response) = &mut exchange.response {
            response.status = 65_535;
        }
        writer.exchange(&exchange).unwrap();
    }
    writer.finish().unwrap();
    for line in
        ["inspect odd.dub", "inspect odd.dub --json", "inspect odd.dub --exchange 1", "inspect odd.dub --sessions"]
    {
        run(dir.path(), line).expect(0, &[]);
    }
    run(dir.path(), "correlate odd.dub -q -o new.toml").expect(0, &[]);
    let told = run(dir.path(), "replay odd.dub --rules new.toml --target http://127.0.0.1:9 --speed max");
    assert!(matches!(told.code, Some(2 | 4)), "{told:#?}");
    let told = run(dir.path(), "compare odd.dub good.dub --html new.html");
    assert!(matches!(told.code, Some(0 | 1 | 3)), "{told:#?}");
}
