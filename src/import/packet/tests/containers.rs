//! pcap and pcapng files made by hand, whole and damaged.

use std::io::Write;

use super::super::{Container, ContainerError, Item, secrets_in};
use super::bytes::join;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, number: u16) -> [u8; 2] {
        if self == Self::Little { number.to_le_bytes() } else { number.to_be_bytes() }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        if self == Self::Little { number.to_le_bytes() } else { number.to_be_bytes() }
    }

    fn u64(self, number: u64) -> [u8; 8] {
        if self == Self::Little { number.to_le_bytes() } else { number.to_be_bytes() }
    }
}

pub(super) fn pcap(order: Order, magic: u32, behind_record: usize, packets: &[&[u8]]) -> Vec<u8> {
    let mut file =
        join(&[&order.u32(magic), &order.u16(2), &order.u16(4), &[0; 8], &order.u32(65_535), &order.u32(0x1000_0001)]);
    for (number, data) in packets.iter().enumerate() {
        file.extend(order.u32(1_700_000_000 + number as u32));
        file.extend(order.u32(5));
        file.extend(order.u32(data.len() as u32));
        file.extend(order.u32(data.len() as u32 + 3));
        file.extend(vec![0; behind_record]);
        file.extend_from_slice(data);
    }
    file
}

pub(super) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = join(&[body, &vec![0; body.len().next_multiple_of(4) - body.len()]]);
    let length = order.u32(padded.len() as u32 + 12);
    join(&[&order.u32(kind), &length, &padded, &length])
}

fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
    join(&[&order.u16(code), &order.u16(value.len() as u16), value, &padding])
}

pub(super) fn section(order: Order) -> Vec<u8> {
    block(order, 0x0a0d_0d0a, &join(&[&order.u32(0x1a2b_3c4d), &order.u16(1), &order.u16(0), &[0xff; 8]]))
}

pub(super) fn interface(order: Order, link: u16, options: &[u8]) -> Vec<u8> {
    block(order, 1, &join(&[&order.u16(link), &[0, 0], &order.u32(0), options]))
}

pub(super) fn enhanced(order: Order, interface: u32, time: u64, data: &[u8], options: &[u8]) -> Vec<u8> {
    let padding = vec![0; data.len().next_multiple_of(4) - data.len()];
    let (high, low) = ((time >> 32) as u32, time as u32);
    let length = data.len() as u32;
    let numbers = [interface, high, low, length, length + 3].map(|number| order.u32(number)).concat();
    block(order, 6, &join(&[&numbers, data, &padding, options]))
}

fn secrets(order: Order, text: &[u8]) -> Vec<u8> {
    block(order, 10, &join(&[&order.u32(0x544c_534b), &order.u32(text.len() as u32), text]))
}

/// One line for each item; the last may be an error.
pub(super) fn read(file: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut container = match Container::open(file) {
        Ok(container) => container,
        Err(error) => return vec![error.to_string()],
    };
    loop {
        lines.push(match container.next() {
            Ok(Some(Item::Packet(packet))) => {
                let missing = packet.wire_bytes as usize - packet.data.len();
                let data = String::from_utf8_lossy(packet.data).into_owned();
                format!("{} link {} if {} {data}+{missing}", packet.at, packet.link, packet.interface)
            }
            Ok(Some(Item::Idle)) => "idle".to_owned(),
            Ok(Some(Item::Secrets(text))) => format!("secrets {}", String::from_utf8_lossy(text)),
            Ok(Some(Item::Names(names))) => {
                let names = names.iter().map(|(address, name)| format!("{address}={name}")).collect::<Vec<_>>();
                format!("names {}", names.join(" "))
            }
            Ok(Some(Item::Interface(interface))) => {
                let text = |text: Option<String>| text.unwrap_or_default();
                format!("interface {} {} {}", interface.link, text(interface.name), text(interface.description))
            }
            Ok(Some(Item::Skipped { offset, bytes })) => format!("skipped {bytes} at {offset}"),
            Ok(None) => break,
            Err(error) => {
                lines.push(error.to_string());
                assert!(matches!(container.next(), Ok(None)), "nothing follows an error");
                break;
            }
        });
    }
    if container.dropped() > 0 {
        lines.push(format!("dropped {}", container.dropped()));
    }
    lines
}

#[test]
fn pcap_files_of_every_kind_are_read() {
    let packets: [&[u8]; 3] = [b"first packet", b"second", b"third"];
    let expected = |nanos: u64| {
        let line = |(number, data): (u64, &str)| {
            format!("{} link 1 if 0 {data}+3", (1_700_000_000 + number) * 1_000_000_000 + nanos)
        };
        [(0, "first packet"), (1, "second"), (2, "third")].map(line)
    };
    for order in [Order::Little, Order::Big] {
        for (magic, behind, nanos) in [
            (0xa1b2_c3d4, 0, 5000),
            (0xa1b2_3c4d, 0, 5),
            (0xa1b2_cd34, 8, 5000),
            (0xa1b2_c3d4, 4, 5000),
            (0xa1b2_c3d4, 8, 5000),
        ] {
            assert_eq!(read(&pcap(order, magic, behind, &packets)), expected(nanos), "{order:?} {magic:x} {behind}");
        }
        assert_eq!(read(&pcap(order, 0xa1b2_c3d4, 0, &[])), [""; 0]);
    }
}

#[test]
fn pcapng_sections_of_either_endianness_have_interfaces_with_clocks_of_their_own() {
    let half = |order: Order| {
        let resolution = |value: u8| option(order, 9, &[value]);
        let named = join(&[&option(order, 2, b"eth0"), &option(order, 3, b"the uplink"), &[0; 4]]);
        let offset = join(&[&resolution(9), &option(order, 14, &order.u64(100))]);
        join(&[
            &section(order),
            &interface(order, 1, &named),
            &interface(order, 113, &offset),
            &interface(order, 101, &resolution(0x80 | 10)),
            &interface(order, 101, &resolution(12)),
            &enhanced(order, 0, 1_700_000_000_000_001, b"micros", &[]),
            &enhanced(order, 1, 1_700_000_000_000_000_001, b"nanos", &option(order, 1, b"comment")),
            &enhanced(order, 2, 1536, b"binary", &[]),
            &enhanced(order, 3, 5_000_000, b"picos", &[]),
            &enhanced(order, 9, 0, b"of no interface", &[]),
            &block(order, 3, &join(&[&order.u32(9), b"simple ok"])),
            &block(
                order,
                2,
                &join(&[
                    &order.u16(1),
                    &order.u16(2),
                    &order.u32(0),
                    &order.u32(7),
                    &order.u32(3),
                    &order.u32(3),
                    b"old",
                ]),
            ),
            &block(order, 0xbad, b"custom"),
        ])
    };
    let expected = [
        "interface 1 eth0 the uplink",
        "interface 113  ",
        "interface 101  ",
        "interface 101  ",
        "1700000000000001000 link 1 if 0 micros+3",
        "1700000100000000001 link 113 if 1 nanos+3",
        "1500000000 link 101 if 2 binary+3",
        "5000 link 101 if 3 picos+3",
        "5000 link 1 if 0 simple ok+0",
        "100000000007 link 113 if 1 old+0",
    ];
    let file = join(&[&half(Order::Big), &half(Order::Little)]);
    assert_eq!(read(&file), [expected.as_slice(), &expected, &["dropped 4"]].concat());
}

#[test]
fn names_secrets_and_losses_are_told() {
    for order in [Order::Little, Order::Big] {
        let record = |kind: u16, value: &[u8]| option(order, kind, value);
        let names = join(&[
            &record(1, b"\x0a\0\0\x01shop.example\0www.shop.example\0"),
            &record(2, b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01v6.example\0"),
            &[0; 4],
        ]);
        let losses = join(&[&option(order, 5, &order.u64(7)), &option(order, 7, &order.u64(2))]);
        let file = join(&[
            &section(order),
            &interface(order, 1, &[]),
            &block(order, 4, &names),
            &secrets(order, b"CLIENT_RANDOM 00 11\n"),
            &block(order, 10, &join(&[&order.u32(0x5747_4b4c), &order.u32(4), b"wire"])),
            &enhanced(order, 0, 1, b"x", &option(order, 4, &order.u64(3))),
            &block(order, 5, &join(&[&[0; 12], &losses])),
        ]);
        assert_eq!(
            read(&file),
            [
                "interface 1  ",
                "names 10.0.0.1=shop.example 10.0.0.1=www.shop.example 2001:db8::1=v6.example",
                "secrets CLIENT_RANDOM 00 11\n",
                "1000 link 1 if 0 x+3",
                "dropped 9",
            ]
        );
    }
}

#[test]
fn a_file_cut_at_any_byte_gives_every_whole_packet_and_then_says_so() {
    let order = Order::Little;
    let pcap = pcap(order, 0xa1b2_c3d4, 0, &[b"first", b"second", b"third"]);
    let ng = join(&[
        &section(order),
        &interface(order, 1, &[]),
        &enhanced(order, 0, 1, b"first", &[]),
        &enhanced(order, 0, 2, b"second", &[]),
    ]);
    for file in [pcap, ng] {
        let whole = read(&file);
        for cut in 4..file.len() {
            let lines = read(&file[..cut]);
            let (last, before) =
                lines.split_last().map_or((None, [].as_slice()), |(last, before)| (Some(last), before));
            if last.is_some_and(|last| last.contains("cut off")) {
                assert!(whole.starts_with(before), "{cut}");
            } else {
                // Cut between two records.
                assert!(whole.starts_with(&lines), "{cut}: {lines:?}");
            }
        }
    }
    for nothing in [b"".as_slice(), b"\x0a", b"HTTP/1.1 200 OK\r\n\r\nsome text"] {
        assert_eq!(read(nothing), ["not a packet capture"]);
    }
}

#[test]
fn damage_in_the_middle_is_passed_over() {
    let data = [0x55u8; 200];
    let packets = [data.as_slice(); 8];
    let mut file = pcap(Order::Little, 0xa1b2_c3d4, 0, &packets);
    file[24 + 216 * 2 + 8..24 + 216 * 2 + 12].fill(0xff);
    let lines = read(&file);
    assert_eq!(lines.len(), 8);
    assert!(lines[2] == format!("skipped 216 at {}", 24 + 216 * 2), "{}", lines[2]);
    // Nothing behind it: told where.
    let mut file = pcap(Order::Little, 0xa1b2_c3d4, 0, &packets[..3]);
    file[24 + 216 + 8..].fill(0xff);
    assert_eq!(read(&file).last().unwrap(), "the capture is damaged at offset 240");

    let order = Order::Big;
    let start = join(&[&section(order), &interface(order, 1, &[])]);
    let packets = |count: u64| (0..count).flat_map(|time| enhanced(order, 0, time, b"data", &[])).collect::<Vec<_>>();
    let damaged = join(&[&start, &packets(2), &[0xee; 333], &packets(2)]);
    let lines = read(&damaged);
    assert_eq!(lines.len(), 6);
    assert!(lines[3].starts_with("skipped 333"), "{}", lines[3]);
    let too_long = join(&[&start, &order.u32(6), &order.u32(0x7fff_fff0), &[0xee; 40], &packets(2)]);
    assert_eq!(read(&too_long).len(), 4);
    let too_long = join(&[&start, &order.u32(6), &order.u32(0x7fff_fff0), &[0xee; 40]]);
    assert!(matches!(
        Container::open(too_long.as_slice()).and_then(|mut all| {
            while all.next()?.is_some() {}
            Ok(())
        }),
        Err(ContainerError::TooLong { bytes: 0x7fff_fff0, .. })
    ));
}

#[test]
fn a_block_longer_than_the_usual_window_is_read() {
    let long = vec![b'x'; 3 * 1024 * 1024];
    let order = Order::Little;
    let file = join(&[&section(order), &interface(order, 1, &[]), &enhanced(order, 0, 1, &long, &[])]);
    assert_eq!(read(&file)[1].len(), long.len() + "1000 link 1 if 0 +3".len());
}

#[test]
fn secrets_are_found_ahead_wherever_they_stand() {
    let order = Order::Little;
    let long = vec![b'x'; 700_000];
    let file = join(&[
        &section(order),
        &interface(order, 1, &[]),
        &secrets(order, b"one"),
        &enhanced(order, 0, 1, &long, &[]),
        &secrets(order, b"two"),
        &[0xee; 100],
        &enhanced(order, 0, 1, b"short", &[]),
        &section(Order::Big),
        &secrets(Order::Big, b"three"),
    ]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&file).unwrap();
    let found = |bytes: &[u8]| {
        let mut stored = tempfile::NamedTempFile::new().unwrap();
        stored.write_all(bytes).unwrap();
        let mut found = Vec::new();
        secrets_in(stored.path(), &mut |text| found.push(String::from_utf8_lossy(text).into_owned())).unwrap();
        found
    };
    assert_eq!(found(&file), ["one", "two", "three"]);
    assert_eq!(found(&encoder.finish().unwrap()), ["one", "two", "three"]);
    for other in [b"".as_slice(), b"abc", b"something else", &file[..file.len() - 3]] {
        assert!(found(other).len() <= 2);
    }
}
