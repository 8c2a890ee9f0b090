//! Bytes of a layer as far as they were captured.

/// Captured bytes, and how many that were sent behind them are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice<'a> {
    pub(super) data: &'a [u8],
    pub(super) cut: u32,
}

impl<'a> Slice<'a> {
    /// Bytes that were sent.
    pub(super) fn wire_bytes(&self) -> usize {
        self.data.len().saturating_add(self.cut as usize)
    }

    /// What is behind a header of `count` bytes; `None` when not even those were captured.
    #[inline]
    pub(super) fn behind(self, count: usize) -> Option<Self> {
        Some(Self { data: self.data.get(count..)?, cut: self.cut })
    }

    /// The first `count` bytes that were sent, whatever the frame around them says: a frame may be longer (padding), and the
    /// copy of a frame in a mirror's tunnel may be shorter.
    #[inline]
    pub(super) fn first(self, count: usize) -> Self {
        match self.data.get(..count) {
            Some(data) => Self { data, cut: 0 },
            None => Self { data: self.data, cut: u32::try_from(count - self.data.len()).unwrap_or(u32::MAX) },
        }
    }

    /// The first `N` bytes.
    #[inline]
    pub(super) fn head<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.data.first_chunk()
    }

    /// The big-endian number at `at`.
    #[inline]
    pub(super) fn u16_at(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.data.get(at..)?.first_chunk()?))
    }

    /// The upper half of the first byte: the version of an IP packet.
    #[inline]
    pub(super) fn version(&self) -> Option<u8> {
        self.data.first().map(|byte| byte >> 4)
    }
}
