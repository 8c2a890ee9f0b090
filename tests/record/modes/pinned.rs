//! Log-ins of connections (NTLM, Negotiate): nothing may take the place of such a connection unnoticed.

use std::io::Write;

use overdub::model::Incomplete;

use super::{Proxy, read_all, read_exactly, read_head, server, text};

const CHALLENGE: &[u8] = b"HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM TlRMTVNTUAACAAAA\r\nContent-Length: 2\r\n\r\nno";

#[test]
fn the_last_step_of_a_handshake_is_never_sent_on_another_connection() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(CHALLENGE).unwrap();
        text(&read_head(&mut stream))
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    let say = |token: &str| format!("GET http://{address}/ HTTP/1.1\r\nHost: x\r\nAuthorization: NTLM {token}\r\n\r\n");
    client.write_all(say("TlRMTVNTUAABAAAA").as_bytes()).unwrap();
    read_head(&mut client);
    read_exactly(&mut client, 2);
    client.write_all(say("TlRMTVNTUAADAAAA").as_bytes()).unwrap();
    assert_eq!(read_all(&mut client), b"", "closed, as it would be without a proxy");
    assert!(served.join().unwrap().contains("TlRMTVNTUAADAAAA"), "and nobody else was asked: there was but one accept");
    let recorded = proxy.stop();
    assert_eq!(recorded.exchanges.len(), 2);
    assert!(matches!(recorded.exchanges[1].incomplete, Some(Incomplete::Upstream(_))));
    assert_eq!(recorded.exchanges[1].transport.upstream_connection, Some(1));
}

#[test]
fn a_client_learns_that_its_logged_in_connection_has_closed() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let proxy = Proxy::start();
    let mut client = proxy.connect();
    write!(client, "GET http://{address}/ HTTP/1.1\r\nHost: x\r\nAuthorization: Negotiate YII=\r\n\r\n").unwrap();
    read_head(&mut client);
    read_exactly(&mut client, 2);
    served.join().unwrap();
    assert_eq!(read_all(&mut client), b"", "with nothing asked");
    let recorded = proxy.stop();
    assert_eq!(recorded.only().incomplete, None);
}
