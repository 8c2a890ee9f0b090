//! A sparse latency histogram with the buckets of HdrHistogram: small when few values occur, exact to merge.
//!
//! Values are microseconds, clamped at one hour. In files it is a base64 HdrHistogram V2 payload (see `FORMAT.md`).
//! Main type: [`Histogram`].

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest time that can be told apart, in microseconds: one hour.
pub const CLAMP_MICROS: u64 = 3_600_000_000;

const V2_COOKIE: u32 = 0x1c84_9303 | 0x10;
const V2_HEADER_BYTES: usize = 40;

/// How finely values are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Three significant digits: error below 0.1 %.
    Fine,
    /// Two significant digits: error below 1 %.
    Coarse,
}

impl Precision {
    fn digits(self) -> u8 {
        match self {
            Self::Fine => 3,
            Self::Coarse => 2,
        }
    }

    fn of_digits(digits: u32) -> Option<Self> {
        match digits {
            3 => Some(Self::Fine),
            2 => Some(Self::Coarse),
            _ => None,
        }
    }

    /// Binary logarithm of half the number of sub-buckets.
    fn half_magnitude(self) -> u32 {
        match self {
            Self::Fine => 10,
            Self::Coarse => 7,
        }
    }

    fn index_of(self, micros: u64) -> u16 {
        let half = self.half_magnitude();
        let value = micros.min(CLAMP_MICROS);
        let bucket = 63 - half - (value | ((2 << half) - 1)).leading_zeros();
        let index = (u64::from(bucket) << half) + (value >> bucket);
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    /// Lowest and highest value of a bucket.
    fn range_of(self, index: u16) -> (u64, u64) {
        let half = self.half_magnitude();
        let (index, half_count) = (u64::from(index), 1_u64 << half);
        let bucket = (index >> half).saturating_sub(1);
        let sub = index - bucket * half_count;
        let low = sub << bucket;
        (low, low + (1 << bucket) - 1)
    }
}

/// Counts of durations in HdrHistogram buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    precision: Precision,
    /// Bucket and count, ascending, no zero counts. A single bucket saturates at 2^32.
    bars: Vec<(u16, u32)>,
    /// Buckets of values not yet in `bars`.
    pending: Vec<u16>,
    count: u64,
}

/// A bucket of a histogram with what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Lowest value, in microseconds.
    pub low_us: u64,
    /// Highest value, in microseconds.
    pub high_us: u64,
    /// How many values.
    pub count: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new(precision: Precision) -> Self {
        Self { precision, bars: Vec::new(), pending: Vec::new(), count: 0 }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        self.record_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts one duration given in microseconds.
    pub fn record_micros(&mut self, micros: u64) {
        self.pending.push(self.precision.index_of(micros));
        self.count = self.count.saturating_add(1);
        if self.pending.len() >= self.bars.len().max(64) {
            self.settle();
        }
    }

    /// Adds all counts of `other`; one of finer precision loses the extra digit.
    pub fn merge(&mut self, other: &Self) {
        self.settle();
        let theirs = other.settled();
        let converted: Vec<(u16, u32)>;
        let theirs = if other.precision == self.precision {
            &*theirs
        } else {
            converted = theirs
                .iter()
                .map(|&(index, count)| (self.precision.index_of(other.precision.range_of(index).0), count))
                .collect();
            &converted
        };
        self.bars = sum(&self.bars, theirs);
        self.count = self.count.saturating_add(other.count);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest value such that the share `quantile` (0 to 1) of all values is at most that, to the upper end of its
    /// bucket, in microseconds; none when the histogram is empty. The same definition as HdrHistogram's.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let wanted = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0_u64;
        let bars = self.settled();
        for &(index, count) in bars.iter() {
            seen = seen.saturating_add(u64::from(count));
            if seen >= wanted {
                return Some(self.precision.range_of(index).1);
            }
        }
        bars.last().map(|&(index, _)| self.precision.range_of(index).1)
    }

    /// The largest value, to the upper end of its bucket, in microseconds.
    pub fn max(&self) -> Option<u64> {
        self.quantile(1.0)
    }

    /// Buckets that are not empty, ascending.
    pub fn bars(&self) -> Vec<Bar> {
        let bars = self.settled();
        bars.iter()
            .map(|&(index, count)| {
                let (low_us, high_us) = self.precision.range_of(index);
                Bar { low_us, high_us, count: u64::from(count) }
            })
            .collect()
    }

    /// Moves pending values into their buckets.
    pub fn settle(&mut self) {
        if !self.pending.is_empty() {
            self.bars = self.settled().into_owned();
            self.pending.clear();
        }
    }

    fn settled(&self) -> Cow<'_, [(u16, u32)]> {
        if self.pending.is_empty() {
            return Cow::Borrowed(&self.bars);
        }
        let mut pending = self.pending.clone();
        pending.sort_unstable();
        let mut new: Vec<(u16, u32)> = Vec::with_capacity(pending.len());
        for index in pending {
            match new.last_mut() {
                Some(last) if last.0 == index => last.1 = last.1.saturating_add(1),
                _ => new.push((index, 1)),
            }
        }
        Cow::Owned(sum(&self.bars, &new))
    }

    /// The HdrHistogram V2 payload.
    fn to_v2(&self) -> Option<Vec<u8>> {
        let high = self.max().unwrap_or(2).max(2);
        let mut dense = hdrhistogram::Histogram::<u64>::new_with_max(high, self.precision.digits()).ok()?;
        for bar in self.bars() {
            dense.record_n(bar.low_us, bar.count).ok()?;
        }
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&dense, &mut bytes).ok()?;
        Some(bytes)
    }

    /// Reads a payload; none when it is not a V2 payload with two or three digits that starts at 1.
    fn from_v2(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        let counts = bytes.get(V2_HEADER_BYTES..)?;
        let sound = word(0)? == V2_COOKIE
            && usize::try_from(word(4)?).ok()? == counts.len()
            && word(8)? == 0
            && long(16)? == 1
            && long(32)? == 1.0_f64.to_bits();
        let precision = Precision::of_digits(word(12)?).filter(|_| sound)?;
        let limit = u64::from(precision.index_of(CLAMP_MICROS));
        let mut histogram = Self::new(precision);
        let (mut rest, mut index) = (counts, 0_u64);
        while !rest.is_empty() {
            let number = zigzag(varint(&mut rest)?);
            if number < 0 {
                index = index.checked_add(number.unsigned_abs())?;
                continue;
            }
            if number > 0 {
                if index > limit {
                    return None;
                }
                let bar = (u16::try_from(index).ok()?, u32::try_from(number).ok()?);
                histogram.bars.push(bar);
                histogram.count = histogram.count.checked_add(u64::from(bar.1))?;
            }
            index = index.checked_add(1)?;
        }
        Some(histogram)
    }
}

/// LEB128 of at most nine bytes, the last of which has eight bits of value.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for position in 0..9 {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        if position == 8 {
            return Some(value | (u64::from(byte) << 56));
        }
        value |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn zigzag(encoded: u64) -> i64 {
    (encoded >> 1).cast_signed() ^ -((encoded & 1).cast_signed())
}

fn sum(a: &[(u16, u32)], b: &[(u16, u32)]) -> Vec<(u16, u32)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(&&x), Some(&&y)) = (left.peek(), right.peek()) {
        if x.0 <= y.0 {
            left.next();
        }
        if y.0 <= x.0 {
            right.next();
        }
        push(
            &mut out,
            match x.0.cmp(&y.0) {
                std::cmp::Ordering::Less => x,
                std::cmp::Ordering::Greater => y,
                std::cmp::Ordering::Equal => (x.0, x.1.saturating_add(y.1)),
            },
        );
    }
    left.chain(right).for_each(|&bar| push(&mut out, bar));
    out
}

/// Appends a bar, adding to the last one when it is the same bucket (two fine buckets can fall into one coarse).
fn push(out: &mut Vec<(u16, u32)>, bar: (u16, u32)) {
    match out.last_mut() {
        Some(last) if last.0 == bar.0 => last.1 = last.1.saturating_add(bar.1),
        _ => out.push(bar),
    }
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.precision == other.precision && self.count == other.count && self.settled() == other.settled()
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.to_v2().ok_or_else(|| serde::ser::Error::custom("a histogram cannot be encoded"))?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        Self::from_v2(&bytes).ok_or_else(|| serde::de::Error::custom("not a histogram payload"))
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer as Reference;

    use super::*;

    /// A fixed pseudo-random sequence (SplitMix64), spread over six decades.
    fn values(n: u64) -> Vec<u64> {
        (0..n)
            .map(|i| {
                let mut z = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (z >> 31);
                z % 10_u64.pow(u32::try_from(i % 7).unwrap() + 2)
            })
            .collect()
    }

    #[test]
    fn quantiles_equal_those_of_the_reference_implementation() {
        for precision in [Precision::Fine, Precision::Coarse] {
            let mut ours = Histogram::new(precision);
            let mut reference = hdrhistogram::Histogram::<u64>::new_with_max(CLAMP_MICROS, precision.digits()).unwrap();
            for value in values(20_000) {
                ours.record_micros(value);
                reference.record(value).unwrap();
            }
            for step in 1..=1000 {
                let q = f64::from(step) / 1000.0;
                assert_eq!(ours.quantile(q), Some(reference.value_at_quantile(q)), "{precision:?} {q}");
            }
            assert_eq!(ours.count(), 20_000);
        }
    }

    #[test]
    fn the_payload_is_read_by_the_reference_implementation_and_by_us() {
        let mut ours = Histogram::new(Precision::Fine);
        values(5_000).into_iter().for_each(|v| ours.record_micros(v));
        let bytes = ours.to_v2().unwrap();
        let reference: hdrhistogram::Histogram<u64> = Reference::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(reference.len(), 5_000);
        assert_eq!(Some(reference.value_at_quantile(0.9)), ours.quantile(0.9));
        assert_eq!(Histogram::from_v2(&bytes), Some(ours));
    }

    #[test]
    fn merging_is_the_same_as_recording_everything_in_one() {
        let (mut all, mut odd, mut even) =
            (Histogram::new(Precision::Fine), Histogram::new(Precision::Fine), Histogram::new(Precision::Fine));
        for (i, value) in values(3_001).into_iter().enumerate() {
            all.record_micros(value);
            if i % 2 == 0 { &mut even } else { &mut odd }.record_micros(value);
        }
        even.merge(&odd);
        assert_eq!(even, all);
    }

    #[test]
    fn a_fine_histogram_merged_into_a_coarse_one_is_as_if_recorded_there() {
        let (mut coarse, mut fine, mut direct) =
            (Histogram::new(Precision::Coarse), Histogram::new(Precision::Fine), Histogram::new(Precision::Coarse));
        for value in values(3_000) {
            fine.record_micros(value);
            direct.record_micros(value);
        }
        coarse.merge(&fine);
        assert_eq!(coarse, direct);
    }

    #[test]
    fn times_beyond_an_hour_are_clamped_and_nothing_is_lost() {
        let mut histogram = Histogram::new(Precision::Fine);
        histogram.record(Duration::from_secs(86_400));
        histogram.record_micros(u64::MAX);
        assert_eq!(histogram.count(), 2);
        let max = histogram.max().unwrap();
        assert!((CLAMP_MICROS..CLAMP_MICROS + CLAMP_MICROS / 1000).contains(&max), "{max}");
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles_and_survives_the_file() {
        let empty = Histogram::new(Precision::Coarse);
        assert_eq!(empty.quantile(0.5), None);
        assert_eq!(Histogram::from_v2(&empty.to_v2().unwrap()), Some(empty));
    }

    #[test]
    fn cut_or_altered_payloads_are_refused_or_read_but_never_panic() {
        let mut histogram = Histogram::new(Precision::Fine);
        values(200).into_iter().for_each(|v| histogram.record_micros(v));
        let bytes = histogram.to_v2().unwrap();
        for len in 0..bytes.len() {
            assert_eq!(Histogram::from_v2(&bytes[..len]), None, "cut at {len}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[at] ^= 1 << bit;
                if let Some(read) = Histogram::from_v2(&altered) {
                    assert!(read.quantile(0.5).is_some());
                }
            }
        }
        // A run of zeros of length 2^63, which overflows when negated.
        let mut huge = bytes[..V2_HEADER_BYTES].to_vec();
        huge.extend_from_slice(&[0xff; 9]);
        huge[4..8].copy_from_slice(&9_u32.to_be_bytes());
        assert_eq!(Histogram::from_v2(&huge).map(|h| h.count()), Some(0));
    }
}
