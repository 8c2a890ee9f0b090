//! Where in a packet IP and TCP are, and how their lengths are put right after damage. Knows plain Ethernet with VLANs, raw
//! IP and Linux cooked; what is wrapped deeper is damaged as bytes.

use super::Packet;

/// Places in a packet.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// IP header.
    pub ip: usize,
    /// IPv6.
    pub six: bool,
    /// TCP header.
    pub tcp: usize,
    /// TCP payload.
    pub payload: usize,
    /// End of the payload.
    pub end: usize,
}

/// Finds them.
pub fn of(packet: &Packet) -> Option<Layout> {
    let data = &packet.data;
    let ip = match packet.link {
        1 => {
            let mut at = 12;
            while matches!(data.get(at..at + 2)?, [0x81, 0] | [0x88, 0xa8] | [0x91, 0]) {
                at += 4;
            }
            at + 2
        }
        101 | 228 | 229 | 12 => 0,
        113 => 16,
        276 => 20,
        _ => return None,
    };
    let (six, tcp, total) = match data.get(ip)? >> 4 {
        4 if *data.get(ip + 9)? == 6 => (false, ip + usize::from(data[ip] & 15) * 4, usize::from(be16(data, ip + 2)?)),
        6 if *data.get(ip + 6)? == 6 => (true, ip + 40, usize::from(be16(data, ip + 4)?) + 40),
        _ => return None,
    };
    let payload = tcp + usize::from(data.get(tcp + 12)? >> 4) * 4;
    let end = (ip + total).min(data.len());
    (payload >= tcp + 20 && payload <= end).then_some(Layout { ip, six, tcp, payload, end })
}

/// Replaces the payload and puts lengths right. Says by how much it grew.
pub fn replace(packet: &mut Packet, layout: &Layout, payload: &[u8]) -> i64 {
    let payload = &payload[..payload.len().min(60_000)];
    let grown = payload.len() as i64 - (layout.end - layout.payload) as i64;
    packet.data.splice(layout.payload..layout.end, payload.iter().copied());
    let end = layout.payload + payload.len();
    let (place, length) =
        if layout.six { (layout.ip + 4, end - layout.ip - 40) } else { (layout.ip + 2, end - layout.ip) };
    packet.data[place..place + 2].copy_from_slice(&(length as u16).to_be_bytes());
    packet.wire_bytes = packet.data.len() as u32;
    grown
}

/// Addresses and ports from sender to receiver, and the other way round.
pub fn flow(packet: &Packet, layout: &Layout) -> (Vec<u8>, Vec<u8>) {
    let data = &packet.data;
    let (from, to) = if layout.six {
        (&data[layout.ip + 8..layout.ip + 24], &data[layout.ip + 24..layout.ip + 40])
    } else {
        (&data[layout.ip + 12..layout.ip + 16], &data[layout.ip + 16..layout.ip + 20])
    };
    let (source, target) = (&data[layout.tcp..layout.tcp + 2], &data[layout.tcp + 2..layout.tcp + 4]);
    ([from, source, to, target].concat(), [to, target, from, source].concat())
}

/// The number in four bytes at `place`, to be changed.
pub fn change(data: &mut [u8], place: usize, change: impl FnOnce(u32) -> u32) {
    if let Some(bytes) = data.get_mut(place..place + 4) {
        let number = change(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        bytes.copy_from_slice(&number.to_be_bytes());
    }
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*data.get(at)?, *data.get(at + 1)?]))
}
