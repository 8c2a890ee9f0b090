//! Gaps, connections joined in the middle, one-sided captures: nothing is paired wrongly, nothing is dropped silently.

use super::*;

use Ending::{EndOfCapture, Fin, Reset};

fn get(path: &str) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

const LOST: &str = " ! not recorded: the response was not captured";
const MISSING: &str = " ! not recorded: bytes of the response are missing from the source";

#[test]
fn gaps_inside_bodies_of_known_length_are_exact() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (acts, lines) in [
        (
            &[client(get("1")), server(format!("{head}abc")), server_gap(4), server("hij"), client(get("2")), server(ok("2"))][..],
            &[format!("GET http://a/1 > 200 [abchij]{MISSING} # Response gap of 4 at 3"), "GET http://a/2 > 200 [2]".into()][..],
        ),
        (
            &[client(get("1")), server(format!("{head}abc")), server_gap(7), client(get("2")), server(ok("2"))],
            &[format!("GET http://a/1 > 200 [abc]{MISSING} # Response gap of 7 at 3"), "GET http://a/2 > 200 [2]".into()],
        ),
        (
            &[client(get("1")), server(format!("{head}abc")), server_gap(90), server("tail"), client(get("2")), server(ok("2"))],
            &[format!("GET http://a/1 > 200 [abc]{MISSING} # Response gap of 7 at 3"), "GET http://a/2 > 200 [2]".into()],
        ),
        (
            &[client(get("1")), server(format!("{chunked}8\r\nab")), server_gap(4), server("gh\r\n0\r\n\r\n"), client(get("2")), server(ok("2"))],
            &[format!("GET http://a/1 > 200 [abgh]{MISSING} # Response gap of 4 at 2"), "GET http://a/2 > 200 [2]".into()],
        ),
        (
            &[client(get("1")), server(format!("{chunked}8\r\nab")), server_gap(40), server("gh\r\n0\r\n\r\n"), client(get("2")), server(ok("2"))],
            &[format!("GET http://a/1 > 200 [ab]{MISSING} # Response gap of 0 at 2"), "GET http://a/2 > 200 [2]".into()],
        ),
        (
            &[client(get("1")), server("HTTP/1.1 200 OK\r\n\r\nab"), server_gap(40), server("gh"), server_end(Fin)],
            &[format!("GET http://a/1 > 200 [abgh]{MISSING} # Response gap of 40 at 2")],
        ),
        (
            &[client("PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab"), client_gap(3), client("f"), server(ok("1"))],
            &["PUT http://a/1 [abf] > 200 [1] ! not recorded: bytes of the request are missing from the source # Request gap of 3 at 2".into()],
        ),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        expect(&opening(), acts, &lines);
    }
}

#[test]
fn a_lost_head_costs_that_message_alone() {
    for (acts, lines) in [
        // The head of a response, its body still comes.
        (
            &[
                client(get("1")),
                server("HTTP/1.1 2"),
                server_gap(30),
                server("rest of body"),
                client(get("2")),
                server(ok("2")),
            ][..],
            &[format!("GET http://a/1{LOST}"), "GET http://a/2 > 200 [2]".into()][..],
        ),
        // A whole response.
        (
            &[client(get("1")), server_gap(30), client(get("2")), server(ok("2")), client(get("3")), server(ok("3"))],
            &[format!("GET http://a/1{LOST}"), "GET http://a/2 > 200 [2]".into(), "GET http://a/3 > 200 [3]".into()],
        ),
        // The last response.
        (&[client(get("1")), server_gap(30), server_end(Fin)], &[format!("GET http://a/1{LOST}")]),
        // An interim response alone: the final one is found.
        (&[client(get("1")), server_gap(25), server(ok("1"))], &["GET http://a/1 > 200 [1]".into()]),
        // A whole request, its response is seen.
        (
            &[client(get("1")), server(ok("1")), client_gap(30), server(ok("x")), client(get("3")), server(ok("3"))],
            &[
                "GET http://a/1 > 200 [1]".into(),
                format!(" http://10.0.0.2 > 200 [x]{UNASKED}"),
                "GET http://a/3 > 200 [3]".into(),
            ],
        ),
        // The end of a request head.
        (
            &[client("GE"), client_gap(10), server(ok("x")), client(get("2")), server(ok("2"))],
            &[format!(" http://10.0.0.2 > 200 [x]{UNASKED}"), "GET http://a/2 > 200 [2]".into()],
        ),
        // Both.
        (
            &[client(get("1")), server(ok("1")), client_gap(30), server_gap(30), client(get("3")), server(ok("3"))],
            &["GET http://a/1 > 200 [1]".into(), "GET http://a/3 > 200 [3]".into()],
        ),
        // Two responses and the request between them.
        (
            &[client(get("1")), server_gap(30), client_gap(30), server_gap(30), client(get("3")), server(ok("3"))],
            &[format!("GET http://a/1{LOST}"), "GET http://a/3 > 200 [3]".into()],
        ),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        expect(&opening(), acts, &lines);
    }
}

#[test]
fn a_head_of_which_only_the_start_was_seen_is_a_message() {
    const CUT: &str = " ! not recorded: bytes of the request are missing from the source";
    const INSIDE: &str = " ! not recorded: the capture ends inside the request";
    for (acts, lines) in [
        // Fields that are whole are kept; where the others begin is said.
        (
            &[
                client("GET /1 HTTP/1.1\r\nHost: a\r\nCoo"),
                client_gap(40),
                server(ok("1")),
                client(get("2")),
                server(ok("2")),
            ][..],
            &[format!("GET http://a/1 > 200 [1]{CUT} # Request 1 ?"), "GET http://a/2 > 200 [2]".into()][..],
        ),
        // As captures with a short snapshot length are.
        (
            &[
                client("GET /lo"),
                client_gap(40),
                server("HTTP/1.1 200 OK\r\nSer"),
                server_gap(4000),
                client("POST /2 "),
                client_gap(40),
                server("HTTP/1.0 404 N"),
            ],
            &[
                format!(
                    "GET http://10.0.0.2/lo > 200{CUT} # the target goes on, and nobody saw how # Request 0 ? # Response 0 ?"
                ),
                format!(
                    "POST http://10.0.0.2/2 > 404{CUT} # the target goes on, and nobody saw how # Request 0 ? # Response 0 ?"
                ),
            ],
        ),
        (
            &[
                client(get("1")),
                server("HTTP/1.1 200 OK\r\nAge: 1\r\nContent-L"),
                server_gap(9),
                server("body"),
                client(get("2")),
                server(ok("2")),
            ],
            &[format!("GET http://a/1 > 200{MISSING} # Response 1 ?"), "GET http://a/2 > 200 [2]".into()],
        ),
        (&[client("PUT /1 HTTP/1.1\r\nHost: a\r\n")], &[format!("PUT http://a/1{INSIDE} # Request 1 ?")]),
        (
            &[client(get("1")), server("HTTP/1.1 200 OK\r\n"), server_end(Fin)],
            &["GET http://a/1 > 200 ! server: closed inside the response # Response 0 ?".into()],
        ),
        // An interim response is none that ends an exchange.
        (
            &[client(get("1")), server("HTTP/1.1 103 Early\r\nLi"), server_gap(9), server(ok("1"))],
            &["GET http://a/1 > 200 [1]".into()],
        ),
        // What may be anything is not taken for a message.
        (&[client("GET it"), client_gap(9), server(ok("1"))], &[format!(" http://10.0.0.2 > 200 [1]{UNASKED}")]),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        expect(&opening(), acts, &lines);
    }
}

#[test]
fn a_request_line_in_several_packets_is_found_in_the_middle_of_a_connection() {
    let acts = [client("body"), client("GET /a-long"), client("-one HTTP/1.1\r\nHost: a\r\n\r\n"), server(ok("1"))];
    expect(&midway(), &acts, &["GET http://a/a-long-one > 200 [1]"]);
    let cut = "GET http://10.0.0.2/a-long ! not recorded: bytes of the request are missing from the source # the target goes on, and nobody saw how # Request 0 ?";
    expect(&midway(), &[client("body"), client("GET /a-long"), client_gap(1)], &[cut]);
}

#[test]
fn what_a_client_sends_ahead_of_an_answer_that_nobody_saw_is_kept() {
    let ask = "GET /1 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
    let ends = " ! not recorded: the capture ends before the response";
    for acts in [
        &[client(ask), client(get("2"))][..],
        &[client(ask), client(get("2")), client_end(Fin)],
        &[client(ask), client(get("2")), server_end(EndOfCapture), client_end(EndOfCapture)],
    ] {
        expect(&opening(), acts, &[&format!("GET http://a/1{ends}"), &format!("GET http://a/2{ends}")]);
    }
    // The answer comes after all.
    expect(
        &opening(),
        &[client(ask), client(get("2")), client_end(Fin), server(ok("1") + &ok("2")), server_end(Fin)],
        &["GET http://a/1 > 200 [1]", "GET http://a/2 > 200 [2]"],
    );
}

#[test]
fn pipelined_responses_are_not_paired_when_one_was_lost() {
    let requests = [get("1"), get("2"), get("3")].concat();
    let told = play(&opening(), &[client(&requests), server(ok("1")), server_gap(39), server(ok("3"))]);
    let any = " ! not recorded: which of several requests it answers is not known, since bytes were lost # Request 0 :method? # Request 1 :path?";
    assert_eq!(
        told.lines(),
        [
            "GET http://a/1 > 200 [1]".to_owned(),
            format!("GET http://a/2{LOST}"),
            format!("GET http://a/3{LOST}"),
            format!(" http://10.0.0.2 > 200 [3]{any}"),
        ]
    );
    // In order as long as nothing was lost; with one request left there is no doubt.
    let told = play(&opening(), &[client(&requests), server(ok("1") + &ok("2")), server_gap(25), server(ok("3"))]);
    assert_eq!(told.lines()[2], "GET http://a/3 > 200 [3]");
}

#[test]
fn connections_joined_in_the_middle_begin_with_the_next_message() {
    for (acts, lines) in [
        (
            &[server("rest of a body"), client(get("1")), server(ok("1"))][..],
            &["GET http://a/1 > 200 [1]".to_owned()][..],
        ),
        (
            &[server(ok("0")), client(get("1")), server(ok("1"))],
            &[format!(" http://10.0.0.2 > 200 [0]{UNASKED}"), "GET http://a/1 > 200 [1]".into()],
        ),
        (&[client("rest of a form"), server(ok("0"))], &[format!(" http://10.0.0.2 > 200 [0]{UNASKED}")]),
        (&[client("tail\r\n"), client(get("1")), server(ok("1"))], &["GET http://a/1 > 200 [1]".into()]),
        (&[server(b"\x80\xff\0binary"), server(ok("0"))], &[format!(" http://10.0.0.2 > 200 [0]{UNASKED}")]),
        // What began like a request line goes on as none: it is forgotten.
        (&[client("GET /a"), client(b"\x01 b\n"), server(ok("0"))], &[format!(" http://10.0.0.2 > 200 [0]{UNASKED}")]),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut begun = midway();
        expect(&begun, acts, &lines);
        begun.guessed = false;
        expect(&begun, acts, &lines);
    }
}

#[test]
fn a_line_that_trickles_in_is_read_when_its_end_comes() {
    let long = format!("/{}", "a".repeat(5000));
    let request = format!("GET {long} HTTP/1.1\r\nHost: a\r\n\r\n");
    let (start, rest) = request.as_bytes().split_at(20);
    let trickle: Vec<Act> = [start].into_iter().chain(rest.chunks(1)).map(client).collect();
    let line = |rest: &str| format!("GET http://a{long} {rest}");
    let answered: Vec<Act> = trickle.iter().cloned().chain([server(ok("1"))]).collect();
    expect(&opening(), &answered, &[&line("> 200 [1]")]);
    expect(&opening(), &trickle, &[&line("! not recorded: the capture ends before the response")]);
    expect(&midway(), &answered, &[&line("> 200 [1]")]);
}

#[test]
fn the_first_bytes_tell_who_is_the_client() {
    let told = play(&midway(), &[server(get("1")), client(ok("1")), server_end(Fin), client_end(Fin)]);
    let lines = told.lines();
    assert_eq!(lines, ["GET http://a/1 > 200 [1]"]);
    assert_eq!(told.exchanges[0].transport.client, "10.0.0.2:80".parse().unwrap());
    let mut begun = opening();
    begun.guessed = true;
    let told = play(&begun, &[client(ok("1"))]);
    assert_eq!(told.lines(), [format!(" http://10.0.0.1:5000 > 200 [1]{UNASKED}")]);
}

#[test]
fn one_sided_captures_keep_what_there_is() {
    let told = play(&opening(), &[client(get("1")), client(get("2")), client_end(Fin), server_end(EndOfCapture)]);
    assert_eq!(
        told.lines(),
        [
            "GET http://a/1 ! not recorded: the capture ends before the response",
            "GET http://a/2 ! not recorded: the capture ends before the response",
        ]
    );
    let told = play(&opening(), &[server(ok("1")), server(ok("2")), server_end(Reset)]);
    assert_eq!(
        told.lines(),
        [format!(" http://10.0.0.2 > 200 [1]{UNASKED}"), format!(" http://10.0.0.2 > 200 [2]{UNASKED}"),]
    );
}

#[test]
fn unanswered_requests_do_not_pile_up() {
    let many: Vec<Act> = (0..1000).map(|n| client(get(&n.to_string()))).collect();
    let mut play = Play::new();
    play.open(1, &opening());
    many.iter().for_each(|act| play.act(1, act));
    assert!(play.conversations.tally().exchanges > 700);
    let told = play.finish();
    assert_eq!(told.exchanges.len(), 1000);
    assert_eq!(told.lines()[0], format!("GET http://a/0{LOST}"));
}

#[test]
fn mutated_dialogues_do_no_harm() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let dialogues = http1::dialogues();
    let mut play = Play::new();
    for round in 0..3000u64 {
        let mut acts = dialogues[random.below(dialogues.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(acts.len());
            match (random.below(6), &mut acts[at]) {
                (0, Act::Bytes(_, bytes)) => {
                    let byte = random.below(bytes.len());
                    bytes[byte] = u8::try_from(random.below(256)).unwrap();
                }
                (1, Act::Bytes(_, bytes)) => bytes.truncate(1 + random.below(bytes.len())),
                (2, Act::Bytes(side, bytes)) => {
                    let (side, cut) = (*side, random.below(bytes.len()));
                    let rest = bytes.split_off(cut);
                    let lost = 1 + random.below(rest.len());
                    acts.insert(at + 1, Act::Gap(side, lost as u64));
                    acts.insert(at + 2, Act::Bytes(side, rest[lost..].to_vec()));
                }
                (3, _) => drop(acts.remove(at)),
                (4, act) => {
                    let act = act.clone();
                    acts.insert(at, act);
                }
                (_, Act::Bytes(_, bytes)) => {
                    let byte = random.below(bytes.len());
                    bytes.insert(byte, b"\r\n \0:5"[random.below(6)]);
                }
                _ => {}
            }
            acts.retain(|act| !matches!(act, Act::Bytes(_, bytes) if bytes.is_empty()));
            if acts.is_empty() {
                break;
            }
        }
        let opening = if round % 5 == 0 { midway() } else { opening() };
        play.open(round, &opening);
        let mut ended = [false; 2];
        for act in &acts {
            let (Act::Bytes(side, _) | Act::Gap(side, _) | Act::End(side, _)) = act;
            if !ended[super::super::open::index(*side)] {
                play.act(round, act);
            }
            if let Act::End(side, _) = act {
                ended[super::super::open::index(*side)] = true;
            }
        }
        for side in [Side::Request, Side::Response] {
            if !ended[super::super::open::index(side)] {
                play.act(round, &Act::End(side, Ending::EndOfCapture));
            }
        }
    }
    let told = play.finish();
    assert!(told.exchanges.len() > 3000);
    assert_eq!(told.tally.all.connections, 3000);
}
