//! Results and comparisons as text, JSON and HTML, into any writer. No arithmetic happens here, and no stdout.
