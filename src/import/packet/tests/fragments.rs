//! Fragments in every order, overlapping, missing, too many.

use super::super::Config;
use super::bytes::{Way, dissect, dissect_cut, ipv4_fragment, ipv6, join, tcp_with};

const RAW: u16 = 101;
const MORE: u16 = 0x2000;

fn body() -> Vec<u8> {
    (0..100).map(|byte| byte as u8).collect()
}

/// A segment of 120 bytes in pieces of IPv4.
fn pieces(cuts: &[usize]) -> Vec<Vec<u8>> {
    let whole = tcp_with(Way::There, &[], &body());
    let ends = cuts.iter().skip(1).copied().chain([whole.len()]);
    let piece = |(start, end): (usize, usize)| {
        let more = if end < whole.len() { MORE } else { 0 };
        ipv4_fragment(Way::There, 6, 9, more | (start / 8) as u16, &whole[start..end])
    };
    cuts.iter().copied().zip(ends).map(piece).collect()
}

#[test]
fn fragments_of_ipv4_are_put_together_in_any_order() {
    let three = pieces(&[0, 40, 80]);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (seen, census) = dissect(RAW, &order.map(|at: usize| three[at].clone()));
        assert_eq!(seen.len(), 1, "{order:?}");
        assert_eq!(seen[0].payload, body());
        assert_eq!((census.fragments, census.reassembled, census.fragments_dropped), (3, 1, 0));
    }
}

#[test]
fn fragments_of_ipv6_are_put_together_behind_their_extension_headers() {
    let whole = join(&[&[6, 0, 1, 4, 0, 0, 0, 0], &tcp_with(Way::There, &[], &body())]);
    let piece = |start: usize, end: usize| {
        let place = start as u16 | u16::from(end < whole.len());
        let head = join(&[&[60, 0], &place.to_be_bytes(), &[0, 0, 0, 9], &whole[start..end]]);
        ipv6(Way::There, 44, &head)
    };
    let (seen, _) = dissect(RAW, &[piece(64, whole.len()), piece(0, 64)]);
    assert_eq!(seen[0].payload, body());
}

#[test]
fn where_fragments_overlap_the_first_to_come_wins() {
    let mut three = pieces(&[0, 40, 80]);
    let whole = tcp_with(Way::There, &[], &[0xee; 100]);
    let liar = ipv4_fragment(Way::There, 6, 9, MORE | 3, &whole[24..88]);
    three.insert(1, liar);
    let (seen, census) = dissect(RAW, &three);
    // The first piece keeps its bytes, the liar has what is behind it, up to where it reaches.
    let expected = join(&[&body()[..20], &[0xee; 48], &body()[68..]]);
    assert_eq!(seen[0].payload, expected);
    assert!(census.fragments_overlapping > 0);
}

#[test]
fn a_fragment_seen_twice_changes_nothing() {
    let three = pieces(&[0, 40, 80]);
    let (seen, census) = dissect(RAW, &[&three[..2], &three[..2], &three[2..]].concat());
    assert_eq!((seen.len(), census.fragments_overlapping), (1, 0));
}

#[test]
fn what_misses_a_fragment_is_counted_at_the_end() {
    let (seen, census) = dissect(RAW, &pieces(&[0, 40, 80])[..2]);
    assert_eq!(seen, []);
    assert_eq!(census.fragments_dropped, 2);
}

#[test]
fn fragments_that_were_cut_give_what_was_captured() {
    let two = pieces(&[0, 80]);
    let cut = [(two[0].len() as u32, &two[0][..60]), (two[1].len() as u32, two[1].as_slice())];
    let (seen, _) = dissect_cut(Config::default(), RAW, &cut);
    assert_eq!((seen[0].payload.as_slice(), seen[0].cut), (&body()[..20], 80));
}

#[test]
fn an_old_fragment_is_not_joined_with_a_new_one_of_the_same_number() {
    let two = pieces(&[0, 80]);
    let mut packets = vec![two[0].clone()];
    // A packet a second.
    packets.extend(std::iter::repeat_n(vec![0x45; 4], 61));
    packets.push(two[1].clone());
    let (seen, census) = dissect(RAW, &packets);
    assert_eq!((seen.len(), census.fragments_dropped), (0, 2));
}

#[test]
fn packets_that_never_become_whole_are_given_up_oldest_first() {
    let orphans = (0..5000).map(|id| ipv4_fragment(Way::There, 6, id, MORE, &[1; 1400]));
    let (_, census) = dissect(RAW, &orphans.collect::<Vec<_>>());
    assert_eq!((census.fragments, census.fragments_dropped), (5000, 5000));
    // Pieces of one packet are bounded too.
    let crumbs = (0..8000u16).map(|at| ipv4_fragment(Way::There, 6, 1, MORE | at, &[1; 8]));
    let (_, census) = dissect(RAW, &crumbs.step_by(2).collect::<Vec<_>>());
    assert_eq!(census.fragments_dropped, 4000);
}

#[test]
fn fragments_that_cannot_be_are_dropped() {
    let beyond = ipv4_fragment(Way::There, 6, 1, 0x1fff, &[1; 64]);
    let odd = ipv4_fragment(Way::There, 6, 1, MORE, &[1; 13]);
    let last = ipv4_fragment(Way::There, 6, 2, 1, &[1; 8]);
    let behind_last = ipv4_fragment(Way::There, 6, 2, MORE | 4, &[1; 8]);
    let (seen, census) = dissect(RAW, &[beyond, odd, last, behind_last]);
    assert_eq!(seen, []);
    assert_eq!(census.fragments_dropped, 4);
}
