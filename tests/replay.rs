//! The engine against servers on loopback that behave and misbehave.
