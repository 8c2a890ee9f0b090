//! Layers in layers: tunnels, SOCKS, upgrades, what is not looked into.

use super::*;

use Ending::Fin;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CONNECT: &str = "CONNECT Inner.test:8080 HTTP/1.1\r\nHost: inner.test:8080\r\nProxy-Authorization: x\r\n\r\n";

#[test]
fn tunnels_are_entered_and_counted() {
    let inner = "GET /i HTTP/1.1\r\nHost: other.test\r\n\r\n";
    let established = "HTTP/1.1 200 Connection established\r\n\r\n";
    let told = play(&opening(), &[client(CONNECT), server(established), client(inner), server(OK)]);
    assert_eq!(told.lines(), ["GET http://inner.test:8080/i > 200 [ok]"]);
    assert_eq!(told.tally.tunnels["Inner.test:8080"], 1);
    // A client that does not wait for the answer.
    let told = play(&opening(), &[client(format!("{CONNECT}{inner}")), server(established), server(OK)]);
    assert_eq!(told.lines(), ["GET http://inner.test:8080/i > 200 [ok]"]);
    // A tunnel in a tunnel.
    let told = play(
        &opening(),
        &[
            client(CONNECT),
            server(established),
            client("CONNECT deep.test:443 HTTP/1.1\r\n\r\n"),
            server(established),
            client(inner),
            server(OK),
        ],
    );
    assert_eq!(told.lines(), ["GET http://deep.test:443/i > 200 [ok]"]);
}

#[test]
fn refused_tunnels_are_exchanges() {
    let refused = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno";
    let told = play(&opening(), &[client(CONNECT), server(refused), client(CONNECT), server_end(Fin)]);
    assert_eq!(
        told.lines(),
        [
            "CONNECT https://inner.test:8080Inner.test:8080 > 407 [no]",
            "CONNECT https://inner.test:8080Inner.test:8080 ! server: closed without an answer",
        ]
    );
    assert!(told.exchanges[0].request.headers.first("proxy-authorization").is_none());
    assert!(told.tally.tunnels.is_empty());
}

#[test]
fn socks_names_the_server() {
    let get = "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n";
    let told = play(
        &opening(),
        &[
            client(b"\x05\x01\x00"),
            server(b"\x05\x00"),
            client(b"\x05\x01\x00\x03\x09shop.test\x00\x51"),
            server(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x10\x00"),
            client(get),
            server(OK),
        ],
    );
    assert_eq!(told.lines(), ["GET http://shop.test:81/ > 200 [ok]"]);
    let told = play(
        &opening(),
        &[client(b"\x04\x01\x00\x50\x0a\x00\x00\x01\x00"), server(b"\x00\x5a\0\0\0\0\0\0"), client(get), server(OK)],
    );
    assert_eq!(told.lines(), ["GET http://other.test/ > 200 [ok]"]);
    let told = play(&opening(), &[client(b"\x05\x01\x00"), server(b"\x05\xff"), server_end(Fin)]);
    assert!(told.exchanges.is_empty());
    assert_eq!(told.tally.opaque.keys().next().unwrap().0, "SOCKS");
}

#[test]
fn a_proxy_may_be_reached_backwards() {
    // The proxy opens the connection, says who it is, and is asked.
    let told = play(
        &opening(),
        &[
            client(b"\x99id\x01\x02"),
            server(b"\x05\x01\0"),
            client(b"\x05\0"),
            server(b"\x05\x01\0\x01\x0a\0\0\x09\0\x50"),
            client(b"\x05\0\0\x01\x0a\0\0\x09\0\x50"),
            server("GET /a HTTP/1.0\r\n\r\n"),
            client("HTTP/1.0 204 No\r\n\r\n"),
        ],
    );
    assert_eq!(told.lines(), ["GET http://10.0.0.9/a > 204"]);
    assert_eq!(told.tally.skipped_bytes, 5);
}

#[test]
fn websockets_carry_messages() {
    let dialogue = &http1::dialogues()[3];
    let told = play(&opening(), dialogue);
    assert_eq!(told.lines(), ["GET http://a/ws > 101"]);
    assert_eq!(told.tally.messages, 3);
    assert_eq!(told.tally.protocols["WebSocket"].connections, 1);
    // Cut off without goodbye.
    let told = play(&opening(), &dialogue[..4]);
    assert_eq!(told.lines(), ["GET http://a/ws > 101 ! not recorded: the capture ends inside the WebSocket"]);
}

#[test]
fn other_upgrades_end_the_exchange() {
    let told = play(
        &opening(),
        &[
            client("POST /containers/1/attach HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"),
            server("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\x01\x02raw"),
            client("ls\n"),
        ],
    );
    assert_eq!(told.lines(), ["POST http://a/containers/1/attach > 101 ! upgraded to tcp"]);
    assert_eq!(told.tally.opaque.keys().next().unwrap().0, "HTTP upgrade");
    // The server did not want it: what the client sent meanwhile is read.
    let told = play(
        &opening(),
        &[
            client(
                "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            server(OK),
            server(OK),
        ],
    );
    assert_eq!(told.lines(), ["GET http://a/1 > 200 [ok]", "GET http://a/2 > 200 [ok]"]);
}

#[test]
fn what_is_not_looked_into_is_counted() {
    for (acts, name) in [
        (&[server("SSH-2.0-OpenSSH\r\n"), client("SSH-2.0-me\r\n"), client(b"\0\0\x05\xdc\x06")][..], "SSH"),
        (&[server("220 mx ESMTP\r\n"), client("EHLO me\r\n")], "SMTP"),
        (&[client(b"\0\0\0\x08\x04\xd2\x16\x2f"), server("N")], "PostgreSQL"),
        (&[client(b"\x99\x98\x97\x96\x95")], "unknown"),
        (&[server("220 nobody answers")], "FTP"),
    ] {
        let told = play(&opening(), acts);
        assert!(told.exchanges.is_empty());
        let ((protocol, server), traffic) = told.tally.opaque.iter().next().unwrap();
        assert_eq!((*protocol, server.as_str(), traffic.connections), (name, "10.0.0.2:80", 1), "{acts:?}");
        assert!(traffic.bytes > 0);
        assert_eq!(told.tally.protocols["not HTTP"].connections, 1);
    }
    let told = play(&opening(), &[client_end(Fin), server_end(Fin)]);
    assert_eq!(told.tally.protocols["silent"].connections, 1);
    assert!(told.tally.opaque.is_empty());
}

#[test]
fn what_a_server_did_not_understand_is_kept_with_its_answer() {
    let bad = "HTTP/1.0 400 Bad\r\nContent-Length: 0\r\n\r\n";
    let lf = "request: bare line feed or carriage return in a head";
    let old = "request: HTTP/0.9";
    let odd = "request: unusual HTTP version";
    let no_request = " ! client: not an HTTP/1 message # Request 0 :method? # Request 1 :path?";
    for (request, line) in [
        ("OPTIONS HTTP/1.1\n\n", format!("OPTIONS http://10.0.0.2HTTP/1.1 > 400 # {lf} # {old}")),
        ("PUT /a HTTP/1.\r\nHost: a\r\n\r\n", format!("PUT http://a/a > 400 # {odd}")),
        ("GET /HTTP/1.1\nHost: a\n\n", format!("GET http://a/HTTP/1.1 > 400 # {lf} # {old}")),
        ("CCM_POST /a\r\n\r\n", format!("CCM_POST http://10.0.0.2/a > 400 # {old}")),
        ("OPTIONS\r\nHost: a\r\n\r\n", format!("OPTIONS http://a > 400 # {old}")),
        ("GET/ HTTP/1.1\r\nHost: a\r\n\r\n", format!(" http://10.0.0.2 > 400{no_request}")),
        ("\u{c3} / HTTP/1.\r\nHost: a\r\n\r\n", format!(" http://10.0.0.2 > 400{no_request}")),
    ] {
        expect(&opening(), &[client(request), server(bad)], &[&line]);
    }
    // Whoever opened the connection, the one that asks is the client.
    let told = play(&opening(), &[server("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), client("HTTP/1.1 204 No\r\n\r\n")]);
    assert_eq!(told.lines(), ["GET http://a/ > 204"]);
    assert_eq!(told.exchanges[0].transport.client, "10.0.0.2:80".parse().unwrap());
}

#[test]
fn tls_without_secrets_is_counted_by_host_and_reason() {
    let mut hello = vec![22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0x13, 0x01, 1, 0]);
    let name = b"shop.test";
    let mut sni = vec![0, 0, 0, 14, 0, 12, 0, 0, 9];
    sni.extend_from_slice(name);
    hello.extend_from_slice(&u16::try_from(sni.len()).unwrap().to_be_bytes());
    hello.extend_from_slice(&sni);
    let record = u16::try_from(hello.len() - 5).unwrap();
    hello[3..5].copy_from_slice(&record.to_be_bytes());
    hello[8] = u8::try_from(record - 4).unwrap();
    let mut server_hello = vec![22, 3, 3, 0, 44, 2, 0, 0, 40, 3, 3];
    server_hello.extend_from_slice(&[8; 32]);
    server_hello.extend_from_slice(&[0, 0x13, 0x01, 0, 0, 0]);
    let told = play(
        &opening(),
        &[
            client(&hello),
            server(&server_hello[..server_hello.len() - 2]),
            server(b"\x17\x03\x03\x00\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            client_end(Fin),
            server_end(Fin),
        ],
    );
    assert!(told.exchanges.is_empty());
    assert_eq!(told.tally.decrypted, 0);
    let ((host, _), traffic) = told.tally.undecryptable.iter().next().unwrap();
    assert_eq!((host.as_str(), traffic.connections), ("shop.test", 1));
}
