//! Files of packets, pcap or pcapng, as a sequence of [`Item`]s that borrow from one buffer. Main type: [`Container`].

use std::io::{self, Read};
use std::net::IpAddr;

use pcap_parser::{NameRecord, NameRecordType};

use super::classic::Classic;
use super::ng::Ng;
use super::window::Window;
use crate::observe::streams::UnixNanos;

/// Longest record or block that is read, in bytes.
pub const RECORD_LIMIT: usize = 64 * 1024 * 1024;

/// Why reading packets stopped. What was read before stands.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The first bytes are neither pcap nor pcapng.
    #[error("not a packet capture")]
    NotPackets,
    /// The stream stops inside a record; every whole one before was given.
    #[error("the capture is cut off inside the record at offset {offset}")]
    Torn {
        /// Where the record begins.
        offset: u64,
    },
    /// What is there cannot be a record, and none was found behind it.
    #[error("the capture is damaged at offset {offset}")]
    Garbage {
        /// Where it begins.
        offset: u64,
    },
    /// A record is too long to be held.
    #[error("the record at offset {offset} is over {RECORD_LIMIT} bytes")]
    TooLong {
        /// Where it begins.
        offset: u64,
        /// How long it says it is.
        bytes: u64,
    },
    /// The source failed.
    #[error("cannot read the capture")]
    Read(#[from] io::Error),
}

/// A packet as it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// When the tap saw it.
    pub at: UnixNanos,
    /// What its first bytes are, a LINKTYPE number of tcpdump.org.
    pub link: u16,
    /// Number of the interface within its section, 0 in a pcap.
    pub interface: u32,
    /// The captured bytes.
    pub data: &'a [u8],
    /// Bytes it had when it was captured, at least those in `data`.
    pub wire_bytes: u32,
}

/// One thing that a capture says.
#[derive(Debug)]
pub enum Item<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// Lines of a TLS key log (RFC 9850) from a Decryption Secrets Block.
    Secrets(&'a [u8]),
    /// Names of addresses.
    Names(Names<'a>),
    /// An interface is described; packets of it follow.
    Interface(Interface),
    /// What stood between two readable records was not one, and was passed over.
    Skipped {
        /// Where it begins.
        offset: u64,
        /// How long it is.
        bytes: u64,
    },
    /// A live source has nothing just now; call again.
    Idle,
}

/// Where packets were captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Link type of its packets, a LINKTYPE number of tcpdump.org.
    pub link: u16,
    /// `if_name`, such as `eth0`.
    pub name: Option<String>,
    /// `if_description`.
    pub description: Option<String>,
    /// Most bytes kept of a packet; 0 for no bound.
    pub snaplen: u32,
}

/// The names of a Name Resolution Block.
#[derive(Debug)]
pub struct Names<'a> {
    pub(super) records: Vec<NameRecord<'a>>,
}

impl<'a> Names<'a> {
    /// Every name with its address. An address may have several; names that are not UTF-8 are left out.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &'a str)> + '_ {
        self.records.iter().flat_map(|record| {
            let (address, names) = match record.record_type {
                NameRecordType::Ipv4 => {
                    record.record_value.split_first_chunk::<4>().map(|(a, n)| (IpAddr::from(*a), n))
                }
                NameRecordType::Ipv6 => {
                    record.record_value.split_first_chunk::<16>().map(|(a, n)| (IpAddr::from(*a), n))
                }
                _ => None,
            }
            .unwrap_or((IpAddr::from([0; 4]), &[]));
            let names = names.split(|&byte| byte == 0).filter(|name| !name.is_empty());
            names.filter_map(move |name| Some((address, std::str::from_utf8(name).ok()?)))
        })
    }
}

/// A capture being read.
#[derive(Debug)]
pub struct Container<R> {
    window: Window<R>,
    format: Format,
    /// Bytes of the last item, let go with the next call.
    given: usize,
    over: bool,
}

#[derive(Debug)]
enum Format {
    Classic(Classic),
    Ng(Ng),
}

/// What a format found at the start of the window, as ranges of it.
#[derive(Debug)]
pub(super) enum Found {
    Packet { at: UnixNanos, link: u16, interface: u32, from: usize, len: usize, wire_bytes: u32, whole: usize },
    Secrets { from: usize, len: usize, whole: usize },
    Names { whole: usize },
    Interface { interface: Interface, whole: usize },
    Skipped { offset: u64, bytes: u64 },
    End,
}

impl<R: Read> Container<R> {
    /// True when `head`, the first 4 bytes or more of something, begins a capture that can be read.
    pub fn recognises(head: &[u8]) -> bool {
        Classic::recognises(head) || Ng::recognises(head)
    }

    /// Reads the header.
    ///
    /// # Errors
    /// See [`ContainerError`].
    pub fn open(reader: R) -> Result<Self, ContainerError> {
        let mut window = Window::new(reader);
        window.hold(4)?;
        let format = if Ng::recognises(window.data()) {
            Format::Ng(Ng::default())
        } else if Classic::recognises(window.data()) {
            Format::Classic(Classic::open(&mut window)?)
        } else {
            return Err(ContainerError::NotPackets);
        };
        Ok(Self { window, format, given: 0, over: false })
    }

    /// The next item; `None` at the end, and ever after an error.
    ///
    /// # Errors
    /// See [`ContainerError`]. Nothing follows one.
    #[expect(clippy::should_implement_trait, reason = "items borrow from the container")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, ContainerError> {
        self.window.consume(std::mem::take(&mut self.given));
        if self.over {
            return Ok(None);
        }
        let found = match &mut self.format {
            Format::Classic(classic) => classic.find(&mut self.window),
            Format::Ng(ng) => ng.find(&mut self.window),
        };
        if matches!(&found, Err(ContainerError::Read(error)) if error.kind() == io::ErrorKind::WouldBlock) {
            return Ok(Some(Item::Idle));
        }
        self.over = matches!(found, Err(_) | Ok(Found::End));
        let data = self.window.data();
        Ok(Some(match found? {
            Found::Packet { at, link, interface, from, len, wire_bytes, whole } => {
                self.given = whole;
                Item::Packet(Packet { at, link, interface, data: &data[from..from + len], wire_bytes })
            }
            Found::Secrets { from, len, whole } => {
                self.given = whole;
                Item::Secrets(&data[from..from + len])
            }
            Found::Names { whole } => {
                self.given = whole;
                let big_endian = matches!(&self.format, Format::Ng(ng) if ng.big_endian());
                Item::Names(super::ng::names(&data[..whole], big_endian))
            }
            Found::Interface { interface, whole } => {
                self.given = whole;
                Item::Interface(interface)
            }
            Found::Skipped { offset, bytes } => Item::Skipped { offset, bytes },
            Found::End => return Ok(None),
        }))
    }

    /// Packets that the capturer itself says it lost, as far as read.
    pub fn dropped(&self) -> u64 {
        match &self.format {
            Format::Classic(_) => 0,
            Format::Ng(ng) => ng.dropped(),
        }
    }

    /// The reader.
    pub fn reader(&self) -> &R {
        &self.window.reader
    }

    /// The reader, to change how it waits.
    pub fn reader_mut(&mut self) -> &mut R {
        &mut self.window.reader
    }

    /// Bytes of the capture that the items so far stood in.
    pub fn offset(&self) -> u64 {
        self.window.offset() + self.given as u64
    }
}
