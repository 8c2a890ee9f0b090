//! Packets as a capturing program would have written them: made up segment by segment, or seen by a tap in the middle of a
//! real connection. Nothing here needs privileges.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest payload of a packet.
const SEGMENT_BYTES: usize = 1448;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// One TCP packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub payload: &'a [u8],
}

impl Packet<'_> {
    /// The packet from its Ethernet header on. Checksums are 0, as offloading leaves them.
    pub fn frame(&self) -> Vec<u8> {
        let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        let total = u16::try_from(40 + self.payload.len()).unwrap();
        out.extend_from_slice(&[0x45, 0]);
        out.extend_from_slice(&total.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
        out.extend_from_slice(&self.from.ip().octets());
        out.extend_from_slice(&self.to.ip().octets());
        out.extend_from_slice(&self.from.port().to_be_bytes());
        out.extend_from_slice(&self.to.port().to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.ack.to_be_bytes());
        out.extend_from_slice(&[0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        out.extend_from_slice(self.payload);
        out
    }
}

/// The header of a nanosecond pcap file of Ethernet packets.
pub fn pcap_header() -> Vec<u8> {
    let mut out = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
    out.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&262_144_u32.to_le_bytes());
    out.extend_from_slice(&1_u32.to_le_bytes());
    out
}

/// One packet of a pcap file, of which `kept` bytes were captured.
pub fn pcap_record(at_ns: u64, frame: &[u8], kept: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [at_ns / 1_000_000_000, at_ns % 1_000_000_000, kept as u64, frame.len() as u64] {
        out.extend_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
    }
    out.extend_from_slice(&frame[..kept]);
    out
}

/// A connection that is made up.
pub struct Talk {
    client: SocketAddrV4,
    server: SocketAddrV4,
    next: [u32; 2],
    now: u64,
    pub packets: Vec<(u64, Vec<u8>)>,
}

impl Talk {
    /// With the handshake done, 1 ms from packet to packet.
    pub fn open(client_port: u16, server_port: u16) -> Self {
        let (client, server) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut talk = Self {
            client: SocketAddrV4::new(client, client_port),
            server: SocketAddrV4::new(server, server_port),
            next: [1000, 5000],
            now: 1_700_000_000_000_000_000,
            packets: Vec::new(),
        };
        talk.push(0, SYN, b"");
        talk.next[0] += 1;
        talk.push(1, SYN | ACK, b"");
        talk.next[1] += 1;
        talk.push(0, ACK, b"");
        talk
    }

    fn push(&mut self, side: usize, flags: u8, payload: &[u8]) {
        let (from, to) = if side == 0 { (self.client, self.server) } else { (self.server, self.client) };
        let (seq, ack) = (self.next[side], self.next[1 - side]);
        let packet = Packet { from, to, seq, ack, flags, payload };
        self.packets.push((self.now, packet.frame()));
        self.next[side] = seq.wrapping_add(u32::try_from(payload.len()).unwrap());
        self.now += 1_000_000;
    }

    /// What the client sends.
    pub fn client(mut self, bytes: impl AsRef<[u8]>) -> Self {
        bytes.as_ref().chunks(SEGMENT_BYTES).for_each(|piece| self.push(0, ACK, piece));
        self
    }

    /// What the server sends.
    pub fn server(mut self, bytes: impl AsRef<[u8]>) -> Self {
        bytes.as_ref().chunks(SEGMENT_BYTES).for_each(|piece| self.push(1, ACK, piece));
        self
    }

    /// The end, by both.
    pub fn close(mut self) -> Self {
        self.push(0, FIN | ACK, b"");
        self.next[0] = self.next[0].wrapping_add(1);
        self.push(1, FIN | ACK, b"");
        self.next[1] = self.next[1].wrapping_add(1);
        self.push(0, ACK, b"");
        self
    }

    /// As a pcap file.
    pub fn pcap(&self) -> Vec<u8> {
        let records = self.packets.iter().flat_map(|(at, frame)| pcap_record(*at, frame, frame.len()));
        pcap_header().into_iter().chain(records).collect()
    }
}

/// Stands between clients and a server, passes bytes on, and writes down the packets that a tap would have seen.
pub struct Tap {
    /// Where clients connect.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    /// In front of a server.
    pub fn in_front_of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(pcap_header()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else { return };
                watch(client, server, &log);
            }
        });
        Self { address, seen }
    }

    /// The pcap file so far.
    pub fn pcap(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }
}

/// Sequence numbers of both sides.
struct Numbers {
    ends: [SocketAddrV4; 2],
    next: [u32; 2],
}

fn watch(client: TcpStream, server: TcpStream, log: &Arc<Mutex<Vec<u8>>>) {
    let v4 = |address: SocketAddr| match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => panic!("the tap listens on IPv4"),
    };
    let ends = [v4(client.peer_addr().unwrap()), v4(client.local_addr().unwrap())];
    let numbers = Arc::new(Mutex::new(Numbers { ends, next: [1000, 9000] }));
    for (side, flags) in [(0, SYN), (1, SYN | ACK), (0, ACK)] {
        note(log, &numbers, side, flags, b"");
    }
    for (side, mut from, mut to) in [(0, client.try_clone().unwrap(), server.try_clone().unwrap()), (1, server, client)]
    {
        let (log, numbers) = (Arc::clone(log), Arc::clone(&numbers));
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            loop {
                match from.read(&mut buffer) {
                    Ok(0) => {
                        note(&log, &numbers, side, FIN | ACK, b"");
                        let _ = to.shutdown(Shutdown::Write);
                        return;
                    }
                    Ok(count) => {
                        buffer[..count].chunks(SEGMENT_BYTES).for_each(|piece| note(&log, &numbers, side, ACK, piece));
                        if to.write_all(&buffer[..count]).is_err() {
                            return;
                        }
                    }
                    Err(_) => {
                        note(&log, &numbers, side, RST, b"");
                        return;
                    }
                }
            }
        });
    }
}

fn note(log: &Mutex<Vec<u8>>, numbers: &Mutex<Numbers>, side: usize, flags: u8, payload: &[u8]) {
    let mut log = log.lock().unwrap();
    let mut numbers = numbers.lock().unwrap();
    let at_ns = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let (from, to) = (numbers.ends[side], numbers.ends[1 - side]);
    let (seq, ack) = (numbers.next[side], numbers.next[1 - side]);
    let frame = Packet { from, to, seq, ack, flags, payload }.frame();
    log.extend_from_slice(&pcap_record(at_ns, &frame, frame.len()));
    let length = u32::try_from(payload.len()).unwrap() + u32::from(flags & (SYN | FIN) != 0);
    numbers.next[side] = seq.wrapping_add(length);
}
