//! Sessions and rules in, plans out: what is sent, what is waited for, who comes when.

use std::time::Duration;

use crate::model::{
    DataTable, Exchange, ExchangeId, Headers, Incomplete, MemoryBodies, Nanos, Origin, Remark, Request, Response,
    Session, SessionId, SessionInfo, Side, Timing, Transport, Version,
};
use crate::rules::{Endpoint, ParameterRule, Place, RuleSet, Source, VariableRule};

use super::*;

const ORIGIN: &str = "https://shop.test";

struct Told {
    bodies: MemoryBodies,
    session: Session,
}

/// `(start ms, end ms, request line, request fields, body, status, response fields, answer)`.
type Line<'a> = (u64, u64, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a [(&'a str, &'a str)], &'a str);

fn told(lines: &[Line<'_>]) -> Told {
    let mut bodies = MemoryBodies::default();
    let fields = |list: &[(&str, &str)]| Headers(list.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect());
    let millis = |ms: u64| Nanos(ms * 1_000_000);
    let exchanges = (1..)
        .zip(lines)
        .map(|(id, (start, end, line, sent, body, status, got, answer))| {
            let (method, target) = line.split_once(' ').unwrap();
            Exchange {
                id: ExchangeId(id),
                session: SessionId(1),
                transaction: None,
                request: Request {
                    origin: ORIGIN.parse::<Origin>().unwrap(),
                    method: method.into(),
                    target: target.into(),
                    version: Version::Http11,
                    headers: fields(sent),
                    body: bodies.add(body.as_bytes()),
                    trailers: Headers::default(),
                },
                interim: Vec::new(),
                response: Some(Response {
                    version: Version::Http11,
                    status: *status,
                    reason: Vec::new(),
                    headers: fields(got),
                    body: bodies.add(answer.as_bytes()),
                    trailers: Headers::default(),
                }),
                timing: Timing {
                    started: millis(*start),
                    request_done: Some(millis(*start)),
                    finished: millis(*end),
                    ..Timing::default()
                },
                transport: Transport {
                    client: "127.0.0.1:1".parse().unwrap(),
                    client_connection: 1,
                    upstream_connection: Some(1),
                    stream: None,
                    tls: None,
                    alpn: None,
                    sni: None,
                },
                incomplete: None,
                remarks: Vec::new(),
            }
        })
        .collect();
    Told { bodies, session: Session { info: SessionInfo { id: SessionId(1), ..SessionInfo::default() }, exchanges } }
}

fn workload(users: Users, data: Option<DataTable>) -> Workload {
    Workload {
        speed: Speed::Factor(10.0),
        users,
        targets: vec![Target { recorded: None, actual: "http://127.0.0.1:9000".parse().unwrap() }],
        data,
        iterations: 1,
        seed: 7,
    }
}

fn endpoint(line: &str) -> Endpoint {
    let (method, path) = line.split_once(' ').unwrap();
    format!("{method} {ORIGIN}{path}").parse().unwrap()
}

fn rules() -> RuleSet {
    let place = |line: &str, slot: &str| Place { endpoint: endpoint(line), slot: slot.into() };
    RuleSet {
        variables: vec![VariableRule {
            name: "id".into(),
            confidence: 1.0,
            evidence: String::new(),
            from: vec![Source { endpoint: endpoint("POST /orders"), take: r#"json("$.id")"#.parse().unwrap() }],
            into: vec![place("GET /orders/{}", "path[1]"), place("POST /notes", "form.about")],
        }],
        parameters: vec![ParameterRule {
            column: "user".into(),
            recorded: vec!["ann".into()],
            evidence: String::new(),
            into: vec![place("POST /orders", "json.$.by"), place("POST /notes", "form.text")],
        }],
        ..RuleSet::default()
    }
}

struct Filled;

impl Values for Filled {
    fn variable(&self, id: VariableId) -> Option<&str> {
        Some(["first", "second"][id.0 as usize])
    }
    fn column(&self, _: ColumnId) -> &str {
        "bob & co"
    }
    fn generate(&mut self, _: Generator) -> String {
        String::new()
    }
}

fn sent(step: &Step) -> (String, String) {
    let mut target = Vec::new();
    render_all(&step.request.target, &mut Filled, &mut target);
    let mut body = Vec::new();
    if let BodyTemplate::Pieces(pieces) = &step.request.body {
        render_all(pieces, &mut Filled, &mut body);
    }
    (String::from_utf8(target).unwrap(), String::from_utf8(body).unwrap())
}

fn shop() -> Told {
    let json: &[(&str, &str)] = &[("Content-Type", "application/json")];
    let form: &[(&str, &str)] =
        &[("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", "sid=1; js=2"), ("Host", "shop.test")];
    told(&[
        (
            0,
            100,
            "POST /orders",
            json,
            r#"{"by":"ann"}"#,
            201,
            &[("Content-Type", "application/json"), ("Set-Cookie", "sid=1")],
            r#"{"id":5}"#,
        ),
        (1100, 1200, "POST /orders", json, r#"{"by":"ann"}"#, 201, json, r#"{"id":6}"#),
        (1300, 1500, "GET /orders/5", &[("Referer", "https://shop.test/x")], "", 200, &[], ""),
        (1310, 1400, "GET /orders/6", &[], "", 200, &[], ""),
        (2500, 2600, "POST /notes", form, "text=by+ann&about=6", 302, &[("Location", "/orders/6/notes?x=1")], ""),
    ])
}

#[test]
fn each_use_is_bound_to_the_very_answer_that_gave_its_value() {
    let told = shop();
    let plan = plan(&[told.session], &told.bodies, &rules(), &workload(Users::Multiplied(1), None)).unwrap();
    let steps = &plan.scripts[0].steps;
    // The recording used the second order's id (6) last and the first one's (5) first: two variables, bound apart.
    assert_eq!(sent(&steps[2]).0, "/orders/first");
    assert_eq!(sent(&steps[3]).0, "/orders/second");
    assert_eq!(sent(&steps[4]).1, "text=by+bob+%26+co&about=second");
    assert_eq!(sent(&steps[0]).1, r#"{"by":"bob & co"}"#);
    assert_eq!(steps[0].extract.len(), 1);
    assert_eq!(plan.endpoints[steps[2].endpoint as usize], "GET https://shop.test/orders/{}");
    assert_eq!(steps[4].expect.redirect.as_deref(), Some("/orders/{}/notes"));
}

#[test]
fn headers_lose_what_the_engine_writes_and_follow_the_target() {
    let told = shop();
    let plan = plan(&[told.session], &told.bodies, &rules(), &workload(Users::Multiplied(1), None)).unwrap();
    let header = |step: usize, name: &str| -> Option<String> {
        let (_, pieces) = plan.scripts[0].steps[step].request.headers.iter().find(|(n, _)| n == name.as_bytes())?;
        let mut out = Vec::new();
        render_all(pieces, &mut Filled, &mut out);
        String::from_utf8(out).ok()
    };
    assert_eq!(header(4, "Cookie").as_deref(), Some("js=2"), "the jar sends sid itself");
    assert_eq!(header(4, "Host"), None);
    assert_eq!(header(2, "Referer").as_deref(), Some("http://127.0.0.1:9000/x"));
}

#[test]
fn steps_wait_for_what_was_over_and_parallel_fetches_stay_parallel() {
    let told = shop();
    let plan = plan(&[told.session], &told.bodies, &rules(), &workload(Users::Multiplied(1), None)).unwrap();
    let shape: Vec<(Vec<u32>, Option<u32>, u128)> =
        plan.scripts[0].steps.iter().map(|s| (s.after.clone(), s.parent, s.gap.as_millis())).collect();
    assert_eq!(
        shape,
        [
            (vec![], None, 0),
            (vec![0], Some(0), 1000),
            (vec![1], Some(1), 100),
            (vec![1], Some(1), 110),
            (vec![2, 3], Some(2), 1000),
        ]
    );
}

#[test]
fn clones_have_rows_of_their_own_and_come_apart() {
    let told = shop();
    let data = DataTable {
        columns: vec!["x".into(), "user".into()],
        rows: (0..5).map(|n| vec![String::new(), format!("user{n}")]).collect(),
    };
    let make = |users, seed| {
        let mut workload = workload(users, Some(data.clone()));
        workload.seed = seed;
        plan(std::slice::from_ref(&told.session), &told.bodies, &rules(), &workload)
    };
    let plan = make(Users::Multiplied(5), 7).unwrap();
    let mut rows: Vec<&str> = plan.users.iter().map(|u| u.row[0].as_str()).collect();
    rows.sort_unstable();
    assert_eq!(rows, ["user0", "user1", "user2", "user3", "user4"]);
    assert!(plan.users.windows(2).all(|w| w[0].arrival <= w[1].arrival));
    assert!(plan.users[4].arrival.as_duration() <= Duration::from_millis(500), "five seconds at tenfold speed");
    assert_eq!(plan.users, make(Users::Concurrent(5), 7).unwrap().users, "the same seed gives the same users");
    assert_ne!(plan.users, make(Users::Multiplied(5), 8).unwrap().users);
    assert_eq!(make(Users::Multiplied(6), 7).unwrap_err(), PlanError::TooFewRows { rows: 5, users: 6 });
}

#[test]
fn what_cannot_be_planned_is_said() {
    let told = shop();
    let sessions = [told.session];
    let mut nowhere = workload(Users::Multiplied(1), None);
    nowhere.targets[0].recorded = Some("https://other.test".parse().unwrap());
    assert!(
        matches!(plan(&sessions, &told.bodies, &rules(), &nowhere), Err(PlanError::NoTarget(known)) if known == [ORIGIN])
    );
    let many = workload(Users::Multiplied(2), None);
    assert!(
        matches!(plan(&sessions, &told.bodies, &rules(), &many), Err(PlanError::NoData(columns)) if columns == ["user"])
    );
    let wrong =
        workload(Users::Multiplied(2), Some(DataTable { columns: vec!["x".into()], rows: vec![vec![String::new()]] }));
    assert_eq!(plan(&sessions, &told.bodies, &rules(), &wrong).unwrap_err(), PlanError::NoColumn("user".into()));
}

#[test]
fn paths_fit_their_folded_form() {
    for (folded, path, fits) in [
        ("/orders/{}", "/orders/abc?x", true),
        ("/orders/{}", "/orders", false),
        ("/orders", "/orders/1", false),
        ("/", "/", true),
    ] {
        assert_eq!(path_fits(folded, path), fits, "{folded} {path}");
    }
}

#[test]
fn what_the_capture_does_not_hold_is_neither_sent_nor_asked_for() {
    let mut told = shop();
    let before = plan(
        std::slice::from_ref(&told.session),
        &told.bodies,
        &RuleSet::default(),
        &workload(Users::Multiplied(1), None),
    )
    .unwrap();
    let steps = before.scripts[0].steps.len();
    let absent = |side| Remark::BodyAbsent { side, bytes: 5 };
    told.session.exchanges[0].remarks.push(absent(Side::Response));
    told.session.exchanges[1].remarks.push(absent(Side::Request));
    told.session.exchanges[2].remarks.push(Remark::UnknownField { side: Side::Request, position: 1, name: None });
    let plan = plan(&[told.session], &told.bodies, &RuleSet::default(), &workload(Users::Multiplied(1), None)).unwrap();
    assert_eq!(plan.scripts[0].steps.len(), steps - 2);
    assert_eq!(plan.scripts[0].steps[0].expect.kind, PageKind::Unknown);
    let reasons: Vec<(&str, u64)> = plan.skipped.iter().map(|s| (s.reason.as_str(), s.exchanges)).collect();
    assert_eq!(reasons, [("the request is not all in the capture", 2)]);
}

#[test]
fn what_no_user_asked_for_is_skipped_with_its_reason_and_stands_in_nobodys_way() {
    let mut told = shop();
    let sessions = std::slice::from_ref(&told.session);
    let plain = plan(sessions, &told.bodies, &RuleSet::default(), &workload(Users::Multiplied(1), None)).unwrap();
    let aside = |change: &dyn Fn(&mut Exchange)| {
        let mut exchange = told.session.exchanges[0].clone();
        exchange.id = ExchangeId(900);
        change(&mut exchange);
        exchange
    };
    let noise = |origin: &str| {
        aside(&|e| {
            e.request.origin = origin.parse().unwrap();
            e.remarks.push(Remark::noise("Chromium updates"));
        })
    };
    let tunnel = aside(&|e| {
        e.request.method = "CONNECT".into();
        e.incomplete = Some(Incomplete::Upgraded("something that is not HTTP".into()));
    });
    let socket = aside(&|e| {
        e.request.headers.push("Upgrade", "websocket");
        e.response.as_mut().unwrap().status = 101;
    });
    let extended = aside(&|e| {
        e.request.method = "CONNECT".into();
        e.request.headers.push(":protocol", "websocket");
    });
    let other = aside(&|e| e.incomplete = Some(Incomplete::Upgraded("echo".into())));
    let mut before = vec![noise(ORIGIN), tunnel, socket, extended, other];
    // More of it than of the shop, and none of it its target.
    before.extend(std::iter::repeat_with(|| noise("https://updates.test")).take(20));
    let count = told.session.exchanges.len();
    told.session.exchanges.splice(0..0, before);
    let plan = plan(&[told.session], &told.bodies, &RuleSet::default(), &workload(Users::Multiplied(1), None)).unwrap();
    assert_eq!(plan.scripts[0].steps.len(), count);
    assert_eq!(format!("{:?}", plan.scripts), format!("{:?}", plain.scripts));
    let mut skipped: Vec<(&str, &str, u64)> =
        plan.skipped.iter().map(|s| (s.origin.as_str(), s.reason.as_str(), s.exchanges)).collect();
    skipped.sort_unstable();
    assert_eq!(
        skipped,
        [
            (ORIGIN, "WebSockets are not replayed yet", 2),
            (ORIGIN, "a tunnel of bytes that are not HTTP", 1),
            (ORIGIN, "browser noise", 1),
            (ORIGIN, "upgraded connections are not replayed yet", 1),
            ("https://updates.test", "browser noise", 20),
        ]
    );
}
