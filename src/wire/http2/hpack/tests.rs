//! RFC 7541 Appendix C, round trips, decoding from the middle, and outside bytes.

use super::static_table::STATIC;
use super::*;
use crate::wire::http2::Field;
use crate::wire::http2::tests::Random;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

fn fields(list: &[(&str, &str)]) -> Vec<Field> {
    list.iter().map(|(n, v)| Field { name: Some((*n).into()), value: Some((*v).into()) }).collect()
}

type Vector<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// Decodes the blocks, and encodes the same again.
fn dialogue(strings: Strings, table: u32, vectors: &[Vector<'_>]) {
    let mut decoder = Decoder::new();
    let mut encoder = Encoder::new(strings);
    if table != 4096 {
        let mut update = Vec::new();
        integer::put(table, 5, 0x20, &mut update);
        assert_eq!(decoder.decode(&update, Extent::Whole, Some(4096)), Ok(Vec::new()));
        encoder.resize(table);
        encoder.begin(&mut Vec::new());
    }
    for (block, list) in vectors {
        assert_eq!(decoder.decode(&hex(block), Extent::Whole, Some(4096)), Ok(fields(list)), "{block}");
        let list: Vec<_> = list.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        assert_eq!(encoder.block(&list), hex(block), "{block}");
    }
}

const REQUEST_1: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const REQUEST_2: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const REQUEST_3: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];
const DATE: &str = "Mon, 21 Oct 2013 20:13:21 GMT";
const RESPONSE_1: &[(&str, &str)] =
    &[(":status", "302"), ("cache-control", "private"), ("date", DATE), ("location", "https://www.example.com")];
const RESPONSE_2: &[(&str, &str)] =
    &[(":status", "307"), ("cache-control", "private"), ("date", DATE), ("location", "https://www.example.com")];
const RESPONSE_3: &[(&str, &str)] = &[
    (":status", "200"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
    ("location", "https://www.example.com"),
    ("content-encoding", "gzip"),
    ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
];

#[test]
fn literal_and_indexed_fields_are_those_of_appendix_c_2() {
    for (block, name, value) in [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key", "custom-header"),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path"),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret"),
        ("82", ":method", "GET"),
    ] {
        let decoded = Decoder::new().decode(&hex(block), Extent::Whole, Some(4096));
        assert_eq!(decoded, Ok(fields(&[(name, value)])));
    }
    let mut out = Vec::new();
    Encoder::new(Strings::Plain).field(b"password", b"secret", Indexing::Never, &mut out);
    assert_eq!(out, hex("1008 7061 7373 776f 7264 0673 6563 7265 74"));
}

#[test]
fn requests_are_those_of_appendix_c_3_and_c_4() {
    dialogue(
        Strings::Plain,
        4096,
        &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUEST_1),
            ("8286 84be 5808 6e6f 2d63 6163 6865", REQUEST_2),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", REQUEST_3),
        ],
    );
    dialogue(
        Strings::Huffman,
        4096,
        &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUEST_1),
            ("8286 84be 5886 a8eb 1064 9cbf", REQUEST_2),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", REQUEST_3),
        ],
    );
}

#[test]
fn responses_with_eviction_are_those_of_appendix_c_5_and_c_6() {
    dialogue(
        Strings::Plain,
        256,
        &[
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120
                 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                RESPONSE_1,
            ),
            ("4803 3330 37c1 c0bf", RESPONSE_2),
            (
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738
                 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33
                 3630 303b 2076 6572 7369 6f6e 3d31",
                RESPONSE_3,
            ),
        ],
    );
    dialogue(
        Strings::Huffman,
        256,
        &[
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718
                 63c7 8f0b 97c8 e9ae 82ae 43d3",
                RESPONSE_1,
            ),
            ("4883 640e ffc1 c0bf", RESPONSE_2),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7
                 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                RESPONSE_3,
            ),
        ],
    );
}

type Pair = (Vec<u8>, Vec<u8>);

/// Lists of fields as a site and its visitor send them: some always the same, some often, some new.
fn lists(random: &mut Random, blocks: usize) -> Vec<Vec<Pair>> {
    let names: Vec<Vec<u8>> = (0..40).map(|n| format!("x-name-{n}").into_bytes()).collect();
    (0..blocks)
        .map(|_| {
            let mut list: Vec<Pair> = vec![(b":method".to_vec(), b"GET".to_vec())];
            for _ in 0..random.below(9) {
                let name = match random.below(3) {
                    0 => STATIC[random.below(61)].0.to_vec(),
                    _ => names[random.below(names.len())].clone(),
                };
                let value = match random.below(3) {
                    0 => b"always".to_vec(),
                    1 => format!("value {}", random.below(20)).into_bytes(),
                    _ => (0..random.below(120)).map(|_| random.next() as u8).collect(),
                };
                list.push((name, value));
            }
            list
        })
        .collect()
}

/// Encodes with every choice an encoder has, changes of the table's size among them.
fn encoded(random: &mut Random, lists: &[Vec<Pair>], resizing: bool) -> Vec<Vec<u8>> {
    let strings = if random.below(2) == 0 { Strings::Plain } else { Strings::Huffman };
    let mut encoder = Encoder::new(strings);
    lists
        .iter()
        .map(|list| {
            if resizing && random.below(12) == 0 {
                for _ in 0..=random.below(2) {
                    encoder.resize([0, 60, 200, 1000, 4096][random.below(5)]);
                }
            }
            let mut out = Vec::new();
            encoder.begin(&mut out);
            for (name, value) in list {
                let indexing = [Indexing::Add, Indexing::Add, Indexing::Without, Indexing::Never][random.below(4)];
                encoder.field(name, value, indexing, &mut out);
            }
            out
        })
        .collect()
}

fn truth(list: &[Pair]) -> Vec<Field> {
    list.iter().map(|(n, v)| Field { name: Some(n.clone()), value: Some(v.clone()) }).collect()
}

#[test]
fn what_is_encoded_is_decoded() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let lists = lists(&mut random, 60);
        let mut decoder = Decoder::new();
        for (block, list) in encoded(&mut random, &lists, true).iter().zip(&lists) {
            assert_eq!(decoder.decode(block, Extent::Whole, Some(4096)), Ok(truth(list)));
        }
    }
}

/// When an entry was added, and since when its name was literal or static: the block from which a decoder must have been there.
#[derive(Clone, Copy)]
struct Birth {
    entry: usize,
    name: usize,
    bytes: usize,
}

/// For each field of a block, the blocks from which name and value can be known, by a model of the table that shares
/// nothing with it.
fn births(block: &[u8], number: usize, list: &[Pair], table: &mut Vec<Birth>, max: &mut usize) -> Vec<(usize, usize)> {
    let mut rest = block;
    let mut found = Vec::new();
    let evict = |table: &mut Vec<Birth>, max: usize| {
        while table.iter().map(|b| b.bytes).sum::<usize>() > max {
            table.pop();
        }
    };
    while let Some(&first) = rest.first() {
        if first & 0x80 != 0 {
            let index = integer::take(&mut rest, 7).unwrap() as usize;
            found.push(match index.checked_sub(62) {
                None => (usize::MAX, usize::MAX),
                Some(place) => (table[place].name.min(table[place].entry), table[place].entry),
            });
            continue;
        }
        if first & 0xe0 == 0x20 {
            *max = integer::take(&mut rest, 5).unwrap() as usize;
            evict(table, *max);
            continue;
        }
        let index = integer::take(&mut rest, if first & 0x40 != 0 { 6 } else { 4 }).unwrap() as usize;
        let name = match index.checked_sub(62) {
            _ if index == 0 => usize::MAX,
            None => usize::MAX,
            Some(place) => table[place].name.min(table[place].entry),
        };
        if index == 0 {
            integer::take_string(&mut rest).unwrap();
        }
        integer::take_string(&mut rest).unwrap();
        let (n, v) = &list[found.len()];
        found.push((name, usize::MAX));
        if first & 0x40 != 0 {
            table.insert(0, Birth { entry: number, name, bytes: 32 + n.len() + v.len() });
            evict(table, *max);
        }
    }
    found
}

#[test]
fn who_joins_midway_knows_exactly_what_can_be_known() {
    for seed in 100..112 {
        let mut random = Random::new(seed);
        let lists = lists(&mut random, 70);
        let blocks = encoded(&mut random, &lists, seed % 3 == 0);
        let (mut table, mut max) = (Vec::new(), 4096);
        let known: Vec<_> = blocks
            .iter()
            .zip(&lists)
            .enumerate()
            .map(|(number, (block, list))| births(block, number, list, &mut table, &mut max))
            .collect();
        for start in 0..blocks.len() {
            let mut joined = Decoder::midway();
            let mut broken = Decoder::new();
            for block in &blocks[..start / 2] {
                broken.decode(block, Extent::Whole, None).unwrap();
            }
            broken.lost();
            for number in start..blocks.len() {
                let expected: Vec<Field> = lists[number]
                    .iter()
                    .zip(&known[number])
                    .map(|((n, v), &(name, value))| Field {
                        name: (name >= start).then(|| n.clone()),
                        value: (value >= start).then(|| v.clone()),
                    })
                    .collect();
                for decoder in [&mut joined, &mut broken] {
                    let fields = decoder.decode(&blocks[number], Extent::Whole, None).unwrap();
                    assert_eq!(fields, expected, "seed {seed}, from block {start}, block {number}");
                }
            }
        }
    }
}

#[test]
fn after_enough_insertions_everything_is_known() {
    let mut random = Random::new(7);
    let lists = lists(&mut random, 400);
    let mut encoder = Encoder::new(Strings::Huffman);
    let mut decoder = Decoder::midway();
    for (number, list) in lists.iter().enumerate() {
        let list: Vec<_> = list.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let block = encoder.block(&list);
        if number >= 20 {
            let fields = decoder.decode(&block, Extent::Whole, None).unwrap();
            assert!(number < 300 || fields.iter().all(|f| f.name.is_some() && f.value.is_some()));
        }
    }
}

#[test]
fn parts_that_are_known_are_given() {
    let mut decoder = Decoder::midway();
    // Wholly unknown; unknown name with a value, added; static name; then the second again, by index.
    let block = hex("be 7f00 0178 8282 be 7e 0179");
    let unknown_named = |value: &[u8]| Field { name: None, value: Some(value.to_vec()) };
    let fields = decoder.decode(&block, Extent::Whole, None).unwrap();
    assert_eq!(fields[0], Field::UNKNOWN);
    assert_eq!(fields[1], unknown_named(b"x"));
    assert_eq!(fields[4], unknown_named(b"x"));
    assert_eq!(fields[5], unknown_named(b"y"));
    // A table emptied by its size is known again.
    assert_eq!(decoder.decode(&hex("20 be"), Extent::Whole, None), Err(HpackError::Index));
}

#[test]
fn malformed_blocks_are_refused_for_their_reason() {
    for (block, error) in [
        ("80", HpackError::Index),
        ("be", HpackError::Index),
        ("7e 0161", HpackError::Index),
        ("ff ff ff ff ff ff", HpackError::Integer),
        ("82 20", HpackError::SizeUpdate),
        ("3f e2 1f", HpackError::SizeUpdate),
        ("40 81 ff 00", HpackError::Huffman),
        ("40 01", HpackError::Truncated),
        ("40 7f ff ff ff 0f 61", HpackError::Truncated),
        ("41", HpackError::Truncated),
    ] {
        assert_eq!(Decoder::new().decode(&hex(block), Extent::Whole, Some(4096)), Err(error), "{block}");
    }
    assert_eq!(
        Decoder::new().decode(&hex("3f e1 1f 20 3f e1 1f 82"), Extent::Whole, Some(4096)).map(|f| f.len()),
        Ok(1)
    );
    assert_eq!(Decoder::new().decode(&hex("3f e2 1f"), Extent::Whole, None), Ok(Vec::new()));
}

#[test]
fn a_cut_block_gives_the_fields_before_the_cut() {
    let mut random = Random::new(3);
    let lists = lists(&mut random, 10);
    for (block, list) in encoded(&mut random, &lists, false).iter().zip(&lists) {
        let mut last = 0;
        for cut in 0..=block.len() {
            let fields = Decoder::midway().decode(&block[..cut], Extent::Cut, None).unwrap();
            assert!(fields.len() >= last && fields.len() <= list.len());
            last = fields.len();
        }
        assert_eq!(last, list.len());
    }
}

#[test]
fn a_block_that_unfolds_without_end_is_bounded() {
    let mut block = hex("40 01 61 7f a1 1e");
    block.extend(vec![b'x'; 4000]);
    assert_eq!(Decoder::new().decode(&block, Extent::Whole, None).map(|f| f.len()), Ok(1));
    block.extend(vec![0xbe; 200_000]);
    let fields = Decoder::new().decode(&block, Extent::Whole, None).unwrap();
    assert!(fields.len() <= MAX_FIELDS + 1);
    assert_eq!(fields.last(), Some(&Field::UNKNOWN));
    let bytes: usize = fields.iter().map(|f| f.value.as_ref().map_or(0, Vec::len)).sum();
    assert!(bytes <= MAX_LIST_BYTES);
}

#[test]
fn mutated_blocks_never_panic() {
    let mut random = Random::new(11);
    for seed in 0..40 {
        let lists = lists(&mut Random::new(seed), 40);
        let blocks = encoded(&mut random, &lists, true);
        let mut decoder = if seed % 2 == 0 { Decoder::new() } else { Decoder::midway() };
        for mut block in blocks {
            for _ in 0..random.below(4) {
                if !block.is_empty() {
                    let at = random.below(block.len());
                    block[at] = random.next() as u8;
                }
            }
            block.truncate(block.len() - random.below(block.len() + 1) * random.below(2));
            if decoder.decode(&block, Extent::Whole, Some(4096)).is_err() {
                decoder.lost();
            }
        }
    }
}
