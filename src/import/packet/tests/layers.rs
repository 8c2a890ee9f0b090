//! Every way in which a segment can be wrapped.

use super::super::{Config, Other, Undecodable};
use super::bytes::{PAYLOAD, Way, dissect, dissect_cut, ethernet, ipv4, ipv6, join, tcp, tcp_with, udp};

const ETHERNET: u16 = 1;
const RAW: u16 = 101;

fn v4(way: Way) -> Vec<u8> {
    ipv4(way, 6, &tcp(way))
}

fn v6(way: Way) -> Vec<u8> {
    ipv6(way, 6, &tcp(way))
}

fn frame(way: Way) -> Vec<u8> {
    ethernet(0x0800, &v4(way))
}

/// Name, link type, packet; each of them holds one segment with [`PAYLOAD`].
pub(super) fn wrapped(way: Way) -> Vec<(&'static str, u16, Vec<u8>)> {
    let (there, back) = way.order(1u8, 2);
    let snap = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &v4(way)]);
    let llc_length = snap.len() as u16;
    let wlan = join(&[&[0x88, 1, 0, 0], &[9; 18], &[0x10, 0, 0, 0], &snap]);
    let wlan_4 = join(&[&[0x08, 3, 0, 0], &[9; 18], &[0x10, 0], &[9; 6], &snap]);
    let subframe = join(&[&[7; 12], &llc_length.to_be_bytes(), &snap]);
    let aggregate = join(&[&[0x88, 2, 0, 0], &[9; 18], &[0x10, 0, 0x80, 0], &subframe]);
    let nflog_length = (v4(way).len() + 4) as u16;
    let nflog_le =
        join(&[&[2, 0, 0, 5, 8, 0, 1, 0, 8, 0, 1, 0], &nflog_length.to_le_bytes(), &9u16.to_le_bytes(), &v4(way)]);
    let nflog_be =
        join(&[&[2, 0, 0, 5, 0, 8, 0, 1, 8, 0, 1, 0], &nflog_length.to_be_bytes(), &9u16.to_be_bytes(), &v4(way)]);
    let pktap = join(&[&20u32.to_le_bytes(), &[1, 0, 0, 0], &12u32.to_le_bytes(), &[0; 8], &v4(way)]);
    let ppi = join(&[&[0, 0, 8, 0], &1u32.to_le_bytes(), &frame(way)]);
    let session = |body: &[u8]| {
        let length = (body.len() + 2) as u16;
        join(&[&[0x11, 0, 0, there], &length.to_be_bytes(), &[0, 0x21], body])
    };
    let gre = |head: &[u8], body: &[u8]| ipv4(way, 47, &join(&[head, body]));
    let in_udp = |port: u16, head: &[u8], body: &[u8]| ipv4(way, 17, &udp(5000, port, &join(&[head, body])));
    let ppp_length = (v4(way).len() + 2) as u16;
    let pptp = join(&[&[0x30, 0x01, 0x88, 0x0b], &ppp_length.to_be_bytes(), &[0, there, 0, 0, 0, 1, 0, 0x21]]);
    let gtp_length = (v4(way).len() + 8) as u16;
    let gtp = join(&[&[0x34, 255], &gtp_length.to_be_bytes(), &[0, 0, 0, there, 0, 1, 0, 0x85, 1, 2, 3, 0]]);
    let routed = join(&[&[6, 2, 0, 1, 0, 0, 0, 0], &[0x20, 1, 0xd, 0xb8], &[0; 11], &[back], &tcp(way)]);
    let jumbo_payload = join(&[&[6, 0, 0xc2, 4], &((tcp(way).len() + 8) as u32).to_be_bytes(), &tcp(way)]);
    let mut jumbo = ipv6(way, 0, &jumbo_payload);
    jumbo[4..6].fill(0);
    let mut offloaded = v4(way);
    offloaded[2..4].fill(0);
    vec![
        ("Ethernet", ETHERNET, frame(way)),
        ("Ethernet with padding", ETHERNET, join(&[&frame(way), &[0xee; 12]])),
        ("Ethernet, IPv6", ETHERNET, ethernet(0x86dd, &v6(way))),
        ("802.3 with SNAP", ETHERNET, join(&[&ethernet(llc_length, &snap), &[0xee; 4]])),
        ("VLAN", ETHERNET, ethernet(0x8100, &join(&[&[0x20, 5, 8, 0], &v4(way)]))),
        ("three VLANs", ETHERNET, ethernet(0x88a8, &join(&[&[0, 5, 0x81, 0, 0, 6, 0x91, 0, 0, 7, 8, 0], &v4(way)]))),
        ("VLAN 0", ETHERNET, ethernet(0x8100, &join(&[&[0x20, 0, 8, 0], &v4(way)]))),
        ("MPLS", ETHERNET, ethernet(0x8847, &join(&[&[0, there, 0, 64, 0, 1, 1, 64], &v4(way)]))),
        ("MPLS, IPv6", ETHERNET, ethernet(0x8848, &join(&[&[0, there, 1, 64], &v6(way)]))),
        ("MPLS, pseudowire", ETHERNET, ethernet(0x8847, &join(&[&[0, there, 1, 64, 0, 0, 0, 0], &frame(way)]))),
        ("MPLS, frame", ETHERNET, ethernet(0x8847, &join(&[&[0, there, 1, 64], &frame(way)]))),
        ("PPPoE", ETHERNET, ethernet(0x8864, &join(&[&session(&v4(way)), &[0; 6]]))),
        ("PPPoE as link type", 51, session(&v4(way))),
        ("Linux cooked", 113, join(&[&[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0], &v4(way)])),
        ("Linux cooked 2", 276, join(&[&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0], &v4(way)])),
        ("Linux cooked, GRE", 113, join(&[&[0, 0, 3, 10, 0, 4], &[0; 8], &[8, 0], &v4(way)])),
        ("BSD loopback, little-endian", 0, join(&[&[2, 0, 0, 0], &v4(way)])),
        ("BSD loopback, big-endian", 0, join(&[&[0, 0, 0, 30], &v6(way)])),
        ("OpenBSD loopback", 108, join(&[&[0, 0, 0, 24], &v6(way)])),
        ("raw, IPv4", RAW, v4(way)),
        ("raw, IPv6", 12, v6(way)),
        ("IPv4", 228, v4(way)),
        ("IPv6", 229, v6(way)),
        ("PPP", 9, join(&[&[0, 0x21], &v4(way)])),
        ("PPP, short protocol", 9, join(&[&[0xff, 3, 0x57], &v6(way)])),
        ("PPP in HDLC", 50, join(&[&[0xff, 3, 0, 0x21], &v4(way)])),
        ("PPP with direction", 204, join(&[&[1, 0xff, 3, 0, 0x21], &v4(way)])),
        ("Cisco HDLC", 104, join(&[&[0x0f, 0, 8, 0], &v4(way)])),
        ("NFLOG, little-endian", 239, nflog_le),
        ("NFLOG, big-endian", 239, nflog_be),
        ("802.11", 105, wlan.clone()),
        ("802.11 between access points", 105, wlan_4),
        ("802.11 aggregate", 105, aggregate),
        ("radiotap", 127, join(&[&[0, 0, 9, 0, 2, 0, 0, 0, 0], &wlan])),
        (
            "radiotap, padded",
            127,
            join(&[&[0, 0, 17, 0, 3, 0, 0, 0], &[0; 8], &[0x20], &wlan[..26], &[0, 0], &wlan[26..]]),
        ),
        ("PPI", 192, ppi),
        ("PKTAP", 149, pktap),
        ("IPv4 in IPv4", RAW, ipv4(way, 4, &v4(way))),
        ("IPv6 in IPv4", RAW, ipv4(way, 41, &v6(way))),
        ("IPv4 in IPv6", RAW, ipv6(way, 4, &v4(way))),
        ("EtherIP", RAW, ipv4(way, 97, &join(&[&[0x30, 0], &frame(way)]))),
        ("AH", RAW, ipv4(way, 51, &join(&[&[6, 4], &[0; 22], &tcp(way)]))),
        ("MPLS in IP", RAW, ipv4(way, 137, &join(&[&[0, there, 1, 64], &v4(way)]))),
        ("GRE", RAW, gre(&[0, 0, 8, 0], &v4(way))),
        ("GRE with all fields", RAW, gre(&[0xb0, 0, 0x86, 0xdd, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], &v6(way))),
        ("GRE, Ethernet", RAW, gre(&[0x20, 0, 0x65, 0x58, 0, 0, 0, 7], &frame(way))),
        ("GRE, source route", RAW, gre(&[0x40, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0, 2, 9, 9, 0, 0, 0, 0], &v4(way))),
        ("GRE, Aruba", RAW, gre(&[0, 0, 0x90, 0], &wlan)),
        ("GRE, cache redirect", RAW, gre(&[0, 0, 0x88, 0x3e, 0, 0, 0, 0], &v4(way))),
        ("PPTP", RAW, gre(&pptp, &v4(way))),
        ("ERSPAN I", RAW, gre(&[0, 0, 0x88, 0xbe], &frame(way))),
        ("ERSPAN II", RAW, gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 1, 0, 0, 0, 1], &frame(way))),
        (
            "ERSPAN III",
            RAW,
            gre(&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], &frame(way)),
        ),
        (
            "ERSPAN III with platform, IP",
            RAW,
            gre(&join(&[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 1, 0, 0, 0, 1, 0, 0, 8, 1], &[0; 8]]), &v4(way)),
        ),
        ("GRE in UDP", RAW, in_udp(4754, &[0, 0, 8, 0], &v4(way))),
        ("VXLAN", RAW, in_udp(4789, &[8, 0, 0, 0, 0, 0, 5, 0], &frame(way))),
        ("VXLAN on Linux's port", RAW, in_udp(8472, &[0x88, 0, 0, 9, 0, 0, 5, 0], &frame(way))),
        ("VXLAN-GPE, IPv6", RAW, in_udp(4790, &[0x0c, 0, 0, 2, 0, 0, 5, 0], &v6(way))),
        (
            "VXLAN-GPE, service header",
            RAW,
            in_udp(4790, &[0x0c, 0, 0, 4, 0, 0, 5, 0, 0, 2, 2, 3, 0, 0, 1, 255], &frame(way)),
        ),
        ("Geneve", RAW, in_udp(6081, &[1, 0, 0x65, 0x58, 0, 0, 5, 0, 1, 2, 3, 0], &frame(way))),
        ("Geneve, IPv4", RAW, in_udp(6081, &[0, 0, 8, 0, 0, 0, 5, 0], &v4(way))),
        ("GTP-U", RAW, in_udp(2152, &gtp, &v4(way))),
        ("Teredo", RAW, in_udp(3544, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6], &v6(way))),
        ("AYIYA", RAW, in_udp(5072, &join(&[&[0x41, 0x52, 0x11, 41], &[0; 4], &[0; 16], &[0; 20]]), &v6(way))),
        ("MPLS in UDP", RAW, in_udp(6635, &[0, there, 1, 64], &v4(way))),
        (
            "IPv6 with options",
            RAW,
            ipv6(way, 0, &join(&[&[60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0], &tcp(way)])),
        ),
        ("IPv6 routed", RAW, ipv6(way, 43, &routed)),
        ("IPv6 in one fragment", RAW, ipv6(way, 44, &join(&[&[6, 0, 0, 0, 0, 0, 0, 9], &tcp(way)]))),
        ("IPv6 jumbo", RAW, jumbo),
        ("IPv4 without a total length", RAW, offloaded),
        ("TCP options", RAW, ipv4(way, 6, &tcp_with(way, &[1; 12], PAYLOAD))),
    ]
}

#[test]
fn a_segment_is_found_in_every_wrapping_and_both_directions_share_the_lane() {
    for ((name, link, there), (.., back)) in wrapped(Way::There).into_iter().zip(wrapped(Way::Back)) {
        let (seen, census) = dissect(link, &[there, back]);
        assert_eq!(seen.len(), 2, "{name}: {census:?}");
        assert_eq!(seen[0].payload, PAYLOAD, "{name}");
        assert_eq!((seen[0].cut, seen[1].cut), (0, 0), "{name}");
        assert_eq!(seen[0].source, seen[1].destination, "{name}");
        assert_eq!(seen[0].lane, seen[1].lane, "{name}");
        assert_eq!((seen[0].source.1, seen[0].destination.1), (40_000, 80), "{name}");
    }
}

#[test]
fn lanes_differ_by_what_tells_address_spaces_apart() {
    let lane_of = |packet: Vec<u8>| dissect(ETHERNET, &[packet]).0[0].lane;
    let way = Way::There;
    let vlan = |id: u8| ethernet(0x8100, &join(&[&[0, id, 8, 0], &v4(way)]));
    let vxlan =
        |id: u8| ethernet(0x0800, &ipv4(way, 17, &udp(1, 4789, &join(&[&[8, 0, 0, 0, 0, 0, id, 0], &frame(way)]))));
    let two = ethernet(0x8100, &join(&[&[0, 5, 0x81, 0, 0, 6, 8, 0], &v4(way)]));
    let swapped = ethernet(0x8100, &join(&[&[0, 6, 0x81, 0, 0, 5, 8, 0], &v4(way)]));
    let priority = ethernet(0x8100, &join(&[&[0x20, 0, 8, 0], &v4(way)]));
    assert_eq!([lane_of(frame(way)), lane_of(priority)], [0, 0]);
    let mut lanes = [frame(way), vlan(5), vlan(6), two, swapped, vxlan(5), vxlan(6)].map(lane_of);
    lanes.sort_unstable();
    assert!(lanes.windows(2).all(|pair| pair[0] != pair[1]), "{lanes:x?}");
}

#[test]
fn what_the_snapshot_length_cuts_is_counted_and_never_made_up() {
    let whole = frame(Way::There);
    let wire = whole.len() as u32;
    let headers = whole.len() - PAYLOAD.len();
    for kept in headers..=whole.len() {
        let (seen, _) = dissect_cut(Config::default(), ETHERNET, &[(wire, &whole[..kept])]);
        assert_eq!(seen[0].payload, PAYLOAD[..kept - headers]);
        assert_eq!(seen[0].cut as usize, whole.len() - kept);
    }
    for kept in 0..headers {
        let (seen, census) = dissect_cut(Config::default(), ETHERNET, &[(wire, &whole[..kept])]);
        assert_eq!(seen, []);
        assert_eq!(census.undecodable.len(), 1, "{kept}");
    }
    // A mirror cuts what does not fit into its tunnel: the frame around is whole, the packet within is not.
    let inner = &whole[..whole.len() - 7];
    let mirrored = ipv4(Way::There, 17, &udp(1, 4789, &join(&[&[8, 0, 0, 0, 0, 0, 5, 0], inner])));
    let (seen, _) = dissect(RAW, &[mirrored]);
    assert_eq!((seen[0].payload.as_slice(), seen[0].cut), (&PAYLOAD[..PAYLOAD.len() - 7], 7));
    // Cut inside of the options: the header's length still tells how much payload there was.
    let optioned = ipv4(Way::There, 6, &tcp_with(Way::There, &[1; 12], PAYLOAD));
    let (seen, _) = dissect_cut(Config::default(), RAW, &[(optioned.len() as u32, &optioned[..44])]);
    assert_eq!((seen[0].payload.len(), seen[0].cut as usize), (0, PAYLOAD.len()));
}

#[test]
fn what_is_no_tcp_is_counted_by_name() {
    let way = Way::There;
    let datagram = |port, body: &[u8]| ipv4(way, 17, &udp(5000, port, body));
    let cases: [(u16, Vec<u8>, &str); 9] = [
        (RAW, datagram(443, &[0xc3, 0, 0, 0, 1, 8]), "QUIC (HTTP/3)"),
        (RAW, datagram(443, &[0x40, 9, 9]), "QUIC (HTTP/3)"),
        (RAW, datagram(53, &[0; 12]), "DNS"),
        (RAW, datagram(9999, &[0; 12]), "UDP"),
        (RAW, ipv4(way, 50, &[0; 40]), "IPsec ESP"),
        (RAW, ipv4(way, 200, &[0; 40]), "IP protocol 200"),
        (ETHERNET, ethernet(0x0806, &[0; 28]), "ARP"),
        (ETHERNET, ethernet(0x1234, &[0; 28]), "EtherType 0x1234"),
        (105, join(&[&[0x08, 0x41], &[0; 40]]), "802.11 encrypted"),
    ];
    for (link, packet, name) in cases {
        let (seen, census) = dissect(link, &[packet]);
        assert_eq!(seen, []);
        let names = census.others.keys().map(Other::to_string).collect::<Vec<_>>();
        assert_eq!(names, [name]);
    }
    let (_, census) = dissect(147, &[vec![0; 60]]);
    assert_eq!(census.unsupported_links.get(&147), Some(&1));
}

#[test]
fn what_cannot_be_is_counted_and_passed_over() {
    let way = Way::There;
    let mut bad_offset = v4(way);
    bad_offset[32] = 0x40;
    let mut long_offset = v4(way);
    long_offset[32] = 0xf0;
    let no_flag = ipv4(way, 17, &udp(1, 4789, &join(&[&[0; 8], &frame(way)])));
    let mut nested = v4(way);
    for _ in 0..9 {
        nested = ipv4(way, 4, &nested);
    }
    let mut tagged = v4(way);
    for _ in 0..100 {
        tagged = join(&[&[0, 1, 0x81, 0], &tagged]);
    }
    let cases = [
        (RAW, bad_offset, Undecodable::Tcp),
        (RAW, long_offset, Undecodable::Tcp),
        (RAW, vec![0x45; 10], Undecodable::Ip),
        (RAW, vec![0x15; 60], Undecodable::Ip),
        (RAW, no_flag, Undecodable::Tunnel(super::super::Tunnel::Vxlan)),
        (RAW, nested, Undecodable::TooDeep),
        (ETHERNET, ethernet(0x8100, &tagged), Undecodable::TooDeep),
        (ETHERNET, ethernet(0x8847, &[0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff]), Undecodable::Mpls),
    ];
    for (link, packet, why) in cases {
        let (seen, census) = dissect(link, &[packet]);
        assert_eq!(seen, []);
        assert_eq!(census.undecodable.keys().collect::<Vec<_>>(), [&why]);
    }
}

#[test]
fn checksums_matter_only_when_asked_for() {
    let mut right = v4(Way::There);
    let sum = {
        let pseudo = join(&[&right[12..20], &[0, 6], &((right.len() - 20) as u16).to_be_bytes(), &right[20..]]);
        let mut sum = pseudo.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(*p.get(1).unwrap_or(&0))).sum::<u32>();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    };
    let wrong = right.clone();
    right[36..38].copy_from_slice(&sum.to_be_bytes());
    let packets = [(right.len() as u32, right.as_slice()), (wrong.len() as u32, wrong.as_slice())];
    for (verify_checksums, segments, bad) in [(false, 2, 0), (true, 1, 1)] {
        let config = Config { verify_checksums, ..Config::default() };
        let (seen, census) = dissect_cut(config, RAW, &packets);
        assert_eq!((seen.len(), census.bad_checksums), (segments, bad));
    }
}

#[test]
fn vxlan_is_found_on_ports_that_are_named() {
    let packet = ipv4(Way::There, 17, &udp(1, 9000, &join(&[&[8, 0, 0, 0, 0, 0, 5, 0], &frame(Way::There)])));
    for (vxlan_ports, segments) in [(vec![], 0), (vec![9000], 1)] {
        let config = Config { vxlan_ports, ..Config::default() };
        assert_eq!(dissect_cut(config, RAW, &[(packet.len() as u32, &packet)]).0.len(), segments);
    }
}
