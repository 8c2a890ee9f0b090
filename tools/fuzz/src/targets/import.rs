//! Whole imports: what comes out is a capture that reads back whole, or a reason.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use overdub::capture::Reader;
use overdub::export;
use overdub::observe::conversation::{Conversations, Stance};
use overdub::observe::streams::{ConnectionId, Ending, Opening, Streams};
use overdub::observe::tls::Keyring;
use overdub::import::{self, Cached, Config, Control, har};
use overdub::observe::Recorder;
use overdub::model::{BodySource, Side};
use overdub::wire::content_stream::Decoder;
use overdub::wire::identity::{Sessions, UserBy};

use super::{Bench, split};
use crate::dialogue::{self, Turn};

/// Content codings by number.
pub const CODINGS: &[&str] = &["gzip", "deflate", "br", "zstd", "identity", "x-gzip", "gzip, br", "snappy"];

/// Imports a file of any kind, with a key log before it.
pub fn file(bench: &Bench, input: &[u8]) {
    let (keys, file) = split(input);
    let (source, log, output) = (bench.path("in"), bench.path("keys"), bench.path("out.dub"));
    fs::write(&source, file).expect("room for the input");
    let mut keylogs = Vec::new();
    if !keys.is_empty() {
        fs::write(&log, keys).expect("room for the key log");
        keylogs.push(log);
    }
    let cached = if file.len() % 2 == 0 { Cached::Keep } else { Cached::Skip };
    let config = Config {
        inputs: vec![source],
        output: output.clone(),
        keylogs,
        har: har::Config { cached, ..har::Config::default() },
        ..Config::default()
    };
    let _ = fs::remove_file(&output);
    match import::run(config, Control::new(Arc::default(), &mut |_| {})) {
        Ok(report) => {
            report.problems.iter().for_each(|problem| assert!(!problem.to_string().is_empty()));
            assert_eq!(report.written.is_some(), output.exists());
            if let Some(written) = report.written {
                read_back(bench, written.file.exchanges);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Everything that was written can be read, and exported.
fn read_back(bench: &Bench, exchanges: u64) {
    let reader = Reader::open_checked(&bench.path("out.dub")).expect("the capture opens");
    assert!(reader.damage().is_sound() && !reader.damage().unfinished, "{:?}", reader.damage());
    assert_eq!(reader.exchange_count(), exchanges);
    bench.exchanges.set(bench.exchanges.get() + exchanges);
    for exchange in reader.exchanges() {
        let exchange = exchange.expect("the exchange reads");
        let answers = exchange.interim.iter().chain(&exchange.response).map(|response| &response.body);
        for body in answers.chain([&exchange.request.body]) {
            reader.load(body, u64::MAX).expect("the body reads");
        }
        for message in reader.messages(exchange.id).expect("the messages read") {
            reader.load(&message.body, u64::MAX).expect("the message's body reads");
        }
    }
    if exchanges > 0 && exchanges % 4 == 0 {
        let written = export::har::write(&reader, &mut std::io::sink(), &export::har::Options::default());
        assert_eq!(written.expect("the export works").unreadable, 0);
    }
}

/// What is heard on one connection becomes a capture: everything above TCP.
pub fn conversation(bench: &Bench, input: &[u8]) {
    let (keys, input) = split(input);
    let Some((&flags, input)) = input.split_first() else { return };
    let output = bench.path("out.dub");
    let mut at = 1_700_000_000_000_000_000;
    let sessions = Sessions::by(UserBy::default());
    let recorder = Recorder::create(&output, "fuzz", at, sessions).expect("a capture can be made");
    let mut keyring = Keyring::default();
    keyring.add(keys);
    let mut conversations = Conversations::new(recorder, keyring, Stance::Stop);
    let address = |host: u8, port: u16| SocketAddr::from(([10, 0, 0, host], port));
    let midway = flags & 1 != 0;
    let opening = Opening {
        client: address(1, 40_000),
        server: address(2, if flags & 2 == 0 { 443 } else { 80 }),
        syn: (!midway).then_some(at),
        syn_ack: (!midway).then_some(at + 1),
        ack: (!midway).then_some(at + 2),
        first: at,
        midway,
        guessed: midway && flags & 4 != 0,
    };
    let id = ConnectionId(1);
    conversations.opened(id, &opening);
    let mut ended = [false; 2];
    for turn in dialogue::parse(input) {
        at += 1_000_000;
        match turn {
            Turn::Says(side, bytes) if !ended[side as usize] && !bytes.is_empty() => {
                conversations.bytes(id, side, at, &bytes)
            }
            Turn::Lost(side, bytes) if !ended[side as usize] => conversations.gap(id, side, at, bytes.max(1)),
            Turn::Ends(side) if !ended[side as usize] => {
                ended[side as usize] = true;
                let how = if flags & 8 == 0 { Ending::Fin } else { Ending::Reset };
                conversations.ended(id, side, at, how);
            }
            _ => {}
        }
    }
    for side in [Side::Request, Side::Response].into_iter().filter(|side| !ended[*side as usize]) {
        conversations.ended(id, side, at, Ending::EndOfCapture);
    }
    assert!(conversations.take_trouble().is_none());
    let (recorder, _) = conversations.finish();
    let finished = recorder.close().expect("the capture closes");
    read_back(bench, finished.file.exchanges);
}

/// Decodes a body in pieces.
pub fn content(_: &Bench, input: &[u8]) {
    let Some((&coding, body)) = input.split_first() else { return };
    let Some(mut decoder) = Decoder::new(CODINGS[usize::from(coding) % CODINGS.len()]) else { return };
    let mut given = 0_u64;
    let size = 1 + usize::from(coding >> 3) * 40;
    for piece in body.chunks(size) {
        if decoder.push(piece, &mut |out| given += out.len() as u64).is_err() {
            break;
        }
    }
    let whole = overdub::wire::content::decode(CODINGS[usize::from(coding) % CODINGS.len()], body, 8 << 20);
    assert!(whole.is_err() || whole.is_ok_and(|whole| whole.len() <= 8 << 20));
}

/// Runs the program itself: it ends with a code that is documented, and a sentence when that is not 0.
pub fn program(bench: &Bench, input: &[u8]) {
    let (keys, file) = split(input);
    let program = bench.program.as_deref().expect("--program says which");
    let (source, log, output) = (bench.path("in"), bench.path("keys"), bench.path("out.dub"));
    fs::write(&source, file).expect("room for the input");
    fs::write(&log, keys).expect("room for the key log");
    let mut command = Command::new(program);
    command.arg("import").arg(&source).arg("-o").arg(&output).arg("--force").stdin(Stdio::null());
    if !keys.is_empty() {
        command.arg("--keylog").arg(&log);
    }
    if file.len() % 2 == 0 {
        command.arg("--json");
    }
    let _ = fs::remove_file(&output);
    let done = command.output().expect("the program starts");
    let words = String::from_utf8_lossy(&done.stderr);
    let code = done.status.code();
    assert!(matches!(code, Some(0 | 2)), "{:?}: {words}", done.status);
    assert!(!words.contains("panicked") && !words.contains('\u{1b}'), "{words}");
    if code == Some(2) {
        let last = words.lines().last().unwrap_or_default();
        assert!(last.starts_with("overdub: ") && last.len() < 4000, "{words}");
    }
}
