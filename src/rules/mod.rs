//! Rules as data: how a value is taken from a response, where it goes in a request, what feeds it.
//!
//! Parses, prints and applies rules; never searches for them. Knows neither files nor clocks.

mod extract;
mod ruleset;

pub use extract::{Extractor, ExtractorError, Lens, ResponseView};
pub use ruleset::{RuleSet, RulesError};
