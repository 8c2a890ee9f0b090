//! What a browser asks for itself is recorded with a tag.

use overdub::model::Remark;

use crate::support::{Server, page};

use super::{Proxy, overdub, text};

#[test]
fn browser_noise_is_tagged_counted_and_kept() {
    let server = Server::answering(|_| page("application/json", "{}"));
    let host = server.address;
    let proxy = Proxy::start();
    for path in ["/", "/.well-known/appspecific/com.chrome.devtools.json"] {
        let request = format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert!(text(&proxy.ask(&request)).ends_with("{}"));
    }
    let recorded = proxy.stop();
    let tags: Vec<_> = recorded.exchanges.iter().map(|e| e.remarks.iter().find_map(Remark::as_noise)).collect();
    assert_eq!(tags, [None, Some("Chromium developer tools")]);
    assert_eq!(recorded.summary.noise, 1);
    assert_eq!(recorded.response_body(&recorded.exchanges[1]), b"{}");
    let inspect = |arguments: &[&str]| {
        let arguments = [&["inspect", "test.dub"], arguments].concat();
        text(&overdub(recorded.dir.path(), &arguments).output().unwrap().stdout)
    };
    let summary = inspect(&[]);
    assert!(summary.contains("\nnoise      1 exchange "), "{summary}");
    assert!(inspect(&["--filter", "noise"]).ends_with("devtools.json  [noise: Chromium developer tools]\n"));
    let line: serde_json::Value = serde_json::from_str(&inspect(&["--filter", "!noise", "--json"])).unwrap();
    assert_eq!((line["id"].as_u64(), line.get("noise")), (Some(1), None));
}
