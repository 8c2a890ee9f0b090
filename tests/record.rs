//! The proxy against real sockets on loopback.
