//! A plan becomes samples: virtual users, connections, timers. Knows neither the capture, the command line nor stdout.
