//! Holes of every kind: what is lost is what the hole has hit, and no more.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite;

use crate::model::Side;

use super::super::Reason;
use super::fixtures::{fixture, is_spliced_from};
use super::live::{Pair, early, exchange, text};
use super::transcript::{Random, Seen, Transcript, run};

/// Records of a side: where they start and their whole length.
fn records(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + 5) {
        let length = 5 + usize::from(u16::from_be_bytes([header[3], header[4]]));
        found.push((at, length));
        at += length;
    }
    found
}

const SUITES: [SupportedCipherSuite; 4] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

fn recorded(suite: SupportedCipherSuite) -> Transcript {
    let mut live = Pair::of(suite).connect();
    exchange(&mut live);
    for size in [20_000, 300, 300, 300, 900, 2000, 40, 1] {
        live.say(Side::Response, &text(size, size + 1));
        live.say(Side::Request, &text(size / 2 + 1, size + 2));
    }
    live.finish()
}

/// Checks that the plaintext of a side is the original less one piece, and that the gap is there and of its size when known.
fn assert_one_gap(seen: &Seen, plain: &[u8], exact: bool, what: &str) {
    assert_eq!(seen.reason, None, "{what}");
    let missing = plain.len() - seen.plain.len();
    if missing == 0 {
        assert!(seen.plain == plain, "{what}");
        return;
    }
    let [(at, bytes)] = seen.gaps[..] else { panic!("{what}: {:?}", seen.gaps) };
    assert!(seen.plain[..at] == plain[..at] && seen.plain[at..] == plain[at + missing..], "{what}");
    if exact {
        assert_eq!(bytes, missing as u64, "{what}");
    }
}

#[test]
fn a_hole_behind_the_handshake_costs_the_records_it_hit_and_says_how_much() {
    for suite in SUITES {
        let transcript = recorded(suite);
        let keys = transcript.keyring();
        let mut random = Random(77);
        for side in [Side::Request, Side::Response] {
            let bytes = transcript.bytes(side);
            let records = records(&bytes);
            let first = records.len() - if side == Side::Request { 10 } else { 16 };
            for round in 0..150 {
                let (start, length) = records[first + random.below(records.len() - first - 2)];
                let start = start + random.below(length);
                let room = records[records.len() - 1].0 - start;
                let length = (1 + random.below([3, 40, 1460, 20_000, 60_000][round % 5])).min(room);
                let (_, seen) = run(&keys, &transcript.holed(side, start, length));
                let plain = &transcript.plain[side as usize];
                let what = format!("{:?} {side:?}: {length} bytes at {start}", suite.suite());
                assert_one_gap(&seen[side as usize], plain, true, &what);
                assert!(plain.len() > seen[side as usize].plain.len(), "{what}");
                let hit: usize = records
                    .iter()
                    .filter(|(at, whole)| at + whole > start && *at < start + length)
                    .map(|(_, whole)| whole - 5)
                    .sum();
                let lost = plain.len() - seen[side as usize].plain.len();
                assert!(lost <= hit, "{what}: {lost} lost, {hit} hit");
                let other = &seen[side.other() as usize];
                assert!(other.plain == transcript.plain[side.other() as usize] && other.gaps.is_empty(), "{what}");
            }
        }
    }
}

#[test]
fn any_byte_of_any_transcript_may_be_missing_without_invention_or_silence() {
    let mut transcripts: Vec<_> =
        SUITES.iter().map(|&suite| (format!("{:?}", suite.suite()), recorded(suite))).collect();
    for name in [
        "tls10-cbc-sha",
        "tls10-cbc-sha-etm",
        "tls11-cbc-sha",
        "tls12-cbc128-sha",
        "tls12-cbc256-sha384-etm",
        "tls12-ccm128-8",
        "tls12-null-sha256",
        "tls12-ticket",
        "tls12-renegotiation",
        "tls13-ccm",
        "tls13-key-update",
        "tls13-retry",
        "tls13-padding",
        "tls13-early",
        "tls13-early-rejected",
    ] {
        transcripts.push((name.to_owned(), fixture(name)));
    }
    for (name, transcript) in &transcripts {
        let keys = transcript.keyring();
        let mut random = Random(5);
        for side in [Side::Request, Side::Response] {
            let total = transcript.bytes(side).len();
            for round in 0..100 {
                let start = random.below(total.min([200, 1500, 4000, usize::MAX][round % 4]));
                let length = (1 + random.below([2, 30, 300, 2000][round / 4 % 4])).min(total - start);
                let (_, seen) = run(&keys, &transcript.holed(side, start, length));
                for (seen, plain) in seen.iter().zip(&transcript.plain) {
                    let what = format!("{name} {side:?}: {length} bytes at {start}");
                    assert!(is_spliced_from(&seen.plain, plain), "{what}: {:?}", seen);
                    let silent = seen.gaps.is_empty() && seen.reason.is_none();
                    assert!(!silent || seen.plain == *plain, "{what}: lost in silence");
                    assert_ne!(seen.reason, Some(Reason::Malformed), "{what}");
                }
            }
        }
    }
}

#[test]
fn bytes_of_the_certificate_flight_do_not_matter() {
    for suite in SUITES {
        let transcript = recorded(suite);
        let keys = transcript.keyring();
        let records = records(&transcript.bytes(Side::Response));
        let hello_ends = records[0].0 + records[0].1;
        let flight_ends = transcript.wire[1].1.len();
        for start in (hello_ends..flight_ends - 1).step_by(29) {
            for length in [1, 10, 100, 400] {
                let length = length.min(flight_ends - start);
                let (_, seen) = run(&keys, &transcript.holed(Side::Response, start, length));
                let what = format!("{:?}: {length} bytes at {start}", suite.suite());
                for (seen, plain) in seen.iter().zip(&transcript.plain) {
                    assert_one_gap(seen, plain, false, &what);
                    assert_eq!(seen.plain.len(), plain.len(), "{what}: {:?}", seen.gaps);
                }
            }
        }
    }
}

#[test]
fn a_lost_server_hello_of_tls_1_3_is_guessed_and_of_tls_1_2_is_said() {
    for suite in SUITES {
        let transcript = recorded(suite);
        let (decryptor, seen) = run(&transcript.keyring(), &transcript.holed(Side::Response, 3, 70));
        for (seen, plain) in seen.iter().zip(&transcript.plain) {
            match suite {
                SupportedCipherSuite::Tls12(_) => assert_eq!(seen.reason, Some(Reason::LostRecords)),
                SupportedCipherSuite::Tls13(_) => assert_one_gap(seen, plain, false, "guessed"),
            }
        }
        if suite.tls13().is_some() {
            assert_eq!(decryptor.facts().cipher, Some(suite.suite().into()));
        }
    }
}

#[test]
fn one_side_alone_of_tls_1_3_is_decrypted_and_of_tls_1_2_is_refused() {
    for suite in SUITES {
        let transcript = recorded(suite);
        let mut client = transcript.clone();
        client.wire.retain(|(side, _)| *side == Side::Request);
        let (_, seen) = run(&client.keyring(), &client.steps(1460));
        match suite {
            SupportedCipherSuite::Tls12(_) => assert_eq!(seen[0].reason, Some(Reason::LostRecords)),
            SupportedCipherSuite::Tls13(_) => assert!(seen[0].plain == transcript.plain[0]),
        }
    }
}

#[test]
fn a_lost_client_hello_is_said_on_both_sides() {
    for suite in SUITES {
        let transcript = recorded(suite);
        let (_, seen) = run(&transcript.keyring(), &transcript.holed(Side::Request, 20, 30));
        assert_eq!(seen.map(|seen| seen.reason), [Some(Reason::LostRecords); 2]);
    }
}

#[test]
fn a_lost_key_update_is_found_by_trial() {
    let pair = Pair::of(cipher_suite::TLS13_AES_256_GCM_SHA384);
    let mut live = pair.connect();
    exchange(&mut live);
    live.say(Side::Response, &text(5000, 1));
    let before = live.sent(Side::Response);
    live.update(Side::Response);
    live.say(Side::Response, &text(5000, 2));
    live.say(Side::Response, &text(5000, 3));
    let transcript = live.finish();
    for (start, length, lost) in
        [(before - 100, 200, 10_000), (before, 5 + 17 + 5, 0), (before + 2, 8, 0), (before - 1, 1, 5000)]
    {
        let (_, seen) = run(&transcript.keyring(), &transcript.holed(Side::Response, start, length));
        let plain = &transcript.plain[1];
        assert_eq!(seen[1].reason, None, "{start} {length}");
        assert_eq!(plain.len() - seen[1].plain.len(), lost, "{start} {length}");
        assert!(lost == 0 || seen[1].gaps.len() == 1);
    }
}

#[test]
fn several_holes_are_several_gaps() {
    for suite in SUITES {
        let transcript = recorded(suite);
        let bytes = transcript.bytes(Side::Response);
        let records = records(&bytes);
        let hit = [records.len() - 9, records.len() - 6, records.len() - 4].map(|at| records[at].0 + 3);
        let mut steps = Vec::new();
        for step in transcript.holed(Side::Response, hit[0], 4) {
            steps.push(step);
        }
        let (_, seen) = run(&transcript.keyring(), &steps);
        assert_eq!(seen[1].gaps.len(), 1);
        let mut holed = transcript.clone();
        holed.wire = vec![];
        let mut at = 0;
        for (side, piece) in &transcript.wire {
            let mut piece = piece.clone();
            if *side == Side::Response {
                for spot in hit {
                    if (at..at + piece.len()).contains(&spot) {
                        piece[spot - at + 4] ^= 1;
                    }
                }
                at += piece.len();
            }
            holed.wire.push((*side, piece));
        }
        let (_, seen) = run(&holed.keyring(), &holed.steps(1460));
        assert_eq!(seen[1].reason, None);
        assert!(is_spliced_from(&seen[1].plain, &transcript.plain[1]));
        assert!(seen[1].gaps.len() >= 2, "{:?}", seen[1].gaps);
    }
}

#[test]
fn a_hole_in_early_data_leaves_the_rest() {
    let transcript = early(&Pair::of(cipher_suite::TLS13_AES_128_GCM_SHA256), 9000);
    let hello = records(&transcript.bytes(Side::Request))[0].1;
    for (start, length) in [(hello + 20, 10), (hello + 3000, 1460), (hello + 8000, 1080)] {
        let (_, seen) = run(&transcript.keyring(), &transcript.holed(Side::Request, start, length));
        assert_eq!(seen[0].reason, None, "{start}");
        assert!(seen[1].plain == transcript.plain[1]);
        assert!(seen[0].plain.len() >= transcript.plain[0].len() - 9000 && !seen[0].gaps.is_empty(), "{start}");
        assert!(is_spliced_from(&seen[0].plain, &transcript.plain[0]));
    }
}
