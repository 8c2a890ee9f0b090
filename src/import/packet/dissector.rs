//! Takes packets apart until TCP segments are left. Main type: [`Dissector`].
//!
//! Each layer is a method in the file of its kind; all of them share a [`Walk`], the way to where a packet's layers are.

use super::super::segment::Segment;
use super::census::{Census, Tunnel, Undecodable};
use super::container::Packet;
use super::fragment::Fragments;
use super::slice::Slice;
use crate::observe::streams::UnixNanos;

/// Tunnels one inside the other that are gone through.
const TUNNELS: u8 = 8;
/// Layers one inside the other that are gone through.
const LAYERS: u8 = 32;

/// How packets are read.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Leaves out segments whose TCP checksum is wrong. Off by default: on the sending machine checksums are filled in by the
    /// network card, behind the tap.
    pub verify_checksums: bool,
    /// UDP ports that carry VXLAN beside 4789 and 8472.
    pub vxlan_ports: Vec<u16>,
}

/// Turns packets into segments. Holds fragments of IP packets, within bounds.
#[derive(Debug)]
pub struct Dissector {
    pub(super) config: Config,
    pub(super) census: Census,
    pub(super) fragments: Fragments,
}

/// Where in a packet its dissection is.
pub(super) struct Walk<'s> {
    pub(super) at: UnixNanos,
    place: Place,
    pub(super) sink: &'s mut dyn FnMut(Segment<'_>),
}

/// How far inside a packet a layer is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    lane: u64,
    tunnels: u8,
    layers: u8,
}

impl Dissector {
    /// Nothing seen yet.
    pub fn new(config: Config) -> Self {
        Self { config, census: Census::default(), fragments: Fragments::default() }
    }

    /// Gives every TCP segment in `packet` to `sink`: mostly one or none; an aggregate of wireless frames has several.
    pub fn packet(&mut self, packet: &Packet<'_>, sink: &mut dyn FnMut(Segment<'_>)) {
        self.census.packets += 1;
        self.census.bytes += packet.data.len() as u64;
        let cut = packet.wire_bytes.saturating_sub(u32::try_from(packet.data.len()).unwrap_or(u32::MAX));
        let mut walk = Walk { at: packet.at, place: Place::default(), sink };
        self.link(&mut walk, packet.link, Slice { data: packet.data, cut });
    }

    /// The capture is over: fragments that still wait are counted as dropped.
    pub fn finish(&mut self) {
        self.census.fragments_dropped += self.fragments.forget();
    }

    /// What was seen so far.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// One layer further in. False, and counted, when there were too many.
    #[inline]
    pub(super) fn enter(&mut self, walk: &mut Walk<'_>) -> bool {
        walk.place.layers += 1;
        if walk.place.layers > LAYERS {
            self.census.undecodable(Undecodable::TooDeep);
            return false;
        }
        true
    }

    /// Into a tunnel. `space` tells address spaces apart and must be the same for both directions of a connection: no label
    /// that each side chooses for itself. False, and counted, when there were too many.
    pub(super) fn enter_tunnel(&mut self, walk: &mut Walk<'_>, tunnel: Tunnel, space: u64) -> bool {
        walk.place.tunnels += 1;
        if walk.place.tunnels > TUNNELS {
            self.census.undecodable(Undecodable::TooDeep);
            return false;
        }
        self.census.tunnel(tunnel);
        walk.mix(0x100 + tunnel as u64, space);
        true
    }
}

impl Walk<'_> {
    pub(super) fn lane(&self) -> u64 {
        self.place.lane
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// For the next of several packets that lie beside each other.
    pub(super) fn back_to(&mut self, place: Place) {
        self.place = place;
    }

    /// Makes an encapsulation part of the lane.
    pub(super) fn mix(&mut self, kind: u64, space: u64) {
        let mixed = (self.place.lane ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(space);
        // The finalizer of SplitMix64; 0 is the lane of no encapsulation.
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.place.lane = (mixed ^ mixed >> 31).max(1);
    }
}
