//! What was in the packets, counted. Main type: [`Census`].

use std::collections::BTreeMap;
use std::fmt;

/// Counters of a dissection. Every map is bounded by the kinds its key can have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Packets given.
    pub packets: u64,
    /// Captured bytes of them.
    pub bytes: u64,
    /// TCP segments found, also those without payload.
    pub segments: u64,
    /// TCP payload bytes given.
    pub payload_bytes: u64,
    /// TCP payload bytes that were sent but not captured.
    pub cut_bytes: u64,
    /// Segments left out because their checksum is wrong; 0 unless checksums are verified.
    pub bad_checksums: u64,
    /// What was understood and is no TCP, in packets.
    pub others: BTreeMap<Other, u64>,
    /// What could not be understood, in packets.
    pub undecodable: BTreeMap<Undecodable, u64>,
    /// Packets of link types that are not read, by LINKTYPE number.
    pub unsupported_links: BTreeMap<u16, u64>,
    /// Tunnels gone through.
    pub tunnels: BTreeMap<Tunnel, u64>,
    /// IP fragments seen.
    pub fragments: u64,
    /// IP packets put together from fragments.
    pub reassembled: u64,
    /// Fragments that did not become a packet: others of it are missing, came too late, or there were too many.
    pub fragments_dropped: u64,
    /// Fragments that overlap another and disagree in length or place; the first to come was believed.
    pub fragments_overlapping: u64,
}

impl Census {
    pub(super) fn other(&mut self, what: Other) {
        *self.others.entry(what).or_default() += 1;
    }

    pub(super) fn undecodable(&mut self, why: Undecodable) {
        *self.undecodable.entry(why).or_default() += 1;
    }

    pub(super) fn tunnel(&mut self, which: Tunnel) {
        *self.tunnels.entry(which).or_default() += 1;
    }
}

/// Something understood that is no TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Other {
    /// HTTP/3 and anything else over QUIC: cannot be imported.
    Quic,
    /// UDP that is none of the tunnels, by the lower well-known port where it has a name here, else 0.
    Udp(u16),
    /// An IP protocol, by number.
    Ip(u8),
    /// An Ethernet payload, by EtherType.
    EtherType(u16),
    /// An IEEE 802.2 payload.
    Llc,
    /// A PPP protocol, by number.
    Ppp(u16),
    /// An IEEE 802.11 frame without data: management and control.
    WirelessControl,
    /// An encrypted IEEE 802.11 frame.
    WirelessEncrypted,
    /// Control messages of a tunnel.
    TunnelControl(Tunnel),
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Quic => f.write_str("QUIC (HTTP/3)"),
            Self::Udp(port) => f.write_str(udp_name(port).unwrap_or("UDP")),
            Self::Ip(number) => match ip_name(number) {
                Some(name) => f.write_str(name),
                None => write!(f, "IP protocol {number}"),
            },
            Self::EtherType(number) => match ether_name(number) {
                Some(name) => f.write_str(name),
                None => write!(f, "EtherType 0x{number:04x}"),
            },
            Self::Llc => f.write_str("LLC"),
            Self::Ppp(number) if number >= 0x8000 => f.write_str("PPP control"),
            Self::Ppp(number) => write!(f, "PPP protocol 0x{number:04x}"),
            Self::WirelessControl => f.write_str("802.11 control"),
            Self::WirelessEncrypted => f.write_str("802.11 encrypted"),
            Self::TunnelControl(tunnel) => write!(f, "{tunnel} control"),
        }
    }
}

/// Name of what runs on a UDP port, for ports worth telling apart.
pub(super) fn udp_name(port: u16) -> Option<&'static str> {
    Some(match port {
        53 => "DNS",
        67 | 68 => "DHCP",
        123 => "NTP",
        161 | 162 => "SNMP",
        443 => "UDP 443",
        500 | 4500 => "IPsec (UDP)",
        514 => "syslog",
        546 | 547 => "DHCPv6",
        1701 => "L2TP",
        1812 | 1813 => "RADIUS",
        1900 => "SSDP",
        3478 => "STUN",
        5246 | 5247 => "CAPWAP",
        5353 => "mDNS",
        5355 => "LLMNR",
        51820 => "WireGuard",
        _ => return None,
    })
}

fn ip_name(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "ICMP",
        2 => "IGMP",
        46 => "RSVP",
        50 => "IPsec ESP",
        58 => "ICMPv6",
        59 => "IPv6 without payload",
        88 => "EIGRP",
        89 => "OSPF",
        103 => "PIM",
        112 => "VRRP",
        115 => "L2TPv3",
        132 => "SCTP",
        136 => "UDP-Lite",
        _ => return None,
    })
}

fn ether_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0x0806 => "ARP",
        0x8035 => "RARP",
        0x8863 => "PPPoE discovery",
        0x8809 => "LACP",
        0x888e => "802.1X",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88f7 => "PTP",
        0x9000 => "Ethernet loopback test",
        _ => return None,
    })
}

/// A tunnel that is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Tunnel {
    IpInIp,
    Gre,
    Erspan,
    EtherIp,
    Vxlan,
    Geneve,
    GtpU,
    Teredo,
    Ayiya,
    MplsInIp,
    Pppoe,
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IpInIp => "IP in IP",
            Self::Gre => "GRE",
            Self::Erspan => "ERSPAN",
            Self::EtherIp => "EtherIP",
            Self::Vxlan => "VXLAN",
            Self::Geneve => "Geneve",
            Self::GtpU => "GTP-U",
            Self::Teredo => "Teredo",
            Self::Ayiya => "AYIYA",
            Self::MplsInIp => "MPLS in IP",
            Self::Pppoe => "PPPoE",
        })
    }
}

/// Why a packet was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undecodable {
    /// The link layer's header is not whole.
    Link,
    /// Not IP where IP has to be, or its header is not whole or contradicts itself.
    Ip,
    /// The TCP header is not whole, or its length is impossible.
    Tcp,
    /// The UDP header is not whole, or its length is impossible.
    Udp,
    /// The tunnel's header is not whole, or what is in it is not known.
    Tunnel(Tunnel),
    /// MPLS with something unknown beneath.
    Mpls,
    /// A fragment of an IEEE 802.11 frame.
    WirelessFragment,
    /// More layers one inside the other than are looked into.
    TooDeep,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("damaged link header"),
            Self::Ip => f.write_str("damaged IP header"),
            Self::Tcp => f.write_str("damaged TCP header"),
            Self::Udp => f.write_str("damaged UDP header"),
            Self::Tunnel(tunnel) => write!(f, "damaged {tunnel}"),
            Self::Mpls => f.write_str("MPLS with unknown payload"),
            Self::WirelessFragment => f.write_str("802.11 fragment"),
            Self::TooDeep => f.write_str("too many layers"),
        }
    }
}
