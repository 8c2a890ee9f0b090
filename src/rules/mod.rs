//! Rules as data: how a value is taken from a response, where it goes in a request, what feeds it.
//!
//! Parses, prints and applies rules; never searches for them. Knows neither files nor clocks.

mod endpoint;
mod extract;
mod json_path;
mod lens;
mod occurrence;
mod ruleset;
mod script;
mod url_pattern;

pub use endpoint::{Endpoint, EndpointError, fold_path, looks_variable};
pub use extract::{Extractor, ExtractorError, ResponseView};
pub use lens::{Decoding, Lens, Text, form_key, looks_like_markup};
pub use occurrence::{Occurrence, occurrences};
pub use ruleset::{
    Explained, GeneratorKind, GeneratorRule, ParameterRule, Place, RuleSet, RulesError, Source, Unexplained,
    VariableRule,
};
pub use script::{ScriptValue, script_values};
pub use url_pattern::UrlPattern;

// The site model belongs to `wire`; plan sees it through the rules that speak of it.
pub use crate::wire::leaf::{Leaf, LeafKind, Part, fold_name, leaves};
pub use crate::wire::text::Encoding;
pub use crate::wire::{content, html, url};
