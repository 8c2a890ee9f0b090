//! Dialogues: a session is told line by line, and the rules must say where its values come from.

use std::time::Duration;

use crate::model::{
    DataTable, Exchange, ExchangeId, Headers, Incomplete, MemoryBodies, Nanos, Origin, Remark, Request, Response,
    Session, SessionId, SessionInfo, Timing, Transport, Version,
};
use crate::rules::RuleSet;

use super::{Prior, correlate};

/// Tells sessions: each call is one exchange, one after the other.
#[derive(Default)]
struct Story {
    bodies: MemoryBodies,
    sessions: Vec<Session>,
    clock: u64,
    exchanges: u64,
}

impl Story {
    fn session(&mut self) -> &mut Self {
        let id = SessionId(u32::try_from(self.sessions.len()).unwrap() + 1);
        self.sessions.push(Session { info: SessionInfo { id, ..SessionInfo::default() }, exchanges: Vec::new() });
        self
    }

    /// `request`: method, target, and `Name: value` lines; then the answer's status and lines.
    fn tell(&mut self, request: &str, sent: &str, response: &str, answered: &str) -> &mut Self {
        if self.sessions.is_empty() {
            self.session();
        }
        let parse = |text: &str| -> (String, Headers) {
            let mut lines = text.lines().map(str::trim);
            let first = lines.next().unwrap_or("").to_owned();
            let fields = lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.into(), v.into()));
            (first, Headers(fields.collect()))
        };
        let (line, headers) = parse(request);
        let (method, target) = line.split_once(' ').unwrap();
        let (status, response_headers) = parse(response);
        let started = self.clock;
        self.clock += 1_000_000_000;
        self.exchanges += 1;
        let exchange = Exchange {
            id: ExchangeId(self.exchanges),
            session: self.sessions.last().unwrap().info.id,
            transaction: None,
            request: Request {
                origin: "https://shop.test".parse::<Origin>().unwrap(),
                method: method.into(),
                target: target.into(),
                version: Version::Http11,
                headers,
                body: self.bodies.add(sent.as_bytes()),
                trailers: Headers::default(),
            },
            interim: Vec::new(),
            response: Some(Response {
                version: Version::Http11,
                status: status.parse().unwrap(),
                reason: Vec::new(),
                headers: response_headers,
                body: self.bodies.add(answered.as_bytes()),
                trailers: Headers::default(),
            }),
            timing: Timing {
                started: Nanos(started),
                request_done: Some(Nanos(started)),
                finished: Nanos(started).after(Duration::from_millis(100)),
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
        };
        self.sessions.last_mut().unwrap().exchanges.push(exchange);
        self
    }

    fn page(&mut self, target: &str, html: &str) -> &mut Self {
        self.tell(&format!("GET {target}"), "", "200\nContent-Type: text/html", html)
    }

    fn form(&mut self, target: &str, body: &str, response: &str, answer: &str) -> &mut Self {
        self.tell(&format!("POST {target}\nContent-Type: application/x-www-form-urlencoded"), body, response, answer)
    }

    fn json(&mut self, request: &str, body: &str, answer: &str) -> &mut Self {
        self.tell(
            &format!("{request}\nContent-Type: application/json"),
            body,
            "200\nContent-Type: application/json",
            answer,
        )
    }

    fn rules(&self, data: Option<&DataTable>) -> RuleSet {
        correlate(&self.sessions, &self.bodies, data, Prior::None)
    }
}

/// `slot <- extractor` of every use, sorted.
fn links(rules: &RuleSet) -> Vec<String> {
    let mut found: Vec<String> = rules
        .variables
        .iter()
        .flat_map(|v| v.into.iter().map(move |p| (v, p)))
        .map(|(v, p)| {
            let takes: Vec<String> = v.from.iter().map(|s| s.take.to_string()).collect();
            format!("{} <- {}", p.slot, takes.join(" or "))
        })
        .collect();
    found.sort();
    found
}

fn users() -> DataTable {
    let row = |a: &str, b: &str, c: &str| vec![a.to_owned(), b.to_owned(), c.to_owned()];
    DataTable {
        columns: vec!["username".into(), "password".into(), "tag".into()],
        rows: vec![row("user01", "Passw0rd-01!", "r12ab3"), row("user02", "Passw0rd-02!", "k98cd7")],
    }
}

const TOKEN: &str = "xtg5SC0XGGCd5yXx6WIyHMuze3UIzrim";

#[test]
fn the_hidden_field_of_the_submitted_form_is_the_source() {
    let mut story = Story::default();
    story.page("/login", &format!(r#"<form action="/other"><input type=hidden name=csrf value="{TOKEN}"></form><form action="/login" method=post><input type=hidden name=csrf value="{TOKEN}"></form>"#));
    story.form("/login", &format!("csrf={TOKEN}&user=bob"), "302\nLocation: /", "");
    assert_eq!(links(&story.rules(None)), [r#"form.csrf <- form("/login", "csrf")"#]);
}

#[test]
fn tokens_travel_from_meta_script_json_header_and_cookie_into_headers() {
    for (headers, body, extractor) in [
        ("", format!(r#"<meta name="csrf-token" content="{TOKEN}">"#), r#"meta("csrf-token")"#),
        ("", format!(r#"<script>var a={{"csrfToken":"{TOKEN}"}}</script>"#), r#"script("csrfToken")"#),
        ("", format!(r#"{{"auth":{{"token":"{TOKEN}"}}}}"#), r#"json("$.auth.token")"#),
        ("\nX-Csrf: TOK", "x".to_owned(), r#"header("X-Csrf")"#),
        ("\nSet-Cookie: xsrf=TOK; Path=/", "x".to_owned(), r#"cookie("xsrf")"#),
        ("", format!("<p>your key is: {TOKEN}.</p>"), r#"between("y is: ", ".</")"#),
    ] {
        let mut story = Story::default();
        let headers = headers.replace("TOK", TOKEN);
        story.tell("GET /a", "", &format!("200{headers}"), &body);
        story.tell(&format!("DELETE /b\nX-CSRF-Token: {TOKEN}"), "", "200", "");
        assert_eq!(links(&story.rules(None)), [format!("header.x-csrf-token <- {extractor}")]);
    }
}

#[test]
fn the_latest_rendering_before_the_use_is_named() {
    let page =
        |token: &str| format!(r#"<form action="/save" method=post><input type=hidden name=t value="{token}"></form>"#);
    let mut story = Story::default();
    story.page("/one", &page("aaaa1111bbbb2222cccc")).page("/two", &page("dddd3333eeee4444ffff"));
    story.form("/save", "t=dddd3333eeee4444ffff", "200", "");
    let rules = story.rules(None);
    assert_eq!(rules.variables.len(), 1);
    assert_eq!(rules.variables[0].from[0].endpoint.path, "/two");
}

#[test]
fn ids_born_in_the_session_are_followed_and_old_ones_stay() {
    let mut story = Story::default();
    story.page("/shop/3", r#"<a href="/shop/3">home</a><a href="/orders/8/view">old</a>"#);
    story.page("/orders/8/view", "old order");
    story.json("POST /api/orders", r#"{"item":5}"#, r#"{"id":9,"state":"new"}"#);
    story.json("GET /api/orders/9", "", r#"{"id":9}"#);
    story.page("/shop/3", "x");
    assert_eq!(links(&story.rules(None)), [r#"path[2] <- json("$.id")"#]);
}

#[test]
fn a_redirect_gives_the_id_of_what_was_made() {
    let mut story = Story::default();
    story.form("/orders", "note=x", "303\nLocation: https://shop.test/orders/17", "");
    story.page(
        "/orders/17",
        r#"<form action="/orders/17/note" method=post><input type=hidden name=order value=17></form>"#,
    );
    story.form("/orders/17/note", "order=17&text=hello", "303\nLocation: /orders/17", "");
    let found = links(&story.rules(None));
    assert!(found.iter().any(|l| l.starts_with(r#"path[1] <- header("Location") | url("/orders/{}")"#)), "{found:?}");
    assert!(found.iter().any(|l| l.starts_with(r#"form.order <- form("/orders/{}/note", "order")"#)), "{found:?}");
}

#[test]
fn values_pass_through_urls_json_in_forms_and_base64() {
    let mut story = Story::default();
    let token = "ab+/cd12EF34gh56==";
    story.json("POST /token", "", &format!(r#"{{"t":"{}"}}"#, token.replace('/', "\\/")));
    story.page("/x?key=ab%2B%2Fcd12EF34gh56%3D%3D", "");
    story.form("/y", "doc=%7B%22k%22%3A%22ab%2B%5C%2Fcd12EF34gh56%3D%3D%22%7D", "200", "");
    let found = links(&story.rules(None));
    assert_eq!(found, [r#"form.doc.json.$.k <- json("$.t")"#, r#"query.key <- json("$.t")"#]);
}

#[test]
fn names_of_fields_can_carry_ids() {
    let mut story = Story::default();
    story.tell(
        "POST /images\nContent-Type: application/json",
        "{}",
        "200\nContent-Type: application/json",
        r#"{"id":1,"form":"<form action=\"/images/1/\"><input name=\"image-1-title\" value=\"x\"></form>"}"#,
    );
    story.form("/images/1/", "image-1-title=Sunset", "200", "");
    let found = links(&story.rules(None));
    assert!(found.iter().any(|l| l.starts_with("path[1] <- ")), "{found:?}");
    assert!(found.iter().any(|l| l.starts_with("form.image-{}-title#name <- ")), "{found:?}");
}

#[test]
fn data_columns_are_bound_wherever_the_row_stands() {
    let mut story = Story::default();
    story.form("/login", "username=user01&password=Passw0rd-01%21", "302\nLocation: /", "");
    story.form(
        "/notes",
        "title=Note+by+user01+r12ab3&slug=note-by-user01-r12ab3",
        "302\nLocation: /note-by-user01-r12ab3/",
        "",
    );
    story.page("/note-by-user01-r12ab3/", "user01 r12ab3");
    story.page("/search?q=r12ab3", "");
    let rules = story.rules(Some(&users()));
    assert_eq!(rules.columns(), ["username", "password", "tag"]);
    let slots = |column: &str| -> Vec<String> {
        let rule = rules.parameters.iter().find(|p| p.column == column).unwrap();
        assert_eq!(rule.recorded.len(), 1);
        let mut slots: Vec<String> = rule.into.iter().map(|p| p.slot.clone()).collect();
        slots.sort();
        slots
    };
    assert_eq!(slots("password"), ["form.password"]);
    assert_eq!(slots("tag"), ["form.slug", "form.title", "path[0]", "query.q"]);
    assert!(rules.variables.is_empty(), "an echo of what the user typed is no source: {:?}", links(&rules));
}

#[test]
fn the_row_that_the_user_made_is_picked_by_what_they_typed() {
    let mut story = Story::default();
    story.form("/notes", "title=Note+r12ab3", "302\nLocation: /notes", "");
    story.form("/scraps", "title=Scrap+r12ab3", "302\nLocation: /scraps", "");
    story.page("/notes", r#"<ul><li><a href="/notes/4/edit">Scrap r12ab3</a> <input type=checkbox name=pick value=4></li><li><b>Note r12ab3</b> <a href="/notes/5/edit">edit</a> <input type=checkbox name=pick value=5></li></ul>"#);
    story.page("/notes/5/edit", "");
    story.form("/notes/delete", "pick=5", "302\nLocation: /notes", "");
    story.json("GET /api/notes", "", r#"[{"id":8,"t":"x"},{"id":9,"t":"Note r12ab3"}]"#);
    story.json("GET /api/notes/9", "", "{}");
    assert_eq!(
        links(&story.rules(Some(&users()))),
        [
            r#"form.pick <- row("Note {tag}") | form("*", "pick")"#,
            r#"path[1] <- row("Note {tag}") | url("/notes/{}/edit")"#,
            r#"path[2] <- row("Note {tag}") | json("$.id")"#,
        ]
    );
}

#[test]
fn the_hidden_field_of_the_users_own_row_is_taken() {
    let row = |id: u32, title: &str, token: &str| {
        format!(
            r#"<li>{title}<form method=post action="/items/{id}/rename"><input type=hidden name=v value={token}></form></li>"#
        )
    };
    let mut story = Story::default();
    story.form("/items", "title=Mine+r12ab3", "302\nLocation: /items", "");
    let list = format!("<ul>{}{}</ul>", row(5, "Other", "c75d2e50b0"), row(6, "Mine r12ab3", "6041b92c87"));
    story.page("/items", &list);
    story.form("/items/6/rename", "v=6041b92c87&title=New+r12ab3", "302\nLocation: /items", "");
    let found = links(&story.rules(Some(&users())));
    assert_eq!(
        found,
        [
            r#"form.v <- row("Mine {tag}") | form("/items/{}/rename", "v")"#,
            r#"path[1] <- row("Mine {tag}") | url("/items/{}/rename")"#,
        ]
    );
}

#[test]
fn directories_hashed_from_a_name_are_followed() {
    let mut story = Story::default();
    story.form("/upload", "file=Picture-r12ab3.png&about=Mine+r12ab3", "302\nLocation: /file/Picture-r12ab3.png", "");
    story.page("/file/Picture-r12ab3.png", r#"<div>Mine r12ab3 <a href="/images/0/0e/Picture-r12ab3.png">x</a></div>"#);
    story.tell("GET /images/0/0e/Picture-r12ab3.png", "", "200\nContent-Type: image/png", "png");
    assert_eq!(
        links(&story.rules(Some(&users()))),
        [
            r#"path[1] <- row("Picture-{tag}.png") | url("/images/{}/*/*")"#,
            r#"path[2] <- row("Picture-{tag}.png") | url("/images/*/{}/*")"#,
        ]
    );
}

#[test]
fn a_script_made_for_one_user_is_a_source_and_a_cached_one_is_not() {
    for (cache, found) in [("no-store", 1), ("max-age=31536000", 0)] {
        let mut story = Story::default();
        let head = format!("200\nContent-Type: text/javascript\nCache-Control: {cache}");
        story.tell("GET /config.js", "", &head, &format!("window.token = '{TOKEN}';"));
        story.tell(&format!("POST /api\nX-Token: {TOKEN}"), "", "200", "");
        assert_eq!(links(&story.rules(None)).len(), found, "{cache}");
    }
}

#[test]
fn several_sessions_tell_constants_from_ids() {
    let mut story = Story::default();
    for id in ["51", "62"] {
        story.session().json("GET /api/me", "", &format!(r#"{{"profile":[{{"n":{id}}}],"tenant":[{{"n":7}}]}}"#));
        story.json(&format!("GET /api/people/{id}"), "", "{}");
        story.json("GET /api/tenants/7", "", "{}");
    }
    let found = links(&story.rules(None));
    assert_eq!(found, [r#"path[2] <- json("$.profile[0].n")"#]);
}

#[test]
fn a_number_that_is_equal_only_sometimes_is_no_token() {
    let mut story = Story::default();
    for (first, second, version) in [(1, 4, 1), (3, 2, 7)] {
        story.session();
        let next = version + 1;
        story.json("POST /carts", "{}", &format!(r#"{{"version":{version}}}"#));
        story.json(
            "PUT /carts/c",
            &format!(r#"{{"quantity":{first},"version":{version}}}"#),
            &format!(r#"{{"version":{next}}}"#),
        );
        story.json("PUT /carts/c", &format!(r#"{{"quantity":{second},"version":{next}}}"#), "{}");
    }
    let found = links(&story.rules(None));
    assert!(found.iter().all(|l| l.starts_with("json.$.version <- ")), "{found:?}");
    assert_eq!(found.len(), 2);
}

#[test]
fn what_has_no_source_is_listed() {
    let mut story = Story::default();
    story.page("/", "nothing");
    story.tell(&format!("POST /api\nX-Signature: {TOKEN}"), "", "200", "");
    let rules = story.rules(None);
    assert_eq!(rules.unexplained.len(), 1);
    assert_eq!(rules.unexplained[0].place.slot, "header.x-signature");
    assert!(!rules.unexplained[0].example.contains(TOKEN), "a secret is not written out");
}

#[test]
fn clocks_and_uuids_of_the_client_are_made_anew() {
    let mut story = Story::default();
    story.page("/a?_=1695400000123", "");
    story.tell("POST /b\nIdempotency-Key: 9b2f3c1e-0a1b-4c2d-8e3f-123456789abc", "", "200", "");
    let rules = story.rules(None);
    let kinds: Vec<&str> = rules.generators.iter().map(|g| g.kind.as_str()).collect();
    assert_eq!(kinds, ["uuid4", "unix-millis"]);
    assert!(rules.unexplained.is_empty());
}

#[test]
fn the_same_sessions_give_the_same_rules() {
    let mut story = Story::default();
    story.page("/login", &format!(r#"<form action="/login"><input type=hidden name=csrf value="{TOKEN}"></form>"#));
    story.form(
        "/login",
        &format!("csrf={TOKEN}&username=user01&password=Passw0rd-01%21"),
        "302\nLocation: /orders/5",
        "",
    );
    story.page("/orders/5", "");
    let first = story.rules(Some(&users())).print();
    assert_eq!(story.rules(Some(&users())).print(), first);
    assert_eq!(RuleSet::parse(&first).unwrap().print(), first);
}

#[test]
fn an_exchange_whose_request_was_not_captured_makes_no_rule() {
    let mut story = Story::default();
    story.page("/form", &format!(r#"<form action="/do" method=post><input name=csrf value="{TOKEN}"></form>"#));
    story.form("/do", &format!("csrf={TOKEN}"), "200", "ok");
    assert_eq!(story.rules(None).variables.len(), 1);
    story.sessions[0].exchanges[0].request.method.clear();
    let rules = story.rules(None);
    assert!(rules.variables.is_empty(), "{rules:?}");
    assert_eq!(rules.unexplained.len(), 1, "{rules:?}");
}

#[test]
fn what_no_user_asked_for_neither_gives_values_nor_has_any_to_explain() {
    let asides: [fn(&mut Exchange); 3] = [
        |e| e.remarks.push(Remark::noise("Chromium updates")),
        |e| {
            e.request.method = "CONNECT".into();
            e.incomplete = Some(Incomplete::Upgraded("something that is not HTTP".into()));
        },
        |e| e.response.as_mut().unwrap().status = 101,
    ];
    let field = format!(r#"<form action="/do" method=post><input name=csrf value="{TOKEN}"></form>"#);
    for aside in asides {
        let mut source = Story::default();
        source.page("/form", &field).form("/do", &format!("csrf={TOKEN}"), "200", "ok");
        aside(&mut source.sessions[0].exchanges[0]);
        let rules = source.rules(None);
        assert_eq!((rules.variables.len(), rules.unexplained.len()), (0, 1), "no source: {rules:?}");
        let mut sink = Story::default();
        sink.page("/form", &field).form("/do", &format!("csrf={TOKEN}&other=kq83JfhA01kdP4xZ"), "200", "ok");
        assert_eq!((sink.rules(None).variables.len(), sink.rules(None).unexplained.len()), (1, 1));
        aside(&mut sink.sessions[0].exchanges[1]);
        let rules = sink.rules(None);
        assert_eq!((rules.variables.len(), rules.unexplained.len()), (0, 0), "no sink: {rules:?}");
    }
}
