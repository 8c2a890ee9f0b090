//! The proxy's own pages, over real sockets.

use std::io::Write;
use std::net::Shutdown;

use rustls::RootCertStore;

use super::{Proxy, read_all, secure, text};

#[test]
fn the_proxy_says_how_to_set_up_a_device_and_records_nothing_of_it() {
    let proxy = Proxy::start();
    let address = proxy.recording.address();
    let direct = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    let named = "GET http://overdub.test/ HTTP/1.1\r\nHost: overdub.test\r\n\r\n".to_owned();
    let itself = format!("GET http://{address}/ HTTP/1.1\r\nHost: {address}\r\n\r\n");
    for request in [&direct, &named, &itself] {
        let page = text(&proxy.ask(request));
        assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"), "{page}");
        assert!(page.contains(&format!("http://{address}<")), "{request}: {page}");
    }
    let der = proxy.ask("GET http://overdub.test/ca.crt HTTP/1.1\r\nHost: overdub.test\r\n\r\n");
    assert!(der.ends_with(&proxy.root));
    let missing = text(&proxy.ask("POST http://overdub.test/login HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    let recorded = proxy.stop();
    assert!(recorded.exchanges.is_empty());
    assert_eq!(recorded.summary.remarks, Default::default());
}

#[test]
fn a_device_can_find_out_whether_it_trusts_us_and_that_is_no_event() {
    let proxy = Proxy::start();
    let ask = b"GET /ok.svg HTTP/1.1\r\nHost: overdub.test\r\n\r\n";
    let mut trusting = proxy.secure("overdub.test:443");
    trusting.write_all(ask).unwrap();
    let answer = text(&read_all(&mut trusting));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: image/svg+xml\r\n"), "{answer}");
    let mut doubting = secure(proxy.tunnel("overdub.test:443"), "overdub.test:443", RootCertStore::empty(), &[]);
    assert!(doubting.write_all(ask).is_err());
    let mut silent = proxy.tunnel("overdub.test:443");
    silent.shutdown(Shutdown::Write).unwrap();
    read_all(&mut silent);
    let recorded = proxy.stop();
    assert!(recorded.exchanges.is_empty());
    assert_eq!(recorded.summary.remarks, Default::default());
}
