//! Damaged, cut and shuffled input: nothing panics, everything ends.

use super::super::{Config, Container, Dissector, Item, Packet};
use super::bytes::{Dice, Way, join};
use super::containers::{Order, enhanced, interface, pcap, section};
use super::layers::wrapped;

/// Flips bits, writes extremes over bytes, cuts.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.below(bytes.len());
        match dice.below(5) {
            0 => bytes[at] = 0xff,
            1 => bytes[at] = 0,
            2 => bytes.truncate(at),
            3 => bytes[at] = dice.below(256) as u8,
            _ => bytes[at] ^= 1 << dice.below(8),
        }
    }
}

#[test]
fn mutated_packets_of_every_wrapping_are_survived() {
    let mut dice = Dice(1);
    let mut dissector = Dissector::new(Config { verify_checksums: false, vxlan_ports: vec![5000] });
    let cases = wrapped(Way::There);
    let links = cases.iter().map(|(_, link, _)| *link).collect::<Vec<_>>();
    for round in 0..20_000u64 {
        let (_, link, data) = &cases[dice.below(cases.len())];
        let mut data = data.clone();
        mutate(&mut dice, &mut data);
        let link = if dice.below(10) == 0 { links[dice.below(links.len())] } else { *link };
        let wire_bytes = (data.len() + dice.below(3) * dice.below(70_000)) as u32;
        let packet = Packet { at: round, link, interface: 0, data: &data, wire_bytes };
        dissector.packet(&packet, &mut |segment| assert!(segment.payload.len() <= data.len() + 65_535));
    }
    dissector.finish();
    assert_eq!(dissector.census().packets, 20_000);
    assert!(dissector.census().segments > 1000);
}

#[test]
fn mutated_files_are_survived() {
    let mut dice = Dice(2);
    let cases = wrapped(Way::There);
    let packets = cases.iter().map(|(.., data)| data.as_slice()).collect::<Vec<_>>();
    let blocks =
        cases.iter().enumerate().flat_map(|(number, (.., data))| enhanced(Order::Big, 0, number as u64, data, &[]));
    let ng = join(&[&section(Order::Big), &interface(Order::Big, 1, &[]), &blocks.collect::<Vec<_>>()]);
    let files = [pcap(Order::Little, 0xa1b2_c3d4, 0, &packets), ng];
    for round in 0..3000 {
        let mut file = files[round % files.len()].clone();
        mutate(&mut dice, &mut file);
        let Ok(mut container) = Container::open(file.as_slice()) else { continue };
        let mut dissector = Dissector::new(Config::default());
        let mut items = 0;
        while let Ok(Some(item)) = container.next() {
            items += 1;
            assert!(items < 10_000, "does not end");
            if let Item::Packet(packet) = item {
                dissector.packet(&packet, &mut |_| {});
            }
        }
        assert!(container.offset() <= file.len() as u64);
    }
}
