//! Packets as damage knows them: whole, with the place of their TCP payload. Main type: [`Packet`].

pub mod container;
pub mod damage;
pub mod layout;
pub mod wrap;

/// One captured packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// LINKTYPE number.
    pub link: u16,
    /// Captured bytes.
    pub data: Vec<u8>,
    /// Bytes there were, at least those of `data`.
    pub wire_bytes: u32,
}

impl Packet {
    /// Captured whole.
    pub fn whole(at: u64, link: u16, data: Vec<u8>) -> Self {
        let wire_bytes = data.len() as u32;
        Self { at, link, data, wire_bytes }
    }
}
