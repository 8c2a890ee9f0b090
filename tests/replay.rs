//! The engine against servers on loopback that behave and misbehave.

pub(crate) mod command;

use std::net::TcpListener;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use overdub::measure::{Divergence, Failure, Outcome, Sample};
use overdub::model::{ExchangeId, Nanos, Origin, Scheme, SessionId};
use overdub::plan::{
    BodyTemplate, ColumnId, Expectation, Extraction, Generator, PageKind, Piece, Plan, PlannedUser, Script, Speed,
    Step, Template, VariableId,
};
use overdub::replay::{Config, Control, End, Finished, Sink, Trust, run};

use crate::support::{Dialogue, Server, closed_port, field, page};

/// Keeps every sample.
#[derive(Default)]
struct Kept(Vec<Sample>);

impl Sink for Kept {
    fn sample(&mut self, sample: &Sample) {
        self.0.push(sample.clone());
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn text(text: &str) -> Piece {
    Piece::Literal(text.as_bytes().into())
}

fn variable(id: u32, recorded: &str) -> Piece {
    Piece::Variable { id: VariableId(id), encode: Vec::new(), recorded: recorded.into() }
}

/// A step that follows the one before it without pause and expects an empty 200.
fn get(path: &str) -> Step {
    Step {
        exchange: ExchangeId(1),
        endpoint: 0,
        transaction: None,
        target: 0,
        after: Vec::new(),
        parent: None,
        gap: Duration::ZERO,
        recorded: Duration::ZERO,
        request: Template {
            method: "GET".into(),
            target: vec![text(path)],
            headers: Vec::new(),
            body: BodyTemplate::None,
        },
        extract: Vec::new(),
        expect: Expectation { status: 200, redirect: None, kind: PageKind::Empty },
    }
}

/// Steps one after the other.
fn chain(mut steps: Vec<Step>) -> Vec<Step> {
    for (number, step) in steps.iter_mut().enumerate().skip(1) {
        step.after = vec![number as u32 - 1];
        step.parent = Some(number as u32 - 1);
    }
    for (number, step) in steps.iter_mut().enumerate() {
        step.endpoint = number as u32;
    }
    steps
}

fn plan_for(server: std::net::SocketAddr, steps: Vec<Step>, variables: &[&str], users: u32) -> Plan {
    Plan {
        endpoints: (0..steps.len()).map(|n| format!("step {n}")).collect(),
        scripts: vec![Arc::new(Script {
            session: SessionId(1),
            steps,
            variables: variables.iter().map(|v| (*v).to_owned()).collect(),
        })],
        users: (0..users)
            .map(|clone| PlannedUser { script: 0, clone, arrival: Nanos(0), row: [format!("user{clone}")].into() })
            .collect(),
        targets: vec![Origin::new(Scheme::Http, &server.ip().to_string(), server.port())],
        columns: vec!["name".into()],
        skipped: Vec::new(),
        unexplained: 0,
        speed: Speed::Max,
        iterations: 1,
        seed: 1,
    }
}

fn quick() -> Config {
    Config {
        answer_timeout: Duration::from_millis(300),
        retry_pause: Duration::from_millis(1),
        threads: Some(2),
        ..Config::default()
    }
}

fn patient() -> Config {
    Config { threads: Some(2), ..Config::default() }
}

/// Plays the plan; samples come in the order of their endpoints.
fn play_with(plan: Plan, config: Config, control: &Control) -> (Vec<Sample>, Finished<Kept>) {
    let finished = run(&Arc::new(plan), config, Kept::default, control).unwrap();
    let mut samples: Vec<Sample> = finished.sinks.iter().flat_map(|kept| kept.0.clone()).collect();
    samples.sort_by_key(|s| (s.endpoint, s.started));
    let totals = finished.totals;
    assert_eq!(totals.sent, samples.len() as u64);
    assert_eq!(totals.sent, totals.ok + totals.diverged + totals.failed);
    assert_eq!(totals.users_started, totals.users_done);
    let ended = totals.sessions_completed + totals.sessions_failed + totals.sessions_interrupted;
    assert_eq!(totals.sessions_started, ended);
    for sample in &samples {
        assert!(sample.due <= sample.ready && sample.ready <= sample.started && sample.started <= sample.done);
    }
    (samples, finished)
}

fn play(plan: Plan) -> (Vec<Sample>, Finished<Kept>) {
    play_with(plan, patient(), &Control::new())
}

#[test]
fn steps_are_due_as_recorded_and_start_after_what_they_depend_on() {
    let server = Server::answering(|_| OK.into());
    let mut steps = chain(vec![get("/a"), get("/b"), get("/c")]);
    steps[0].recorded = Duration::from_millis(10);
    steps[1].gap = Duration::from_millis(20);
    steps[1].recorded = Duration::from_millis(2);
    steps[2].gap = Duration::from_millis(6);
    let mut plan = plan_for(server.address, steps, &[], 1);
    plan.speed = Speed::Factor(2.0);
    plan.users[0].arrival = Nanos(3_000_000);
    let (samples, finished) = play(plan);
    let due: Vec<u64> = samples.iter().map(|s| s.due.0).collect();
    assert_eq!(due, [3_000_000, 23_000_000, 28_000_000]);
    assert!(samples.windows(2).all(|pair| pair[1].started >= pair[0].done && pair[1].ready >= pair[0].done));
    assert!(samples.iter().all(|s| s.outcome == Outcome::Ok && s.status == Some(200)));
    assert_eq!(finished.end, End::Played);
    assert_eq!((finished.totals.sessions_completed, finished.totals.skipped), (1, 0));
    let lines: Vec<String> = server.requests().iter().map(|r| r.lines().next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["GET /a HTTP/1.1", "GET /b HTTP/1.1", "GET /c HTTP/1.1"]);
}

#[test]
fn steps_that_overlapped_when_recorded_overlap_again() {
    // Neither answer comes before both requests are there.
    let both = Arc::new(Barrier::new(2));
    let server = Server::answering(move |request| {
        if !request.starts_with("GET /page") {
            both.wait();
        }
        OK.into()
    });
    let mut steps = chain(vec![get("/page"), get("/one"), get("/two"), get("/after")]);
    for fetch in [1, 2] {
        steps[fetch].after = vec![0];
        steps[fetch].parent = Some(0);
    }
    steps[3].after = vec![0, 1, 2];
    steps[3].request.target = vec![text("/page/after")];
    let (samples, finished) = play(plan_for(server.address, steps, &[], 1));
    assert_eq!(finished.totals.ok, 4, "{:?}", finished.failures);
    assert!(samples[1].started < samples[2].done && samples[2].started < samples[1].done);
    assert!(samples[3].started >= samples[1].done.max(samples[2].done));
}

#[test]
fn connections_are_kept_and_reused() {
    let connections = Arc::new(Mutex::new(0));
    let count = Arc::clone(&connections);
    let server = Server::scripted(move |dialogue| {
        *count.lock().unwrap() += 1;
        while dialogue.request().is_some() {
            dialogue.send(OK);
        }
    });
    let steps = chain((0..5).map(|_| get("/")).collect());
    let (samples, _) = play(plan_for(server.address, steps, &[], 1));
    assert_eq!(*connections.lock().unwrap(), 1);
    let dialled: Vec<bool> = samples.iter().map(|s| s.phases.connect.is_some()).collect();
    assert_eq!(dialled, [true, false, false, false, false]);
}

#[test]
fn cookies_come_back_to_the_server_that_set_them_and_every_user_has_its_own() {
    let server = Server::scripted(|dialogue| {
        while let Some(request) = dialogue.request() {
            if request.starts_with("GET /login") {
                let user = field(&request, "x-user").unwrap().to_owned();
                dialogue.send(format!(
                    "HTTP/1.1 200 OK\r\nSet-Cookie: sid={user}; Path=/; Secure; HttpOnly\r\n\
                     Set-Cookie: shop=1; Domain=recorded.test\r\nContent-Length: 0\r\n\r\n"
                ));
            } else {
                dialogue.send(OK);
            }
        }
    });
    let mut steps = chain(vec![get("/login"), get("/cart")]);
    for step in &mut steps {
        step.request.headers = vec![
            (b"X-User".to_vec(), vec![Piece::Column { id: ColumnId(0), encode: Vec::new() }]),
            (b"Cookie".to_vec(), vec![text("lang=en")]),
        ];
    }
    play(plan_for(server.address, steps, &[], 5));
    let requests = server.requests();
    assert_eq!(requests.len(), 10);
    for request in requests {
        let user = field(&request, "x-user").unwrap();
        let expected = if request.starts_with("GET /login") {
            "lang=en".to_owned()
        } else {
            format!("sid={user}; shop=1; lang=en")
        };
        assert_eq!(field(&request, "cookie"), Some(expected.as_str()));
    }
}

fn login_with_token() -> Vec<Step> {
    let mut steps = chain(vec![get("/token"), get("/use"), get("/use")]);
    steps[0].expect.kind = PageKind::Json { keys: ["token".to_owned()].into() };
    steps[0].extract =
        vec![Extraction { variable: VariableId(0), extractor: r#"json("$.token")"#.parse().unwrap(), required: true }];
    steps[1].request.target = vec![text("/use?t="), variable(0, "recorded")];
    steps[2].request.method = "POST".into();
    steps[2].request.body = BodyTemplate::Pieces(vec![text("t="), variable(0, "recorded")]);
    steps
}

#[test]
fn a_value_of_an_answer_goes_into_later_requests() {
    let server = Server::answering(|request| match request {
        r if r.starts_with("GET /token") => page("application/json", r#"{"token":"fresh-1"}"#),
        _ => OK.into(),
    });
    let (samples, finished) = play(plan_for(server.address, login_with_token(), &["csrf"], 1));
    assert!(samples.iter().all(|s| s.outcome == Outcome::Ok), "{samples:?}");
    let requests = server.requests();
    assert!(requests[1].starts_with("GET /use?t=fresh-1 HTTP/1.1\r\n"));
    assert!(requests[2].ends_with("Content-Length: 9\r\n\r\nt=fresh-1"));
    assert_eq!(finished.totals.diverged, 0);
}

#[test]
fn a_compressed_answer_is_read_like_a_plain_one() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(br#"{"token":"packed"}"#).unwrap();
    let gzip = gzip.finish().unwrap();
    let server = Server::scripted(move |dialogue| {
        while let Some(request) = dialogue.request() {
            if request.starts_with("GET /token") {
                dialogue.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n");
                dialogue.send(format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", gzip.len()));
                dialogue.send(&gzip);
                dialogue.send("\r\n0\r\n\r\n");
            } else {
                dialogue.send(OK);
            }
        }
    });
    let (_, finished) = play(plan_for(server.address, login_with_token(), &["csrf"], 1));
    assert_eq!(finished.totals.ok, 3);
    assert!(server.requests()[1].starts_with("GET /use?t=packed "));
}

#[test]
fn a_value_that_does_not_come_is_counted_where_it_is_missing_and_where_it_is_stale() {
    let server = Server::answering(|request| match request {
        r if r.starts_with("GET /token") => page("application/json", r#"{"token":null}"#),
        _ => OK.into(),
    });
    let (samples, finished) = play(plan_for(server.address, login_with_token(), &["csrf"], 1));
    let missing = Outcome::Diverged(vec![Divergence::Missing { variable: "csrf".into() }]);
    let stale = Outcome::Diverged(vec![Divergence::Stale { variable: "csrf".into() }]);
    let outcomes: Vec<&Outcome> = samples.iter().map(|s| &s.outcome).collect();
    assert_eq!(outcomes, [&missing, &stale, &stale]);
    assert!(server.requests()[1].starts_with("GET /use?t=recorded "));
    assert_eq!((finished.totals.diverged, finished.totals.sessions_completed), (3, 1));
}

#[test]
fn an_error_page_is_a_divergence_and_the_session_goes_on() {
    let server = Server::answering(|request| match request {
        r if r.starts_with("GET /bad") => "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno".into(),
        _ => OK.into(),
    });
    let (samples, finished) = play(plan_for(server.address, chain(vec![get("/bad"), get("/")]), &[], 1));
    let status = Outcome::Diverged(vec![Divergence::Status { recorded: 200, replayed: 500 }]);
    assert_eq!((&samples[0].outcome, samples[0].status), (&status, Some(500)));
    assert_eq!(samples[1].outcome, Outcome::Ok);
    assert_eq!((finished.totals.sessions_completed, finished.totals.sessions_failed), (1, 0));
}

/// Plays two steps against a server that spoils the first connection; says how the first step ended.
fn spoiled(script: impl Fn(&mut Dialogue) + Send + Sync + 'static) -> (Outcome, Finished<Kept>) {
    let server = Server::scripted(move |dialogue| {
        if dialogue.number == 0 {
            script(dialogue);
        } else {
            while dialogue.request().is_some() {
                dialogue.send(OK);
            }
        }
    });
    let plan = plan_for(server.address, chain(vec![get("/spoiled"), get("/next")]), &[], 1);
    let (samples, finished) = play_with(plan, quick(), &Control::new());
    assert_eq!(samples.len(), 2, "each step is counted once");
    assert_eq!(samples[1].outcome, Outcome::Ok, "a user goes on after a failed step");
    (samples[0].outcome.clone(), finished)
}

#[test]
fn every_way_to_spoil_an_answer_is_counted_once_with_its_reason() {
    type Spoil = (&'static str, Failure, fn(&mut Dialogue));
    let ways: [Spoil; 11] =
        [
            ("closes at once", Failure::Closed, |d| drop(d.request())),
            ("resets", Failure::Closed, |d| d.wait_without_reading()),
            ("stalls", Failure::Timeout, |d| d.wait_for_close()),
            ("stalls in the head", Failure::Timeout, |d| {
                d.send("HTTP/1.1 200 OK\r\nContent-");
                d.wait_for_close();
            }),
            ("trickles without end", Failure::Timeout, |d| {
                d.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                while d.send("1\r\nx\r\n") {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }),
            ("speaks something else", Failure::Protocol, |d| {
                d.send("SSH-2.0-OpenSSH_9.6\r\n\r\n");
                d.wait_for_close();
            }),
            ("sends bytes without end", Failure::Protocol, |d| {
                d.send("HTTP/1.1 200 OK\r\nX: ");
                while d.send([b'x'; 4096]) {}
            }),
            ("contradicts itself", Failure::Protocol, |d| {
                d.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx");
                d.wait_for_close();
            }),
            ("sends interim answers without end", Failure::Protocol, |d| {
                while d.send("HTTP/1.1 103 Early Hints\r\n\r\n") {}
            }),
            ("closes inside the body", Failure::Closed, |d| {
                d.request();
                d.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            }),
            ("closes inside a chunk", Failure::Closed, |d| {
                d.request();
                d.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
            }),
        ];
    for (way, failure, script) in ways {
        let (outcome, finished) = spoiled(script);
        assert_eq!(outcome, Outcome::Failed(failure), "a server that {way}: {:?}", finished.failures);
        assert_eq!((finished.totals.failed, finished.totals.sessions_failed), (1, 1), "{way}");
        assert!(finished.failures.contains_key(&failure), "{way}");
    }
}

#[test]
fn odd_but_whole_answers_are_answers() {
    let ways: [fn(&mut Dialogue); 4] = [
        |d| {
            d.request();
            d.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
            d.send(OK);
        },
        |d| {
            d.request();
            d.send("HTTP/1.0 200 OK\r\n\r\n");
        },
        |d| {
            d.request();
            for byte in OK.bytes() {
                d.send([byte]);
            }
        },
        |d| {
            d.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            d.wait_for_close();
        },
    ];
    for script in ways {
        let (outcome, finished) = spoiled(script);
        assert_eq!(outcome, Outcome::Ok);
        assert_eq!(finished.totals.sessions_completed, 1);
    }
}

#[test]
fn a_target_that_refuses_fails_the_session_at_once() {
    let mut plan = plan_for(closed_port(), chain(vec![get("/a"), get("/b"), get("/c")]), &[], 3);
    plan.iterations = 2;
    let (samples, finished) = play_with(plan, quick(), &Control::new());
    assert_eq!(samples.len(), 6);
    assert!(samples.iter().all(|s| s.outcome == Outcome::Failed(Failure::Refused) && s.endpoint == 0));
    let totals = finished.totals;
    assert_eq!((totals.sessions_failed, totals.sessions_completed, totals.skipped), (6, 0, 12));
}

#[test]
fn a_kept_connection_that_dies_is_replaced_without_a_failure() {
    let server = Server::scripted(|dialogue| {
        dialogue.request();
        dialogue.send(OK);
        // The next request on this connection is never answered.
        dialogue.wait_without_reading();
    });
    let steps = chain(vec![get("/1"), get("/2"), get("/3")]);
    let (samples, finished) = play(plan_for(server.address, steps, &[], 1));
    assert_eq!(finished.totals.ok, 3, "{:?}", finished.failures);
    assert!(samples.iter().all(|s| s.phases.connect.is_some()));
}

#[test]
fn a_server_may_answer_and_close_before_the_request_is_whole() {
    let server = Server::scripted(|dialogue| {
        dialogue.wait_without_reading();
        dialogue.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        dialogue.wait_for_close();
    });
    let mut step = get("/upload");
    step.request.method = "POST".into();
    step.request.body = BodyTemplate::Pieces(vec![Piece::Literal(vec![b'x'; 8 << 20].into())]);
    step.expect.status = 413;
    let (samples, _) = play(plan_for(server.address, vec![step], &[], 1));
    assert_eq!(samples[0].outcome, Outcome::Ok);
}

#[test]
fn a_long_body_that_nobody_looks_at_is_counted_and_dropped() {
    let server = Server::scripted(|dialogue| {
        dialogue.request();
        let length = 40 << 20;
        dialogue.send(format!("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {length}\r\n\r\n"));
        let piece = vec![b'v'; 1 << 20];
        for _ in 0..40 {
            dialogue.send(&piece);
        }
    });
    let mut step = get("/film");
    step.expect.kind = PageKind::Other("video/mp4".into());
    let (samples, _) = play(plan_for(server.address, vec![step], &[], 1));
    assert_eq!(samples[0].outcome, Outcome::Ok);
    assert!(samples[0].bytes_received > 40 << 20);
}

#[test]
fn only_hosts_of_the_plan_are_contacted() {
    let bystander = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = bystander.local_addr().unwrap();
    let server = Server::answering(move |_| {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/next\r\nContent-Length: 0\r\n\
             Alt-Svc: h2=\"{elsewhere}\"\r\nLink: <http://{elsewhere}/a.css>; rel=preload\r\n\r\n"
        )
    });
    let mut steps = chain(vec![get("/"), get("/next")]);
    for step in &mut steps {
        step.request.headers.push((b"Host".to_vec(), vec![text(&elsewhere.to_string())]));
        step.expect = Expectation { status: 302, redirect: Some("/next".into()), kind: PageKind::Empty };
    }
    let (_, finished) = play(plan_for(server.address, steps, &[], 2));
    assert_eq!(finished.totals.ok, 4);
    bystander.set_nonblocking(true).unwrap();
    assert_eq!(bystander.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(server.requests().iter().all(|r| field(r, "host") == Some(&server.address.to_string())));
}

#[test]
fn a_stopped_run_ends_what_is_under_way_and_keeps_every_result() {
    let (asked, hear) = mpsc::channel();
    let control = Control::new();
    let stopper = control.clone();
    let asked = Mutex::new(asked);
    let server = Server::answering(move |request| {
        if request.starts_with("GET /3 ") {
            stopper.stop();
            asked.lock().unwrap().send(()).unwrap();
        }
        OK.into()
    });
    let steps = chain((0..6).map(|n| get(&format!("/{n}"))).collect());
    let mut plan = plan_for(server.address, steps, &[], 1);
    // A user who would arrive in a year.
    plan.users.push(PlannedUser { arrival: Nanos(31_536_000_000_000_000), ..plan.users[0].clone() });
    let (samples, finished) = play_with(plan, patient(), &control);
    hear.recv().unwrap();
    assert_eq!(finished.end, End::Stopped);
    assert!(samples.len() >= 4, "what was under way is in the results");
    assert!(samples.iter().all(|s| s.outcome == Outcome::Ok));
    let totals = finished.totals;
    assert_eq!((totals.sessions_started, totals.sessions_interrupted + totals.sessions_completed), (1, 1));
    assert_eq!(totals.sent + totals.skipped, 6);
}

#[test]
fn an_aborted_run_gives_up_what_is_under_way() {
    let control = Control::new();
    let aborter = control.clone();
    let server = Server::scripted(move |dialogue| {
        dialogue.request();
        dialogue.send(OK);
        dialogue.request();
        aborter.abort();
        dialogue.wait_for_close();
    });
    let plan = plan_for(server.address, chain(vec![get("/"), get("/never"), get("/after")]), &[], 1);
    let (samples, finished) = play_with(plan, patient(), &control);
    assert_eq!(samples.len(), 1);
    assert_eq!((finished.totals.skipped, finished.totals.sessions_interrupted), (2, 1));
}

#[test]
fn a_run_that_was_stopped_before_it_began_plays_nothing() {
    let server = Server::answering(|_| OK.into());
    let control = Control::new();
    control.stop();
    let (_, finished) = play_with(plan_for(server.address, vec![get("/")], &[], 3), patient(), &control);
    assert_eq!((finished.end, finished.totals.sessions_started), (End::Stopped, 0));
}

#[test]
fn a_run_with_a_time_limit_repeats_until_it_is_up() {
    let server = Server::answering(|_| OK.into());
    let mut plan = plan_for(server.address, chain(vec![get("/a"), get("/b")]), &[], 2);
    plan.iterations = u32::MAX;
    let config = Config { duration: Some(Duration::from_millis(100)), ..patient() };
    let (samples, finished) = play_with(plan, config, &Control::new());
    assert_eq!(finished.end, End::TimeUp);
    assert!(finished.totals.sessions_completed >= 2);
    assert!(samples.iter().all(|s| s.outcome == Outcome::Ok));
}

#[test]
fn passes_of_a_user_share_neither_cookies_nor_variables() {
    let server = Server::answering(|request| match field(request, "cookie") {
        None => "HTTP/1.1 200 OK\r\nSet-Cookie: seen=1\r\nContent-Length: 0\r\n\r\n".into(),
        Some(_) => OK.into(),
    });
    let mut plan = plan_for(server.address, chain(vec![get("/a"), get("/b")]), &[], 1);
    plan.iterations = 3;
    let (_, finished) = play(plan);
    assert_eq!(finished.totals.sessions_completed, 3);
    let cookies: Vec<bool> = server.requests().iter().map(|r| field(r, "cookie").is_some()).collect();
    assert_eq!(cookies, [false, true, false, true, false, true]);
}

#[test]
fn no_more_exchanges_are_in_flight_than_allowed() {
    let flying = Arc::new(Mutex::new((0, 0)));
    let count = Arc::clone(&flying);
    let server = Server::answering(move |_| {
        {
            let mut now = count.lock().unwrap();
            now.0 += 1;
            now.1 = now.1.max(now.0);
        }
        std::thread::yield_now();
        count.lock().unwrap().0 -= 1;
        OK.into()
    });
    let plan = plan_for(server.address, chain(vec![get("/a"), get("/b")]), &[], 40);
    let config = Config { max_in_flight: 3, threads: Some(1), ..Config::default() };
    let (_, finished) = play_with(plan, config, &Control::new());
    assert_eq!(finished.totals.ok, 80);
    assert!(flying.lock().unwrap().1 <= 3, "{:?}", flying.lock().unwrap());
}

#[test]
fn two_runs_with_one_seed_send_the_same_bytes_and_another_seed_does_not() {
    let sent = |seed: u64, threads: usize| {
        let server = Server::answering(|_| OK.into());
        let mut steps = chain(vec![get("/page"), get("/one"), get("/two")]);
        steps[2].after = vec![0];
        for (number, step) in steps.iter_mut().enumerate() {
            let id = Piece::Generated { generator: Generator::Uuid4, encode: Vec::new() };
            step.request.target = vec![text(&format!("/{number}?id=")), id];
            let user = Piece::Column { id: ColumnId(0), encode: Vec::new() };
            step.request.headers = vec![(b"X-User".to_vec(), vec![user])];
        }
        let mut plan = plan_for(server.address, steps, &[], 4);
        plan.seed = seed;
        plan.iterations = 2;
        // Not one of the address, which differs.
        let config = Config { threads: Some(threads), ..Config::default() };
        play_with(plan, config, &Control::new());
        let mut requests: Vec<String> =
            server.requests().iter().map(|r| r.replace(&server.address.to_string(), "target")).collect();
        requests.sort();
        requests
    };
    let first = sent(7, 1);
    assert_eq!(first.len(), 24);
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "every generated value is another one");
    assert_eq!(first, sent(7, 3));
    assert_ne!(first, sent(8, 1));
}

/// A TLS server with a certificate for 127.0.0.1, and the PEM of the root that signed it.
pub(crate) fn tls_server() -> (Server, Vec<u8>) {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(root, root_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let config = Arc::new(config);
    let wrap = move |stream| {
        let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        Box::new(rustls::StreamOwned::new(session, stream)) as Box<dyn crate::support::Bytes>
    };
    let server = Server::wrapped(wrap, |dialogue| {
        while dialogue.request().is_some() {
            dialogue.send(OK);
        }
    });
    (server, root_pem.into_bytes())
}

#[test]
fn certificates_are_verified_unless_told_otherwise() {
    let (server, root) = tls_server();
    for (trust, fine) in [(Trust::Extra(root), true), (Trust::Insecure, true), (Trust::System, false)] {
        let mut plan = plan_for(server.address, chain(vec![get("/a"), get("/b")]), &[], 2);
        plan.targets[0].scheme = Scheme::Https;
        let config = Config { trust: trust.clone(), ..patient() };
        let (samples, finished) = play_with(plan, config, &Control::new());
        if fine {
            assert_eq!(finished.totals.ok, 4, "{:?}", finished.failures);
            assert!(samples[0].phases.tls.is_some() && samples[3].phases.tls.is_none());
        } else {
            assert!(samples.iter().all(|s| s.outcome == Outcome::Failed(Failure::Tls)));
            assert_eq!((finished.totals.sessions_failed, finished.totals.skipped), (2, 2));
            assert!(finished.failures[&Failure::Tls].contains("certificate"), "{:?}", finished.failures);
        }
    }
}
