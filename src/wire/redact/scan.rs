//! One text: finds what is secret in it, through its encodings, and puts pseudonyms in its place.

use std::ops::Range;
use std::sync::Arc;

use super::fields::{self, Care, Language};
use super::known::Known;
use super::levels::Levels;
use super::shapes;
use super::{Redactor, base64text, permute};

/// Deepest nesting of base64 in base64.
const DEPTH: u8 = 3;

/// How a text is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) language: Language,
    /// A peer wrote it for another program to keep; else a person typed it, or the client made it, and it is believed more.
    pub(super) from_server: bool,
    /// The text starts here, it is not the rest of something.
    pub(super) begins: bool,
    /// These are the claims of a token, in which more names than elsewhere are personal.
    pub(super) claims: bool,
    pub(super) depth: u8,
}

impl Context {
    pub(super) fn of(language: Language, from_server: bool) -> Self {
        Self { language, from_server, begins: true, claims: false, depth: 0 }
    }
}

/// Claims that say who somebody is, or that make one token of many (RFC 7519, OpenID Connect Core).
const CLAIMS: &[&[u8]] = &[
    b"sub",
    b"jti",
    b"sid",
    b"nonce",
    b"oid",
    b"uid",
    b"upn",
    b"name",
    b"given_name",
    b"family_name",
    b"middle_name",
    b"nickname",
    b"preferred_username",
    b"unique_name",
    b"user_name",
    b"user_id",
    b"phone_number",
    b"at_hash",
    b"c_hash",
    b"session_state",
];

/// A text with pseudonyms.
#[derive(Debug)]
pub(super) struct Edited {
    /// As long as the text.
    pub(super) bytes: Vec<u8>,
    /// How much of it is done: nothing that is secret crosses this.
    pub(super) cut: usize,
    /// A value goes on behind the cut, as it is longer than what was held back.
    pub(super) crossed: bool,
    /// Values replaced.
    pub(super) changed: u64,
}

/// Something to replace.
#[derive(Debug)]
struct Finding {
    level: usize,
    range: Range<usize>,
    raw: Range<usize>,
    what: What,
}

impl Finding {
    /// Makes it end at `cut`.
    fn shorten(&mut self, levels: &Levels<'_>, cut: usize) {
        while self.range.end > self.range.start && self.raw.end > cut {
            self.range.end -= 1;
            self.raw = levels.raw_range(self.level, self.range.clone());
        }
        self.what = What::Value;
    }
}

#[derive(Debug)]
enum What {
    /// A value by name or look.
    Value,
    /// A value known from elsewhere.
    Known(Arc<Known>),
    /// Base64 that holds something; as it is to be.
    Base64(Vec<u8>),
}

impl Redactor {
    /// The whole text with pseudonyms.
    pub(super) fn whole(&mut self, text: &[u8], context: Context) -> Edited {
        self.edit(text, context, 0, text.len())
    }

    /// The text with pseudonyms between `from` and a cut at `limit` or shortly before. What begins before `from` was dealt with.
    pub(super) fn edit(&mut self, text: &[u8], context: Context, from: usize, limit: usize) -> Edited {
        let levels = Levels::of(text);
        let mut findings = self.values(&levels, context, from);
        for level in 0..levels.count() {
            let known = self.vault.find(levels.bytes(level));
            add(&mut findings, &levels, level, known.into_iter().map(|(range, known)| (range, What::Known(known))));
        }
        if context.depth < DEPTH {
            for level in 0..levels.count() {
                let changed = self.base64(levels.bytes(level), context);
                add(&mut findings, &levels, level, changed.into_iter().map(|(range, new)| (range, What::Base64(new))));
            }
        }
        findings.retain(|finding| finding.raw.start >= from && finding.raw.start < limit);
        let (cut, crossed) = cut_before(&findings, from, limit);
        if crossed {
            findings
                .iter_mut()
                .filter(|finding| finding.raw.end > cut)
                .for_each(|finding| finding.shorten(&levels, cut));
        }
        let mut page = Page { bytes: text.to_vec(), taken: vec![false; text.len()], changed: 0 };
        for finding in findings.iter().filter(|finding| finding.raw.end <= cut) {
            self.replace(&levels, finding, &mut page);
        }
        Edited { bytes: page.bytes, cut, crossed, changed: page.changed }
    }

    /// A text of no known structure: only what is known is replaced.
    pub(super) fn known_only(&self, bytes: &[u8], from: usize, limit: usize) -> Edited {
        let found = self.vault.find(bytes).into_iter();
        let mut findings: Vec<Finding> = found
            .map(|(range, known)| Finding { level: 0, raw: range.clone(), range, what: What::Known(known) })
            .collect();
        findings.retain(|finding| finding.raw.start >= from && finding.raw.start < limit);
        let (cut, _) = cut_before(&findings, from, limit);
        let mut out = bytes.to_vec();
        let mut changed = 0;
        for finding in findings.iter().filter(|finding| finding.raw.end <= cut) {
            if let What::Known(known) = &finding.what {
                out[finding.raw.clone()].copy_from_slice(&known.pseudonym);
                changed += 1;
            }
        }
        Edited { bytes: out, cut, crossed: false, changed }
    }

    /// Values by name, pattern and look on all levels. Those by name are known from here on.
    fn values(&mut self, levels: &Levels<'_>, context: Context, from: usize) -> Vec<Finding> {
        let mut findings = Vec::new();
        for level in 0..levels.count() {
            let text = levels.bytes(level);
            let mut named = Vec::new();
            for (range, care) in self.named(text, context) {
                let opaque = fields::is_opaque(Levels::of(&text[range.clone()]).top());
                if care == Care::Sure || !context.from_server || opaque {
                    named.push((range, opaque));
                }
            }
            let mut ranges: Vec<Range<usize>> = Vec::new();
            for (range, opaque) in named {
                if levels.raw_range(level, range.clone()).start >= from {
                    let value = text[range.clone()].to_vec();
                    let learn = opaque || !context.from_server;
                    self.replacement(&value, learn);
                }
                ranges.push(range);
            }
            for pattern in self.rules.patterns() {
                let groups = pattern.captures_iter(text).filter_map(|found| found.get(1).or(found.get(0)));
                ranges.extend(groups.map(|group| group.range()).filter(|range| !range.is_empty()));
            }
            add(&mut findings, levels, level, ranges.into_iter().map(|range| (range, What::Value)));
        }
        for level in 0..levels.count() {
            let shapes = shapes::find(levels.bytes(level), self.rules.has_national_ids());
            add(&mut findings, levels, level, shapes.into_iter().map(|(range, _)| (range, What::Value)));
        }
        findings
    }

    fn named(&mut self, text: &[u8], context: Context) -> Vec<(Range<usize>, Care)> {
        let (rules, names) = (&self.rules, &mut self.names);
        fields::find(text, context.language, context.begins, &mut |name| {
            (context.claims && CLAIMS.contains(&name)) || names.is_secret(rules, name)
        })
    }

    /// Base64 whose text has something to replace, as it is to be.
    fn base64(&mut self, text: &[u8], context: Context) -> Vec<(Range<usize>, Vec<u8>)> {
        let mut changed = Vec::new();
        for (range, inner) in base64text::find(text) {
            // What the text says is what matters here, not where it comes from.
            let context = Context { depth: context.depth + 1, begins: true, language: Language::Data, ..context };
            let edited = self.whole(&inner.text, context);
            if edited.changed > 0 {
                changed.push((range, inner.written_as(&edited.bytes)));
            }
        }
        changed
    }

    fn replace(&mut self, levels: &Levels<'_>, finding: &Finding, page: &mut Page) {
        let text = levels.bytes(finding.level);
        let raw_of = |at: usize| levels.raw_range(finding.level, at..at + 1);
        // What another finding has taken is done; the rest of this one is a value of its own.
        let mut at = finding.range.start;
        while at < finding.range.end {
            let is_free = |at: &usize| !page.is_taken(raw_of(*at));
            let free = (at..finding.range.end).take_while(is_free).count();
            if free == 0 {
                at += 1;
                continue;
            }
            let piece = at..at + free;
            at = piece.end;
            let value = &text[piece.clone()];
            let new = match &finding.what {
                What::Known(known) if piece == finding.range => known.pseudonym.to_vec(),
                What::Base64(new) if piece == finding.range => new.clone(),
                _ => self.replacement(value, false),
            };
            let raw = levels.raw_range(finding.level, piece.clone());
            let before = page.bytes[raw.clone()].to_vec();
            if !levels.overwrite(finding.level, piece.start, &new, &mut page.bytes) {
                page.bytes[raw.clone()].copy_from_slice(&before);
                let new = permute::pseudonym(&self.key, value);
                // Letters and digits for letters and digits fit into nearly every encoding; where not, most of it is written.
                let _ = levels.overwrite(finding.level, piece.start, &new, &mut page.bytes);
            }
            page.take(raw);
            page.changed += 1;
        }
    }
}

/// A text on its way to its new form.
struct Page {
    bytes: Vec<u8>,
    taken: Vec<bool>,
    changed: u64,
}

impl Page {
    fn is_taken(&self, raw: Range<usize>) -> bool {
        self.taken.get(raw).is_none_or(|places| places.contains(&true))
    }

    fn take(&mut self, raw: Range<usize>) {
        if let Some(places) = self.taken.get_mut(raw) {
            places.fill(true);
        }
    }
}

fn add(
    findings: &mut Vec<Finding>,
    levels: &Levels<'_>,
    level: usize,
    found: impl Iterator<Item = (Range<usize>, What)>,
) {
    findings.extend(found.filter(|(range, _)| !range.is_empty()).map(|(range, what)| {
        let raw = levels.raw_range(level, range.clone());
        Finding { level, range, raw, what }
    }));
}

/// The last place up to `limit` that no finding crosses; or `limit` and true when there is none, as one is too long.
fn cut_before(findings: &[Finding], from: usize, limit: usize) -> (usize, bool) {
    let mut cut = limit;
    while let Some(crossed) = findings.iter().find(|finding| finding.raw.start < cut && finding.raw.end > cut) {
        cut = crossed.raw.start;
    }
    if cut <= from && limit > from { (limit, true) } else { (cut, false) }
}
