//! Every way a connection or its capture goes wrong, one dialogue each.

use super::dialogue::*;
use crate::import::segment::{Flags, Segment};
use crate::import::tcp::{Config, Reassembler};

const OPEN: &str = "1 [10.0.0.1:40000]";
const MIDWAY: &str = "1 [10.0.0.1:40000 midway guessed]";

dialogue!(
    a_plain_connection,
    ["0 > S 0 -", "1 < S 0 1", "2 > . 1 1", "3 > . 1 1 GET", "4 < . 1 4 200", "5 < F 4 4", "6 > F 4 5", "7 < . 5 5",],
    [OPEN, "1 > GET", "1 < 200", "1 < [Fin]", "1 > [Fin]"]
);
dialogue!(
    segments_out_of_order,
    ["0 > S 0 -", "1 < S 0 1", "3 > . 4 1 def", "4 > . 1 1 abc", "5 > . 7 1 ghi"],
    [OPEN, "1 > abcdefghi", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_retransmission_is_not_delivered_again,
    ["0 > S 0 -", "1 < S 0 1", "3 > . 1 1 abc", "4 > . 1 1 abc", "5 > . 1 1 abcdef", "6 > . 3 1 cdefgh"],
    [OPEN, "1 > abcdefgh", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    of_overlapping_copies_the_first_wins,
    ["0 > S 0 -", "1 < S 0 1", "3 > . 4 1 def", "4 > . 1 1 abcXYZgh"],
    [OPEN, "1 > abcdefgh", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    data_on_syn_and_on_syn_ack,
    ["0 > S 0 - hello", "1 < S 0 6 world", "2 > . 6 6 more", "3 > S 0 - hello"],
    [OPEN, "1 > hello", "1 < world", "1 > more", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    fast_open_that_the_server_did_not_take,
    ["0 > S 0 - hello", "1 < S 0 1", "2 > . 1 1 hello", "3 < . 1 6 world"],
    [OPEN, "1 > hello", "1 < world", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    fast_open_with_the_syn_ack_captured_first,
    ["1 < S 0 6", "1 > S 0 - hello", "2 > . 6 1 more"],
    [OPEN, "1 > hellomore", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    keep_alive_and_window_probes,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "3 > . 1 1 abc",
        "4 < . 1 4",
        "60000 > . 3 1 x",
        "60001 < . 1 4",
        "90000 > . 3 1",
        "90001 < . 1 4",
        "90002 > . 4 1 d",
        "90003 < . 1 4",
        "91000 > . 4 1 d",
        "91001 < . 1 5",
    ],
    [OPEN, "1 > abcd", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_fin_with_data_and_half_close,
    ["0 > S 0 -", "1 < S 0 1", "3 > F 1 1 abc", "4 < . 1 5 one", "900 < . 4 5 two", "901 < F 7 5", "902 > . 5 8"],
    [OPEN, "1 > abc", "1 > [Fin]", "1 < onetwo", "1 < [Fin]"]
);
dialogue!(
    a_fin_captured_before_the_data,
    ["0 > S 0 -", "1 < S 0 1", "3 > F 4 1", "4 > . 1 1 abc", "5 < . 1 5 ok"],
    [OPEN, "1 > abc", "1 > [Fin]", "1 < ok", "1 < [EndOfCapture]"]
);
dialogue!(
    a_half_close_before_any_data,
    ["0 > S 0 -", "1 < S 0 1", "2 > F 1 1", "3 < . 1 2 12:00", "4 < F 6 2"],
    [OPEN, "1 > [Fin]", "1 < 12:00", "1 < [Fin]"]
);
dialogue!(
    data_under_way_when_a_reset_comes,
    ["0 > S 0 -", "1 < S 0 1", "3 > . 1 1 abc", "4 > R 4 -", "5 < . 1 4 late", "6000 < . 1 4 late"],
    [OPEN, "1 > abc", "1 < late", "1 > [Reset]", "1 < [Reset]"]
);
dialogue!(
    a_reset_outside_of_the_window_or_forged_does_not_end_it,
    ["0 > S 0 -", "1 < S 0 1", "3 > . 1 1 abc", "4 > R 9000000 -", "5 > R 4 -", "6 > . 4 1 def", "9000 > . 7 1 ghi",],
    [OPEN, "1 > abcdefghi", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_reset_and_then_fins_end_it_once,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1 a",
        "3 > R 2 -",
        "4 < F 1 2",
        "5 > F 2 2",
        "9000 > . 3 2",
        "9001 > . 3 2",
        "9002 > . 3 2",
    ],
    [OPEN, "1 > a", "1 < [Fin]", "1 > [Fin]"]
);
dialogue!(
    the_syn_of_one_side_comes_after_its_data_and_the_answer,
    ["0 > . 13 1 tail", "1 < S 0 1", "2 > S 0 -", "3 > . 1 1 head--------", "4 < . 1 17 ok"],
    [OPEN, "1 > head--------tail", "1 < ok", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    the_syn_ack_comes_after_its_acknowledgement_and_data,
    ["0 > S 0 -", "1 > . 1 5", "2 < . 5 1 next", "3 < S 0 1", "4 > . 1 9 GET", "300 > . 4 9 x", "301 > . 5 9 y"],
    [OPEN, "1 < [4]", "1 < next", "1 > GETxy", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_simultaneous_open,
    ["0 > S 0 -", "1 < S 0 -", "2 > S 0 1", "3 < S 0 1", "4 < . 1 1 hi", "5 > . 1 3 ho"],
    [OPEN, "1 < hi", "1 > ho", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    ports_reused_after_close,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > F 1 1 a",
        "3 < F 1 3",
        "4 > . 3 2",
        "5 > S 0 - #isn70000",
        "6 < S 0 1 #isn80000 #peer70000",
        "7 > . 1 1 b #isn70000 #peer80000",
        "8 > F 1 1 a",
    ],
    [
        OPEN,
        "1 > a",
        "1 > [Fin]",
        "1 < [Fin]",
        "2 [10.0.0.1:40000]",
        "2 > b",
        "2 > [EndOfCapture]",
        "2 < [EndOfCapture]"
    ]
);
dialogue!(
    ports_reused_while_open,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1 a",
        "3 > S 0 - #isn70000000",
        "4 < S 0 1 #isn80000000 #peer70000000",
        "7 > . 1 1 b #isn70000000 #peer80000000",
    ],
    [
        OPEN,
        "1 > a",
        "1 > [Reused]",
        "1 < [Reused]",
        "2 [10.0.0.1:40000]",
        "2 > b",
        "2 > [EndOfCapture]",
        "2 < [EndOfCapture]"
    ]
);
dialogue!(
    a_syn_inside_the_window_of_an_open_connection_is_an_accident_unless_it_was_silent,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1 a",
        "3 > S 50 -",
        "4 > . 2 1 b",
        "5000 > S 50 -",
        "5001 < S 0 51 #isn9",
        "5002 > . 51 1 c #peer9",
    ],
    [
        OPEN,
        "1 > ab",
        "1 > [Reused]",
        "1 < [Reused]",
        "2 [10.0.0.1:40000]",
        "2 > c",
        "2 > [EndOfCapture]",
        "2 < [EndOfCapture]"
    ]
);
dialogue!(
    a_retransmitted_syn_is_no_reuse,
    ["0 > S 0 -", "1000 > S 0 -", "1001 < S 0 1", "1002 > . 1 1 a", "1003 > S 0 -", "1004 < S 0 1", "1005 > . 2 1 b"],
    [OPEN, "1 > ab", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    the_handshake_in_any_order,
    ["0 > . 1 1 abc", "1 < S 0 1", "2 > S 0 -", "3 < . 1 4 ok"],
    [OPEN, "1 > abc", "1 < ok", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_start_in_the_middle,
    ["0 < . 900 800 tail", "1 > . 800 904 GET", "2 < . 904 803 200"],
    [MIDWAY, "1 < tail", "1 > GET", "1 < 200", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_start_in_the_middle_out_of_order,
    ["0 < . 904 803 200", "1 > . 803 900 ZZ", "2 > . 800 900 GET", "3 < . 900 803 head", "400 > . 805 907 end"],
    [MIDWAY, "1 > GETZZ", "1 < head200", "1 > end", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_start_in_the_middle_with_a_keep_alive_byte,
    ["0 > . 799 900 \0", "1 < . 900 800", "5000 > . 800 900 GET"],
    [MIDWAY, "1 > GET", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    only_one_direction_captured,
    ["0 > S 0 -", "1 > . 1 1", "2 > . 1 1 one", "3 > . 4 101", "900 > . 4 101 two", "901 > . 10 201 four"],
    [OPEN, "1 > onetwo", "1 > [3]", "1 > four", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_hole_nobody_acknowledges_is_given_up_in_time_when_blind,
    [
        "0 > S 0 -",
        "2 > . 1 1 one",
        "3 > . 7 1 two",
        "4000 > . 10 1 three",
        "5100 > . 15 1 x",
        "5101 > . 16 1 y",
        "5102 > . 4 1 lat"
    ],
    [OPEN, "1 > one", "1 > [3]", "1 > twothreexy", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_hole_waits_for_a_retransmission_as_long_as_it_is_not_acknowledged,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "3 > . 4 1 two",
        "4 < . 1 1",
        "3000 < . 1 1",
        "7000 < . 1 1",
        "11000 < . 1 1",
        "12000 > . 1 1 one",
        "12001 < . 1 7 ok",
    ],
    [OPEN, "1 > onetwo", "1 < ok", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    acknowledged_bytes_that_were_not_captured_are_a_gap_after_the_tolerance,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "3 > . 4 1 two",
        "4 < . 1 7",
        "210 < . 1 7",
        "211 < . 1 7",
        "212 > . 1 1 one",
        "213 < . 1 7 ok"
    ],
    [OPEN, "1 > [3]", "1 > two", "1 < ok", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    the_answer_waits_for_a_request_captured_late,
    ["0 > S 0 -", "1 < S 0 1", "4 < . 1 7 ok", "5 > . 4 1 two", "6 < F 3 7", "7 > . 1 1 one"],
    [OPEN, "1 > onetwo", "1 < ok", "1 < [Fin]", "1 > [EndOfCapture]"]
);
dialogue!(
    the_answer_waits_no_longer_than_the_tolerance_for_a_request_never_captured,
    ["0 > S 0 -", "1 < S 0 1", "4 < . 1 7 ok", "300 > . 7 3 three", "301 > . 12 3 x"],
    [OPEN, "1 > [6]", "1 < ok", "1 > threex", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    an_acknowledged_fin_that_was_not_captured_is_no_missing_byte,
    ["0 > S 0 -", "1 < S 0 1", "2 > . 1 1 abc", "4 < . 1 5 ok", "500 < F 3 5", "501 < . 4 5"],
    [OPEN, "1 > abc", "1 < ok", "1 < [Fin]", "1 > [EndOfCapture]"]
);
dialogue!(
    two_that_acknowledge_each_other_do_not_wait_for_ever,
    ["0 > S 0 -", "1 < S 0 1", "2 < . 1 4 ok", "3 > . 1 3 abc"],
    [OPEN, "1 > abc", "1 < ok", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_segment_cut_by_the_snapshot_length_leaves_a_gap,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1 abc #cut3",
        "3 > . 7 1 ghi",
        "4 < . 1 10 ok #cut9",
        "5 < F 12 10",
        "6 > . 10 13"
    ],
    [OPEN, "1 > abc", "1 > [3]", "1 > ghi", "1 < ok", "1 < [9]", "1 < [Fin]", "1 > [EndOfCapture]"]
);
dialogue!(
    what_was_cut_may_come_again,
    ["0 > S 0 -", "1 < S 0 1", "2 > . 1 1 abc #cut3", "3 > . 7 1 ghi", "4 > . 1 1 abcdef", "5 < . 1 10 ok"],
    [OPEN, "1 > abcdefghi", "1 < ok", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_capture_of_headers_alone_is_all_gap,
    ["0 > S 0 -", "1 < S 0 1", "2 > . 1 1 #cut300", "3 < . 1 301 #cut900", "4 > F 301 901"],
    [OPEN, "1 > [300]", "1 < [900]", "1 > [Fin]", "1 < [EndOfCapture]"]
);
dialogue!(
    one_stream_seen_in_two_lanes_is_one_connection,
    [
        "0 > S 0 -",
        "0 > S 0 - #lane7",
        "1 < S 0 1 #lane7",
        "1 < S 0 1",
        "2 > . 1 1 abc #lane7",
        "2 > . 1 1 abc",
        "3 > . 4 1 def #lane7",
        "4 < . 1 7 ok",
        "9 < . 1 7 ok #lane7",
        "10 < F 3 7",
        "10 < F 3 7 #lane7",
        "11 > F 7 4",
        "50 > F 7 4 #lane7",
    ],
    [OPEN, "1 > abcdef", "1 < ok", "1 < [Fin]", "1 > [Fin]"]
);
dialogue!(
    what_one_lane_lost_the_other_brings,
    ["0 > S 0 -", "1 < S 0 1", "2 > . 4 1 def", "3 < . 1 7 ok", "40 > . 1 1 abc #lane7", "41 > . 4 1 def #lane7"],
    [OPEN, "1 > abcdef", "1 < ok", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    directions_in_different_lanes_are_one_connection,
    ["0 > S 0 - #lane1", "1 < S 0 1 #lane2", "2 > . 1 1 abc #lane1", "3 < . 1 4 ok #lane2"],
    [OPEN, "1 > abc", "1 < ok", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    two_connections_of_the_same_addresses_in_two_lanes_are_kept_apart,
    [
        "0 > S 0 - #lane1",
        "0 > S 0 - #lane2 #isn2000000000",
        "1 < S 0 1 #lane1",
        "1 < S 0 1 #lane2 #isn3000000000 #peer2000000000",
        "2 > . 1 1 abc #lane1",
        "2 > . 1 1 ABC #lane2 #isn2000000000 #peer3000000000",
        "3 < . 1 4 ok #lane1",
        "3 < . 1 4 OK #lane2 #isn3000000000 #peer2000000000",
    ],
    [
        OPEN,
        "1 > abc",
        "2 [10.0.0.1:40000]",
        "2 > ABC",
        "1 < ok",
        "2 < OK",
        "1 > [EndOfCapture]",
        "1 < [EndOfCapture]",
        "2 > [EndOfCapture]",
        "2 < [EndOfCapture]",
    ]
);
dialogue!(
    ports_reused_with_the_new_syn_seen_in_the_other_lane_first,
    [
        "0 > S 0 - #lane1",
        "1 < S 0 1 #lane1",
        "2 > . 1 1 a #lane1",
        "3 > S 0 - #lane2 #isn2000000000",
        "4 > S 0 - #lane1 #isn2000000000",
        "5 > . 1 1 b #lane1 #isn2000000000",
    ],
    [
        OPEN,
        "1 > a",
        "1 > [Reused]",
        "1 < [Reused]",
        "2 [10.0.0.1:40000]",
        "2 > b",
        "2 > [EndOfCapture]",
        "2 < [EndOfCapture]"
    ]
);
dialogue!(
    a_new_connection_whose_syn_was_not_captured_is_another_one,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1 a",
        "3 > . 1 1 b #isn2000000000 #peer3000000000",
        "500 < . 1 2 c #isn3000000000 #peer2000000000",
    ],
    [
        OPEN,
        "1 > a",
        "1 > [EndOfCapture]",
        "1 < [EndOfCapture]",
        "2 [10.0.0.1:40000 midway guessed]",
        "2 > b",
        "2 < c",
        "2 > [EndOfCapture]",
        "2 < [EndOfCapture]",
    ]
);
dialogue!(
    one_damaged_number_costs_one_segment,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1 a",
        "3 > . 2000000000 1 b",
        "4 > . 2 1 c",
        "5 > . 3 2000000000 d",
        "6 < . 1 4 ok"
    ],
    [OPEN, "1 > acd", "1 < ok", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_damaged_acknowledgement_costs_nothing,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1 a",
        "3 < . 1 90000000 ok",
        "300 < . 3 2",
        "301 < . 3 2",
        "302 > . 2 1 b",
        "303 < . 3 3 ko",
    ],
    [OPEN, "1 > a", "1 < ok", "1 > b", "1 < ko", "1 > [EndOfCapture]", "1 < [EndOfCapture]"]
);
dialogue!(
    a_damaged_sequence_number_costs_its_bytes_alone,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1 a",
        "3 > . 90000000 1 X",
        "4 < . 1 2 ok",
        "9000 > . 2 3 b",
        "20000 < . 3 3 ko",
        "20001 > F 3 5",
        "20002 < F 5 4",
    ],
    [OPEN, "1 > a", "1 < ok", "1 > b", "1 < ko", "1 > [Fin]", "1 < [Fin]"]
);
dialogue!(
    a_late_retransmission_revives_nothing,
    ["0 > S 0 -", "1 < S 0 1", "2 > F 1 1 a", "3 < F 1 3", "4 > . 3 2", "30000 > F 1 1 a"],
    [OPEN, "1 > a", "1 > [Fin]", "1 < [Fin]"]
);
dialogue!(
    an_idle_connection_is_forgotten,
    [
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1 a",
        "700000 > S 0 - #lane5 #isn999999999",
        "700001 > S 0 - #lane5 #isn999999999"
    ],
    [OPEN, "1 > a", "1 > [Forgotten]", "1 < [Forgotten]"]
);
dialogue!(
    no_payload_no_connection,
    ["0 > S 0 -", "1 < R 0 1", "9 > S 0 - #isn99", "10 < S 0 1 #peer99", "11 > . 1 1 #isn99", "12 > F 1 1 #isn99"],
    []
);

#[test]
fn the_census_counts_each_fault() {
    let (_, census) = run(&[
        "0 > S 0 -",
        "1 < S 0 1",
        "2 > . 1 1",
        "3 > . 1 1 abc",
        "4 > . 1 1 abc",
        "5 > . 7 1 ghi",
        "6 > . 7 1 gXi",
        "7 < . 1 10",
        "300 < . 1 10",
        "301 < . 1 10",
        "302 > . 4 1 def",
        "303 > . 13 1 mno",
        "304 > . 10 1 jkl",
    ]);
    assert_eq!((census.connections, census.handshakes, census.unclosed, census.midway), (1, 1, 1, 0));
    assert_eq!((census.delivered_bytes, census.duplicate_bytes, census.conflicting_bytes), (12, 6, 1));
    assert_eq!((census.gaps, census.missing_bytes, census.late_bytes), (1, 3, 3));
    assert_eq!(census.out_of_order_segments, 1);
    let (_, census) = run(&["0 > . 1 1 abc", "1 > . 4 1 abc"]);
    assert_eq!((census.midway, census.one_sided, census.unclosed), (1, 1, 1));
}

#[test]
fn handshake_times_are_known_when_a_connection_opens() {
    let (out, _) = run(&["0 > S 0 -", "5 < S 0 1", "6 > . 1 1", "9 > . 1 1 a"]);
    let opening = out.openings[0];
    assert_eq!(
        (opening.syn, opening.syn_ack, opening.ack, opening.first),
        (Some(START), Some(START + 5 * MS), Some(START + 6 * MS), START)
    );
}

#[test]
fn a_scan_drives_nobody_out() {
    let mut reassembler = Reassembler::new(Config { connections: 50, ..Config::default() });
    let mut out = Transcript::default();
    for line in ["0 > S 0 -", "1 < S 0 1", "2 > . 1 1 a"] {
        feed(&mut reassembler, line, &mut out);
    }
    let (source, destination) = ends();
    for scan in 0..5000_u16 {
        let segment = Segment {
            at: START + 3 * MS,
            source,
            destination: (destination.ip(), 1000 + scan).into(),
            lane: 0,
            seq: 7,
            ack: 0,
            flags: Flags { syn: true, ..Flags::default() },
            payload: &[],
            cut: 0,
        };
        reassembler.segment(&segment, &mut out);
    }
    feed(&mut reassembler, "4 > . 2 1 b", &mut out);
    assert_eq!(out.lines, [OPEN, "1 > ab"]);
    reassembler.end(&mut out);
    assert_eq!((reassembler.census().connections, reassembler.census().empty), (5001, 5000));
}

#[test]
fn what_waits_is_bounded_for_a_direction_and_for_all() {
    let bounds = [(1000, usize::MAX), (usize::MAX, 1000)];
    for (direction_bytes, buffered_bytes) in bounds {
        let config = Config { direction_bytes, buffered_bytes, ..Config::default() };
        let lines: Vec<String> = (0..50).map(|n| format!("3 > . {} 1 abcdefgh", 10 + 9 * n)).collect();
        let mut all = vec!["0 > S 0 -", "1 < S 0 1"];
        all.extend(lines.iter().map(String::as_str));
        let (out, census) = run_with(config, &all);
        assert_eq!((census.delivered_bytes, census.missing_bytes, census.gaps), (400, 9 + 49, 50));
        assert!(census.peak_buffered_bytes <= 1000 + 120, "{census:?}");
        assert_eq!(&out.lines[..3], [OPEN, "1 > [9]", "1 > abcdefgh"]);
    }
}

#[test]
fn an_idle_connection_is_small() {
    let bytes = size_of::<crate::import::tcp::connection::Connection>();
    assert!(bytes <= 232, "{bytes}");
}
