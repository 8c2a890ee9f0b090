//! People recorded at once are told apart by listener or by the name they give to the proxy.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use overdub::record::Mode;
use overdub::wire::identity::UserBy;

use super::{Proxy, patient, read_all, read_exactly, read_head, server, servers, text};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn ask(proxy: SocketAddr, server: SocketAddr, fields: &str) -> String {
    let mut client = patient(TcpStream::connect(proxy).unwrap());
    write!(client, "GET http://{server}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n").unwrap();
    text(&read_all(&mut client))
}

fn answering(connections: usize) -> (SocketAddr, std::thread::JoinHandle<Vec<String>>) {
    servers(connections, |streams| {
        streams
            .map(|mut stream| {
                let head = text(&read_head(&mut stream));
                stream.write_all(OK).unwrap();
                head
            })
            .collect()
    })
}

#[test]
fn each_listener_has_users_of_its_own() {
    let (server, served) = answering(4);
    let proxy = Proxy::with(|config| {
        config.listen = vec!["127.0.0.1:0".parse().unwrap(); 2];
        config.user_by = UserBy::parse("auto,listener").unwrap();
    });
    let own = proxy.recording.addresses().to_vec();
    assert_ne!(own[0], own[1]);
    for at in [0, 1, 0, 1] {
        assert!(ask(own[at], server, "").ends_with("ok"));
    }
    served.join().unwrap();
    let page = ask(own[1], own[0], "");
    assert!(page.starts_with("HTTP/1.1 508"), "{page}");
    let recorded = proxy.stop();
    let sessions: Vec<u32> = recorded.exchanges.iter().map(|exchange| exchange.session.0).collect();
    assert_eq!(sessions, [1, 2, 1, 2, 2]);
    let evidence = &recorded.capture.sessions()[1].info.evidence;
    assert!(evidence.ends_with(&format!("listener {}", own[1])), "{evidence}");
}

#[test]
fn proxy_credentials_are_asked_for_told_apart_and_never_recorded() {
    let (server, served) = answering(3);
    let proxy = Proxy::with(|config| config.user_by = UserBy::parse("proxy-credentials").unwrap());
    let own = proxy.recording.address();
    let refused = ask(own, server, "");
    assert!(
        refused.starts_with("HTTP/1.1 407") && refused.contains("\r\nProxy-Authenticate: Basic realm="),
        "{refused}"
    );
    let (anna, bert) = ("Proxy-Authorization: Basic YW5uYTpnZWhlaW0=\r\n", "Proxy-Authorization: Basic YmVydDo=\r\n");
    for fields in [anna, bert, anna] {
        assert!(ask(own, server, fields).ends_with("ok"));
    }
    let refused = ask(own, server, "Proxy-Authorization: Bearer x\r\n");
    assert!(refused.starts_with("HTTP/1.1 407"), "{refused}");
    let mut tunnel = proxy.connect();
    tunnel.write_all(b"CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
    assert!(text(&read_head(&mut tunnel)).starts_with("HTTP/1.1 407"));
    assert!(served.join().unwrap().iter().all(|head| !head.to_lowercase().contains("authorization")));
    let path = proxy.dir.path().join("test.dub");
    let recorded = proxy.stop();
    let sessions: Vec<u32> = recorded.exchanges.iter().map(|exchange| exchange.session.0).collect();
    assert_eq!(sessions, [1, 2, 1]);
    assert_eq!(recorded.capture.sessions()[0].info.evidence, "proxy user `anna`");
    let file = std::fs::read(path).unwrap();
    assert!(
        ["YW5uYTpnZWhlaW0", "geheim"].iter().all(|secret| memchr::memmem::find(&file, secret.as_bytes()).is_none())
    );
}

#[test]
fn a_user_inside_tunnels_and_by_socks_is_the_same_user() {
    let (address, served) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(OK).unwrap();
    });
    let (second, served_second) = server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(OK).unwrap();
    });
    let proxy = Proxy::with(|config| {
        config.mode = Mode::Forward;
        config.user_by = UserBy::parse("proxy-credentials").unwrap();
    });
    let mut tunnel = proxy.connect();
    write!(tunnel, "CONNECT {address} HTTP/1.1\r\nProxy-Authorization: Basic YW5uYTp4\r\n\r\n").unwrap();
    assert!(text(&read_head(&mut tunnel)).starts_with("HTTP/1.1 200"));
    let mut socks = proxy.connect();
    socks.write_all(b"\x05\x02\x00\x02").unwrap();
    assert_eq!(read_exactly(&mut socks, 2), b"\x05\x02", "a name is asked for");
    socks.write_all(b"\x01\x04anna\x05other").unwrap();
    assert_eq!(read_exactly(&mut socks, 2), b"\x01\x00");
    socks.write_all(&[b"\x05\x01\x00\x01\x7f\x00\x00\x01", &second.port().to_be_bytes()[..]].concat()).unwrap();
    read_exactly(&mut socks, 10);
    for client in [&mut tunnel, &mut socks] {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_head(client);
        read_exactly(client, 2);
    }
    served.join().unwrap();
    served_second.join().unwrap();
    assert_eq!(proxy.ask("\x05\x01\x00"), b"\x05\xff", "without a name there is no way in");
    drop((tunnel, socks));
    let recorded = proxy.stop();
    assert_eq!(recorded.exchanges.len(), 2);
    assert_eq!(recorded.capture.sessions().len(), 1);
}

#[test]
fn a_proxy_on_all_addresses_does_not_connect_to_itself_by_any_of_them() {
    // Nothing is sent: it only tells which address this machine would use.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()).map(|address| address.ip());
    let Ok(own) = own else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let proxy = Proxy::with(|config| config.listen = vec!["0.0.0.0:0".parse().unwrap()]);
    let port = proxy.recording.address().port();
    let page = ask(([127, 0, 0, 1], port).into(), SocketAddr::new(own, port), "");
    assert!(page.starts_with("HTTP/1.1 508"), "{page}");
    assert_eq!(proxy.stop().exchanges.len(), 1);
}
