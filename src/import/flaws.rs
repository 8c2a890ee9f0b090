//! Pieces of a file that an import had to leave out: all are counted, the first are described.

/// Most that are described.
const DESCRIBED: usize = 20;

/// What could not be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// How many pieces.
    pub count: u64,
    /// The first of them, with the byte at which they begin and the reason.
    pub first: Vec<(u64, String)>,
}

impl Flaws {
    /// One more, which begins at `byte`.
    pub(super) fn add(&mut self, byte: u64, why: &str) {
        self.count += 1;
        if self.first.len() < DESCRIBED {
            self.first.push((byte, why.to_owned()));
        }
    }
}
