//! Runs and comparisons as text, JSON and one offline HTML page, written into any `io::Write`.
//!
//! Prints numbers that `measure` and `compare` have computed and computes none but places on the page. Every captured
//! string is escaped for where it goes.

mod charts;
mod escape;
mod html;
mod json;
mod markdown;
mod sections;
#[cfg(test)]
mod tests;
mod text;

pub use escape::{html as escape_html, terminal as escape_terminal};
pub use html::{Against, html};
pub use json::json;
pub use markdown::markdown;
pub use text::{run_text, text};
