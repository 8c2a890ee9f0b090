use overdub::{correlate::*, model::*};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let v: serde_json::Value = serde_json::from_slice(&std::fs::read(&a[1]).unwrap()).unwrap();
    let mut bodies = MemoryBodies::default();
    let mut ex = vec![];
    let hs = |v: &serde_json::Value| {
        Headers(
            v.as_array()
                .unwrap()
                .iter()
                .map(|h| {
                    (h["name"].as_str().unwrap().as_bytes().to_vec(), h["value"].as_str().unwrap().as_bytes().to_vec())
                })
                .collect(),
        )
    };
    let mut prev = 0u64;
    for (i, e) in v["log"]["entries"].as_array().unwrap().iter().enumerate() {
        let r = &e["request"];
        let url = r["url"].as_str().unwrap();
        if !url.starts_with("http") {
            continue;
        }
        let p = &e["response"];
        let st = p["status"].as_i64().unwrap();
        if st <= 0 {
            continue;
        }
        let origin: Origin = url.parse().unwrap();
        let target = url.splitn(4, '/').nth(3).map(|x| format!("/{x}")).unwrap();
        let body = r["postData"]["text"].as_str().unwrap_or("");
        let c = &p["content"];
        let text = c["text"].as_str().unwrap_or("");
        let rb = if c["encoding"] == "base64" {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).unwrap()
        } else {
            text.as_bytes().to_vec()
        };
        let mut rh = hs(&p["headers"]);
        rh.0.retain(|(n, _)| !n.eq_ignore_ascii_case(b"content-encoding"));
        prev += 1_000_000;
        ex.push(Exchange {
            id: ExchangeId(i as u64 + 1),
            session: SessionId(1),
            transaction: None,
            request: Request {
                origin,
                method: r["method"].as_str().unwrap().into(),
                target: target.into(),
                version: Version::Http11,
                headers: hs(&r["headers"]),
                body: bodies.add(body.as_bytes()),
                trailers: Headers::default(),
            },
            interim: vec![],
            response: Some(Response {
                version: Version::Http11,
                status: st as u16,
                reason: vec![],
                headers: rh,
                body: bodies.add(&rb),
                trailers: Headers::default(),
            }),
            timing: Timing {
                started: Nanos(prev),
                finished: Nanos(prev + 500_000),
                request_done: Some(Nanos(prev)),
                ..Timing::default()
            },
            transport: Transport {
                client: "127.0.0.1:1".parse().unwrap(),
                client_connection: 1,
                upstream_connection: None,
                stream: None,
                tls: None,
                alpn: None,
                sni: None,
            },
            incomplete: None,
        });
    }
    let s = Session { info: SessionInfo { id: SessionId(1), ..Default::default() }, exchanges: ex };
    let data = DataTable {
        columns: vec!["username".into(), "password".into(), "tag".into()],
        rows: vec![
            vec!["user01".into(), "Passw0rd-01!".into(), a[2].clone()],
            vec!["user02".into(), "Passw0rd-02!".into(), "zzz9".into()],
        ],
    };
    let t = std::time::Instant::now();
    let rules = correlate(&[s], &bodies, Some(&data), Prior::KnownTokens);
    eprintln!("{:?}", t.elapsed());
    print!("{}", rules.print());
}
