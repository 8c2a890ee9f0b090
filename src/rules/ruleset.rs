//! The rules file: TOML that people read and edit. Printing and parsing are inverse.

use serde::Deserialize;
use toml::Spanned;

use super::endpoint::Endpoint;
use super::extract::Extractor;

/// Version of the file format; another major one is refused.
const FORMAT: u32 = 1;

/// Everything a replay must know beyond the capture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet {
    /// Values that the server gives and wants back.
    pub variables: Vec<VariableRule>,
    /// Values that the user supplies, fed from data.
    pub parameters: Vec<ParameterRule>,
    /// Values that the client makes.
    pub generators: Vec<GeneratorRule>,
    /// What varies and is known not to matter.
    pub ignored: Vec<Explained>,
    /// What looks as if it varied and could not be explained.
    pub unexplained: Vec<Unexplained>,
}

/// A slot of a request: endpoint and path of the leaf.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which requests.
    pub endpoint: Endpoint,
    /// Path of the leaf, such as `form.token` or `path[1]`.
    pub slot: String,
}

/// Where a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Which responses.
    pub endpoint: Endpoint,
    /// How it is taken.
    pub take: Extractor,
}

/// A value that a response gives and a later request must bring back.
#[derive(Clone, Debug, PartialEq)]
pub struct VariableRule {
    /// Unique name.
    pub name: String,
    /// 0 to 1: how sure it is that this is right and needed.
    pub confidence: f64,
    /// Why this rule exists, for people.
    pub evidence: String,
    /// Where it comes from; the latest that gave a value before the request counts.
    pub from: Vec<Source>,
    /// Where it goes.
    pub into: Vec<Place>,
}

/// A column of the data file and where its value goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterRule {
    /// Column of the data file.
    pub column: String,
    /// What each recorded user had, in the order of the recorded users; all parameters list the same users.
    pub recorded: Vec<String>,
    /// Why, for people.
    pub evidence: String,
    /// Where it goes.
    pub into: Vec<Place>,
}

/// Kinds of values that clients make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorKind {
    /// Random UUID (version 4).
    Uuid4,
    /// Seconds since the Unix epoch.
    UnixSeconds,
    /// Milliseconds since the Unix epoch.
    UnixMillis,
    /// UTC date and time as scripts write it: `2026-11-24T01:30:27.123Z`.
    IsoMillis,
}

impl GeneratorKind {
    /// As written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uuid4 => "uuid4",
            Self::UnixSeconds => "unix-seconds",
            Self::UnixMillis => "unix-millis",
            Self::IsoMillis => "iso-millis",
        }
    }
}

/// A value that the client makes anew each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratorRule {
    /// What kind.
    pub kind: GeneratorKind,
    /// Why, for people.
    pub evidence: String,
    /// Where it goes.
    pub into: Vec<Place>,
}

/// A slot and a remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Where.
    pub place: Place,
    /// Why it does not matter.
    pub why: String,
}

/// A value without a known source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexplained {
    /// Where.
    pub place: Place,
    /// The recorded value, shortened.
    pub example: String,
    /// Why it may matter.
    pub why: String,
}

/// What is wrong with a rules file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct RulesError {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong and what is expected.
    pub what: String,
}

impl RuleSet {
    /// Reads a rules file.
    ///
    /// # Errors
    /// With line and column, when it is not TOML, has unknown keys or values that make no sense.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let reader = Reader { text };
        let file: File = toml::from_str(text)
            .map_err(|e| reader.error(e.span().map_or(0, |s| s.start), e.message().trim().replace('\n', ", ")))?;
        if *file.format.get_ref() != FORMAT {
            let what = format!("rules format {} is not known; this version reads {FORMAT}", file.format.get_ref());
            return Err(reader.error(file.format.span().start, what));
        }
        let mut rules = Self::default();
        for v in file.variable {
            if rules.variables.iter().any(|known| known.name == *v.name.get_ref()) {
                return Err(
                    reader.error(v.name.span().start, format!("variable `{}` is there twice", v.name.get_ref()))
                );
            }
            if !(0.0..=1.0).contains(&v.confidence) {
                return Err(reader.error(v.name.span().start, "confidence is a number from 0 to 1".to_owned()));
            }
            let from = v.from.into_iter().map(|s| reader.source(s)).collect::<Result<_, _>>()?;
            rules.variables.push(VariableRule {
                name: v.name.into_inner(),
                confidence: v.confidence,
                evidence: v.evidence,
                from,
                into: reader.places(v.into)?,
            });
        }
        for p in file.parameter {
            let into = reader.places(p.into)?;
            let (column, recorded) = (p.column.into_inner(), p.recorded);
            rules.parameters.push(ParameterRule { column, recorded, evidence: p.evidence, into });
        }
        for g in file.generator {
            let into = reader.places(g.into)?;
            rules.generators.push(GeneratorRule { kind: g.kind, evidence: g.evidence, into });
        }
        for i in file.ignored {
            rules.ignored.push(Explained { place: reader.place(i.endpoint, i.slot)?, why: i.why });
        }
        for u in file.unexplained {
            let place = reader.place(u.endpoint, u.slot)?;
            rules.unexplained.push(Unexplained { place, example: u.example, why: u.why });
        }
        Ok(rules)
    }

    /// The file's text; `parse` of it gives the same rules back.
    pub fn print(&self) -> String {
        let mut out = format!(
            "# Overdub rules. Edit freely; `overdub replay --rules` says line and column of a mistake.\nformat = {FORMAT}\n"
        );
        if !self.parameters.is_empty() {
            out.push_str(
                "\n# ---- Parameters: what the user supplies, one row of the data file for each virtual user.\n",
            );
        }
        for p in &self.parameters {
            let recorded: Vec<String> = p.recorded.iter().map(|r| quote(r)).collect();
            out.push_str(&format!("\n[[parameter]]\ncolumn = {}\n", quote(&p.column)));
            out.push_str(&format!("recorded = [{}]\nevidence = {}\n", recorded.join(", "), quote(&p.evidence)));
            print_places(&mut out, &p.into);
        }
        if !self.variables.is_empty() {
            out.push_str("\n# ---- Variables: what the server gives and wants back.\n");
        }
        for v in &self.variables {
            out.push_str(&format!("\n[[variable]]\nname = {}\nconfidence = {:.2}\n", quote(&v.name), v.confidence));
            out.push_str(&format!("evidence = {}\nfrom = [\n", quote(&v.evidence)));
            for s in &v.from {
                let take = s.take.to_string();
                out.push_str(&format!(
                    "  {{ endpoint = {}, take = {} }},\n",
                    quote(&s.endpoint.to_string()),
                    quote(&take)
                ));
            }
            out.push_str("]\n");
            print_places(&mut out, &v.into);
        }
        if !self.generators.is_empty() {
            out.push_str("\n# ---- Generators: what the client makes anew.\n");
        }
        for g in &self.generators {
            out.push_str(&format!(
                "\n[[generator]]\nkind = {}\nevidence = {}\n",
                quote(g.kind.as_str()),
                quote(&g.evidence)
            ));
            print_places(&mut out, &g.into);
        }
        if !self.ignored.is_empty() {
            out.push_str("\n# ---- Ignored: varies, and is known not to matter.\n");
        }
        for i in &self.ignored {
            let (endpoint, slot) = (quote(&i.place.endpoint.to_string()), quote(&i.place.slot));
            out.push_str(&format!("\n[[ignored]]\nendpoint = {endpoint}\nslot = {slot}\nwhy = {}\n", quote(&i.why)));
        }
        if !self.unexplained.is_empty() {
            out.push_str("\n# ---- Unexplained: looks dynamic, no source found; replayed as recorded and reported by every replay.\n");
        }
        for u in &self.unexplained {
            let (endpoint, slot) = (quote(&u.place.endpoint.to_string()), quote(&u.place.slot));
            out.push_str(&format!("\n[[unexplained]]\nendpoint = {endpoint}\nslot = {slot}\n"));
            out.push_str(&format!("example = {}\nwhy = {}\n", quote(&u.example), quote(&u.why)));
        }
        out
    }

    /// Columns that the rules need of a data file, in order.
    pub fn columns(&self) -> Vec<String> {
        self.parameters.iter().map(|p| p.column.clone()).collect()
    }
}

fn print_places(out: &mut String, places: &[Place]) {
    out.push_str("into = [\n");
    for place in places {
        let (endpoint, slot) = (quote(&place.endpoint.to_string()), quote(&place.slot));
        out.push_str(&format!("  {{ endpoint = {endpoint}, slot = {slot} }},\n"));
    }
    out.push_str("]\n");
}

/// A TOML string: literal when possible (extractors are full of double quotes), else basic.
fn quote(text: &str) -> String {
    if text.contains('"') && !text.contains('\'') && !text.chars().any(char::is_control) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: Spanned<u32>,
    #[serde(default)]
    variable: Vec<FileVariable>,
    #[serde(default)]
    parameter: Vec<FileParameter>,
    #[serde(default)]
    generator: Vec<FileGenerator>,
    #[serde(default)]
    ignored: Vec<FileIgnored>,
    #[serde(default)]
    unexplained: Vec<FileUnexplained>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileVariable {
    name: Spanned<String>,
    #[serde(default = "certain")]
    confidence: f64,
    #[serde(default)]
    evidence: String,
    from: Vec<FileSource>,
    into: Vec<FilePlace>,
}

fn certain() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileParameter {
    column: Spanned<String>,
    recorded: Vec<String>,
    #[serde(default)]
    evidence: String,
    into: Vec<FilePlace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGenerator {
    kind: GeneratorKind,
    #[serde(default)]
    evidence: String,
    into: Vec<FilePlace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileIgnored {
    endpoint: Spanned<String>,
    slot: String,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileUnexplained {
    endpoint: Spanned<String>,
    slot: String,
    #[serde(default)]
    example: String,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSource {
    endpoint: Spanned<String>,
    take: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePlace {
    endpoint: Spanned<String>,
    slot: String,
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn error(&self, offset: usize, what: String) -> RulesError {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        RulesError { line, column, what }
    }

    fn endpoint(&self, text: &Spanned<String>) -> Result<Endpoint, RulesError> {
        text.get_ref().parse().map_err(|e: super::EndpointError| self.error(text.span().start, e.to_string()))
    }

    fn source(&self, source: FileSource) -> Result<Source, RulesError> {
        let endpoint = self.endpoint(&source.endpoint)?;
        let take = source.take.get_ref().parse().map_err(|e: super::ExtractorError| {
            self.error(source.take.span().start, format!("{e} of `{}`", source.take.get_ref()))
        })?;
        Ok(Source { endpoint, take })
    }

    fn place(&self, endpoint: Spanned<String>, slot: String) -> Result<Place, RulesError> {
        if slot.is_empty() {
            return Err(self.error(endpoint.span().start, "the slot of this place is empty".to_owned()));
        }
        Ok(Place { endpoint: self.endpoint(&endpoint)?, slot })
    }

    fn places(&self, places: Vec<FilePlace>) -> Result<Vec<Place>, RulesError> {
        places.into_iter().map(|p| self.place(p.endpoint, p.slot)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> RuleSet {
        let place = |slot: &str| Place { endpoint: "POST https://h/a/{}".parse().unwrap(), slot: slot.to_owned() };
        RuleSet {
            variables: vec![VariableRule {
                name: "token".into(),
                confidence: 0.5,
                evidence: "it's \"here\"\n\u{1}\\".into(),
                from: vec![Source {
                    endpoint: "GET https://h/a".parse().unwrap(),
                    take: r#"form("/a/{}", "t") | between("it's", "\n")"#.parse().unwrap(),
                }],
                into: vec![place("form.t")],
            }],
            parameters: vec![ParameterRule {
                column: "user".into(),
                recorded: vec!["bob".into()],
                evidence: String::new(),
                into: vec![place("form.u")],
            }],
            generators: vec![GeneratorRule {
                kind: GeneratorKind::UnixMillis,
                evidence: "clock".into(),
                into: vec![place("query._")],
            }],
            ignored: vec![Explained { place: place("query.x"), why: "noise".into() }],
            unexplained: vec![Unexplained { place: place("header.x"), example: "abc".into(), why: "?".into() }],
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let rules = sample();
        assert_eq!(RuleSet::parse(&rules.print()).unwrap(), rules);
        assert_eq!(RuleSet::parse("format = 1").unwrap(), RuleSet::default());
    }

    #[test]
    fn mistakes_are_reported_with_line_and_column() {
        for (text, line, column, words) in [
            ("format = 1\nvariable = 3", 2, 12, ""),
            ("format = 2", 1, 10, "not known"),
            ("format = 1\n[[variable]]\nname=\"a\"\nfrom=[]\ninto=[]\ntypo=1", 6, 1, "typo"),
            (
                "format = 1\n[[variable]]\nname = \"a\"\nfrom = [{endpoint=\"GET https://h/\", take='json(x)'}]\ninto=[]",
                4,
                42,
                "double quotes",
            ),
            ("format = 1\n[[ignored]]\nendpoint = \"GET\"\nslot = \"a\"", 3, 12, "no endpoint"),
            ("format = 1\n[[x", 2, 4, ""),
        ] {
            let error = RuleSet::parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
            assert!(error.what.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_damaged_file_never_panics() {
        let text = sample().print();
        for cut in (0..text.len()).filter(|c| text.is_char_boundary(*c)) {
            let _ = RuleSet::parse(&text[..cut]);
        }
    }
}
