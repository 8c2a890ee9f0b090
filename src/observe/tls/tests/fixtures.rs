//! Transcripts recorded with OpenSSL: suites and turns of the handshake that rustls does not have.

use crate::model::Side;

use super::super::{Decryptor, Facts, Keyring, Output, Reason};
use super::transcript::{Collector, Random, Seen, Step, Transcript, run};

macro_rules! fixtures {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../../../../fixtures/tls/", $name, ".bin")))),*]
    };
}

const FIXTURES: &[(&str, &[u8])] = fixtures! {
    "tls10-cbc-sha" "tls10-cbc-sha-etm" "tls11-cbc-sha" "tls12-cbc128-sha" "tls12-cbc256-sha-etm" "tls12-cbc128-sha256"
    "tls12-cbc256-sha384" "tls12-cbc256-sha384-etm" "tls12-ccm128" "tls12-ccm128-8" "tls12-ccm256" "tls12-ccm256-8"
    "tls12-null-sha256" "tls12-rsa-premaster" "tls12-ticket" "tls12-session-id" "tls12-psk-chacha" "tls12-renegotiation"
    "tls12-renegotiation-cbc" "tls13-ccm" "tls13-ccm-8" "tls13-key-update" "tls13-retry" "tls13-padding" "tls13-resumed"
    "tls13-early" "tls13-early-rejected"
};

pub(super) fn fixture(name: &str) -> Transcript {
    let found = FIXTURES.iter().find(|(known, _)| *known == name);
    Transcript::parse(found.expect("a fixture of this name").1)
}

#[test]
fn every_transcript_is_decrypted_however_its_bytes_are_cut() {
    for (_, file) in FIXTURES {
        let transcript = Transcript::parse(file);
        assert!(!transcript.plain[0].is_empty() && !transcript.plain[1].is_empty());
        for size in [1, 2, 3, 5, 7, 16, 50, 100, 333, usize::MAX] {
            transcript.check(size);
        }
    }
}

#[test]
fn facts_are_those_of_the_handshake() {
    let facts = |name: &str| transcript_facts(&fixture(name));
    let cases =
        [("tls10-cbc-sha", 0x0301, 0xC009), ("tls12-ccm256-8", 0x0303, 0xC0AF), ("tls13-ccm-8", 0x0304, 0x1305)];
    for (name, version, cipher) in cases {
        let facts = facts(name);
        assert_eq!((facts.version, facts.cipher), (Some(version), Some(cipher)), "{name}");
        assert_eq!(facts.sni.as_deref(), Some("fixture.test"));
        assert!(facts.client_hello_seen && !facts.ech && !facts.resumed && !facts.early_data);
    }
    let agreed = facts("tls12-ticket");
    assert_eq!(agreed.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(agreed.offered_alpn, ["h2", "http/1.1"]);
    let resumed = ["tls12-ticket", "tls12-session-id", "tls13-resumed", "tls13-early"];
    assert!(resumed.iter().all(|name| facts(name).resumed));
    assert!(facts("tls13-early").early_data);
    assert!(!facts("tls13-early-rejected").early_data);
}

fn transcript_facts(transcript: &Transcript) -> Facts {
    transcript.check(usize::MAX).facts().clone()
}

#[test]
fn close_notify_is_told() {
    let transcript = fixture("tls12-ccm128");
    let (_, seen) = run(&transcript.keyring(), &transcript.steps(99));
    assert!(seen[0].closed && seen[1].closed);
    assert_eq!(seen[0].alerts, []);
}

#[test]
fn the_premaster_line_alone_is_enough_for_rsa_without_extended_master_secret() {
    let mut transcript = fixture("tls12-rsa-premaster");
    let lines = transcript.keys.split_inclusive(|&byte| byte == b'\n');
    transcript.keys = lines.filter(|line| line.starts_with(b"RSA ")).collect::<Vec<_>>().concat();
    assert!(!transcript.keys.is_empty());
    transcript.check(17);
}

#[test]
fn the_session_id_names_a_master_secret_too() {
    let mut transcript = fixture("tls12-session-id");
    let keys = String::from_utf8(transcript.keys).unwrap();
    let master = keys.lines().find(|line| line.starts_with("CLIENT_RANDOM")).unwrap().rsplit(' ').next().unwrap();
    let hello = transcript.wire[0].1[5 + 4 + 2 + 32 + 1..][..32].to_vec();
    let id: String = hello.iter().map(|byte| format!("{byte:02x}")).collect();
    transcript.keys = format!("RSA Session-ID:{id} Master-Key:{master}\n").into_bytes();
    transcript.check(17);
}

/// The key log without the lines that begin with `label`.
fn without(keys: &[u8], label: &str) -> Keyring {
    let lines = keys.split_inclusive(|&byte| byte == b'\n').filter(|line| !line.starts_with(label.as_bytes()));
    let mut keys = Keyring::default();
    keys.add(&lines.collect::<Vec<_>>().concat());
    keys
}

#[test]
fn what_one_missing_secret_costs() {
    let none = |seen: &Seen| seen.plain.is_empty() && seen.reason == Some(Reason::NoSecrets);
    let transcript = fixture("tls13-early");
    let steps = transcript.steps(41);
    let decrypt = |label| run(&without(&transcript.keys, label), &steps).1;

    let seen = decrypt("CLIENT_TRAFFIC_SECRET_0");
    assert_eq!(seen[0].reason, Some(Reason::NoSecrets));
    assert!(seen[1].plain == transcript.plain[1]);

    let seen = decrypt("SERVER_");
    assert!(none(&seen[1]));
    assert!(
        seen[0].plain == transcript.plain[0],
        "early data counts as accepted when the server's answer is unreadable"
    );

    // Without the handshake secrets, application data is found by trial.
    for label in ["CLIENT_HANDSHAKE", "SERVER_HANDSHAKE"] {
        let seen = decrypt(label);
        assert!(seen[0].plain == transcript.plain[0] && seen[1].plain == transcript.plain[1], "{label}");
    }

    let seen = decrypt("CLIENT_EARLY");
    assert_eq!(seen[0].gaps, [(0, 0)]);
    assert!(transcript.plain[0].ends_with(&seen[0].plain) && !seen[0].plain.is_empty());
    assert!(seen[1].plain == transcript.plain[1]);
}

#[test]
fn keys_may_come_at_any_moment_and_the_order_stays() {
    for (name, file) in FIXTURES {
        let transcript = Transcript::parse(file);
        let order = |late: usize| {
            let (mut decryptor, mut keys) = (Decryptor::new(), Keyring::default());
            let mut order = Vec::new();
            let mut seen = Collector::default();
            let mut out = |side: Side, output: Output<'_>| {
                if let Output::Plaintext(bytes) = output {
                    order.push((side, bytes.to_vec()));
                }
                seen.take(side, output);
            };
            for (number, step) in transcript.steps(60).iter().enumerate() {
                if number == late {
                    keys.add(&transcript.keys);
                }
                let Step::Bytes(side, bytes) = *step else { continue };
                decryptor.read(&keys, side, bytes, &mut out);
            }
            keys.add(&transcript.keys);
            decryptor.read(&keys, Side::Request, &[], &mut out);
            decryptor.end(&keys, Side::Request, &mut out);
            decryptor.end(&keys, Side::Response, &mut out);
            assert_eq!(seen.0.each_ref().map(|seen| seen.reason), [None, None], "{name} {late}");
            order
        };
        let expected = order(0);
        for late in 1..transcript.steps(60).len() + 2 {
            assert_eq!(order(late), expected, "{name}, keys at {late}");
        }
    }
}

#[test]
fn without_keys_and_with_wrong_ones_the_reason_is_said_and_nothing_else() {
    for (name, file) in FIXTURES {
        let transcript = Transcript::parse(file);
        let (_, seen) = run(&Keyring::default(), &transcript.steps(100));
        for seen in &seen {
            assert_eq!((seen.plain.len(), seen.reason), (0, Some(Reason::NoSecrets)), "{name}");
        }
        let mut keys = transcript.keys.clone();
        for line in keys.split_mut(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let end = line.len() - 1;
            line[end] = if line[end] == b'0' { b'1' } else { b'0' };
        }
        let mut wrong = Keyring::default();
        wrong.add(&keys);
        let (_, seen) = run(&wrong, &transcript.steps(100));
        for seen in &seen {
            assert_eq!((seen.plain.len(), seen.reason), (0, Some(Reason::WrongSecrets)), "{name}");
        }
    }
}

#[test]
fn a_connection_joined_midway_is_said_to_be_one() {
    let transcript = fixture("tls13-ccm");
    let keys = transcript.keyring();
    let steps: Vec<_> = transcript.steps(usize::MAX).into_iter().skip(2).collect();
    let (decryptor, seen) = run(&keys, &steps);
    assert_eq!(seen.each_ref().map(|seen| seen.reason), [Some(Reason::NoClientHello); 2]);
    assert!(!decryptor.facts().client_hello_seen);
    let (_, seen) = run(&keys, &[Step::Bytes(Side::Response, &transcript.wire[1].1)]);
    assert_eq!(seen[1].reason, Some(Reason::NoClientHello));
    let (_, seen) = run(&keys, &[Step::Bytes(Side::Request, b"GET / HTTP/1.1\r\n")]);
    assert_eq!(seen[0].reason, Some(Reason::Malformed));
}

#[test]
fn what_is_agreed_but_not_known_here_is_named() {
    let transcript = fixture("tls12-ccm128");
    let with = |offset: usize, value: &[u8]| {
        let mut changed = transcript.clone();
        changed.wire[1].1[offset..offset + value.len()].copy_from_slice(value);
        run(&changed.keyring(), &changed.steps(50)).1.map(|seen| seen.reason)
    };
    let session = usize::from(transcript.wire[1].1[43]);
    assert_eq!(with(9, &[3, 0]), [Some(Reason::UnsupportedVersion(0x0300)); 2]);
    assert_eq!(with(44 + session, &[0, 10]), [Some(Reason::UnsupportedCipher(10)); 2]);
    assert_eq!(with(46 + session, &[1]), [Some(Reason::Compression); 2]);
}

#[test]
fn more_than_the_bound_is_not_held_for_keys() {
    let transcript = fixture("tls13-ccm");
    let mut decryptor = Decryptor::new();
    let keys = Keyring::default();
    let mut seen = Collector::default();
    let mut out = |side: Side, output: Output<'_>| seen.take(side, output);
    for (side, bytes) in &transcript.wire[..2] {
        decryptor.read(&keys, *side, bytes, &mut out);
    }
    let record = [&[23, 3, 3, 0x40, 0][..], &[0; 0x4000]].concat();
    for _ in 0..17 {
        decryptor.read(&keys, Side::Response, &record, &mut out);
    }
    assert_eq!(seen.0[1].reason, Some(Reason::NoSecrets));
}

#[test]
fn mutated_transcripts_never_panic_and_never_invent_plaintext() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for round in 0..3000 {
        let (name, file) = FIXTURES[round % FIXTURES.len()];
        let mut transcript = Transcript::parse(file);
        for _ in 0..=random.below(3) {
            let at = random.below(transcript.wire.len());
            let bytes = &mut transcript.wire[at].1;
            let offset = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[offset] ^= 1 << random.below(8),
                1 => bytes[offset] = random.below(256) as u8,
                2 => drop(bytes.drain(offset..(offset + 1 + random.below(40)).min(bytes.len()))),
                _ => bytes.truncate(offset),
            }
            if bytes.is_empty() {
                transcript.wire.remove(at);
            }
        }
        let (_, seen) = run(&transcript.keyring(), &transcript.steps(1 + random.below(300)));
        for (seen, plain) in seen.iter().zip(&transcript.plain) {
            assert!(is_spliced_from(&seen.plain, plain), "{name} {round}");
        }
    }
}

/// True when `part` is `whole` with some pieces left out.
pub(super) fn is_spliced_from(part: &[u8], whole: &[u8]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|byte| rest.any(|other| other == byte))
}

#[test]
fn a_lost_change_of_keys_in_a_renegotiation_is_found_by_trial() {
    let transcript = fixture("tls12-renegotiation");
    let bytes = transcript.bytes(Side::Response);
    let changes = (0..bytes.len() - 6).filter(|&at| bytes[at..].starts_with(&[20, 3, 3, 0, 25])).collect::<Vec<_>>();
    assert_eq!(changes.len(), 2);
    for change in changes {
        let (_, seen) = run(&transcript.keyring(), &transcript.holed(Side::Response, change + 2, 25));
        assert_eq!(seen[1].reason, None);
        assert_eq!(seen[1].plain.len(), transcript.plain[1].len());
    }
}

#[test]
fn absurd_gaps_and_all_calls_in_any_order_are_harmless() {
    let mut random = Random(99);
    for round in 0..800 {
        let (name, file) = FIXTURES[round % FIXTURES.len()];
        let transcript = Transcript::parse(file);
        let mut keys = if random.below(4) == 0 { Keyring::default() } else { transcript.keyring() };
        let (mut decryptor, mut seen) = (Decryptor::new(), Collector::default());
        let mut out = |side: Side, output: Output<'_>| seen.take(side, output);
        for step in transcript.steps(1 + random.below(400)) {
            let Step::Bytes(side, bytes) = step else { continue };
            match random.below(40) {
                0 => decryptor.gap(&keys, side, bytes.len() as u64, &mut out),
                1 => decryptor.gap(&keys, side, 1 << random.below(12), &mut out),
                5 if random.below(60) == 0 => decryptor.gap(&keys, side, u64::MAX, &mut out),
                2 => decryptor.end(&keys, side, &mut out),
                3 => drop(keys.add(&transcript.keys)),
                4 => decryptor.read(&keys, side.other(), bytes, &mut out),
                _ => decryptor.read(&keys, side, bytes, &mut out),
            }
        }
        decryptor.end(&keys, Side::Response, &mut out);
        decryptor.end(&keys, Side::Request, &mut out);
        for (seen, plain) in seen.0.iter().zip(&transcript.plain) {
            assert!(is_spliced_from(&seen.plain, plain), "{name} {round}");
        }
    }
}
