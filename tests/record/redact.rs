//! A live recording in which secrets are replaced on their way to the capture; the traffic itself is not touched.

use std::io::Write;

use overdub::model::{MessageKind, Side};
use overdub::wire::redact::{Key, Redactor, Rules};

use super::{Proxy, read_exactly, read_head, server, text};

const PASSWORD: &str = "correct-horse-battery-77";
const SESSION: &str = "s3ss10n-9f8e7d6c5b4a";

#[test]
fn what_passes_is_untouched_and_what_is_kept_holds_no_secret() {
    let (address, served) = server(|mut stream| {
        let mut heard = text(&read_head(&mut stream));
        let form = format!("user=ada&password={PASSWORD}");
        heard += &text(&read_exactly(&mut stream, form.len()));
        write!(stream, "HTTP/1.1 200 OK\r\nSet-Cookie: sid={SESSION}; Path=/\r\nContent-Length: 2\r\n\r\nok").unwrap();
        heard += &text(&read_head(&mut stream));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").unwrap();
        write!(stream, "data: hello {SESSION}\n\n").unwrap();
        heard
    });
    let proxy = Proxy::with(|config| config.redactor = Some(Redactor::new(Key::new(&[7; 32]), Rules::default())));
    let mut client = proxy.connect();
    let form = format!("user=ada&password={PASSWORD}");
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let length = form.len();
    write!(
        client,
        "POST http://{address}/login HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{form}"
    )
    .unwrap();
    assert!(text(&read_head(&mut client)).contains(SESSION), "the client gets what the server says");
    read_exactly(&mut client, 2);
    write!(client, "GET http://{address}/events HTTP/1.1\r\nHost: x\r\nCookie: sid={SESSION}\r\n\r\n").unwrap();
    read_head(&mut client);
    let event = format!("data: hello {SESSION}\n\n");
    assert_eq!(text(&read_exactly(&mut client, event.len())), event);
    let heard = served.join().unwrap();
    assert!(heard.contains(PASSWORD) && heard.contains(SESSION), "the server gets what the client says");
    drop(client);
    let recorded = proxy.stop();
    assert!(recorded.capture.provenance().source.ends_with(", redacted"));
    let [login, events] = &recorded.exchanges[..] else { panic!("{:?}", recorded.exchanges) };
    let kept = text(&recorded.request_body(login));
    assert_eq!(kept.len(), form.len());
    assert!(kept.starts_with("user=ada&password=") && !kept.contains(PASSWORD), "{kept}");
    let given = login.response.as_ref().unwrap().headers.text("set-cookie").unwrap();
    let sid = given.strip_prefix("sid=").unwrap().strip_suffix("; Path=/").unwrap();
    assert!(sid != SESSION && sid.len() == SESSION.len(), "{sid}");
    assert_eq!(events.request.headers.text("cookie").unwrap(), format!("sid={sid}"), "equal stays equal");
    let told = recorded.messages(events);
    assert_eq!(told, [(Side::Response, MessageKind::Event, format!("data: hello {sid}\n\n").into_bytes())]);
    assert_eq!(recorded.summary.redacted.map(|tally| tally.values >= 4), Some(true));
    let file = std::fs::read(recorded.path()).unwrap();
    for secret in [PASSWORD, SESSION] {
        assert!(!file.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}
