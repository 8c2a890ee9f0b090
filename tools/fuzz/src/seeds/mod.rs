//! What inputs are made from: dialogues and files made in code, and what the files named on the command line hold.

pub mod dialogues;
pub mod files;
pub mod harvest;

use std::path::Path;

use crate::dialogue::Dialogue;
use crate::packets::Packet;

/// A dialogue with the key log lines it needs.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    /// Who says what.
    pub turns: Dialogue,
    /// Key log lines.
    pub keys: Vec<u8>,
}

/// Packets with the key log lines they need.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// In the order of the file.
    pub packets: Vec<Packet>,
    /// Key log lines.
    pub keys: Vec<u8>,
}

/// All seeds.
#[derive(Debug, Default)]
pub struct Seeds {
    /// In plaintext.
    pub talks: Vec<Talk>,
    /// Through TLS.
    pub sealed: Vec<Talk>,
    /// Of packet captures.
    pub tapes: Vec<Tape>,
    /// HAR files.
    pub har: Vec<Vec<u8>>,
    /// mitmproxy flow files.
    pub flows: Vec<Vec<u8>>,
    /// GoReplay files.
    pub payloads: Vec<Vec<u8>>,
    /// Bodies with a content coding.
    pub coded: Vec<(u8, Vec<u8>)>,
}

impl Seeds {
    /// Those made in code, the transcripts of this repository, and what is found below `paths`.
    pub fn gather(paths: &[impl AsRef<Path>]) -> Self {
        let mut seeds = Self {
            talks: dialogues::all(),
            har: files::har(),
            flows: files::flows(),
            payloads: files::payloads(),
            coded: files::coded(),
            ..Self::default()
        };
        harvest::transcripts(&mut seeds);
        for path in paths {
            harvest::folder(path.as_ref(), &mut seeds);
        }
        seeds
    }
}
