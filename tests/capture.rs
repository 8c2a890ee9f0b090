//! Capture files: round trip, truncation at every byte, damage, live reading.
