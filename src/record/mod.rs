//! The live proxy: relays byte for byte, records a tee. Knows neither import, rules nor replay.
