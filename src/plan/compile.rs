//! One recorded request becomes a template: literal bytes and holes.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{Origin, Request};
use crate::rules::{Encoding, Leaf, LeafKind, Part, RuleSet, occurrences};

use super::template::{BodyTemplate, ColumnId, Generator, Piece, Template, VariableId};

/// Answers what a slot is filled with; made by the builder for one step.
pub(super) struct Slots<'a> {
    /// The rules.
    pub rules: &'a RuleSet,
    /// The request.
    pub request: &'a Request,
    /// Recorded value of each column of this session's user, in the order of the rules' parameters.
    pub recorded_user: Option<usize>,
    /// Recorded and actual origins that differ.
    pub moved: &'a [(Origin, Origin)],
    /// Names of cookies that responses before this request have set (the jar has them).
    pub jar: &'a dyn Fn(&str) -> bool,
    /// The target template of the latest earlier step with this recorded URL.
    pub visited: &'a dyn Fn(&str) -> Option<Vec<Piece>>,
}

/// A hole in a part of the request.
#[derive(Clone, Debug)]
struct Hole {
    part: Part,
    raw: Range<usize>,
    piece: Piece,
}

/// Finds, for the variable rules (by index) that name a slot and the text there, the sources to use: where in the text
/// their recorded values stand.
pub(super) type Bind<'a> = dyn FnMut(&[usize], &str) -> Vec<(VariableId, Range<usize>, Vec<Encoding>, String)> + 'a;

/// Fields that the engine writes itself or that belong to one connection only.
const NOT_REPLAYED: &[&str] = &[
    "host",
    "content-length",
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "keep-alive",
    "transfer-encoding",
    "te",
    "upgrade",
    "expect",
    "trailer",
];

/// The template of a request. `bind` looks variables up; see [`Bind`].
pub(super) fn compile(slots: &Slots<'_>, leaves: &[Leaf], body: &[u8], bind: &mut Bind<'_>) -> Template {
    let mut holes: Vec<Hole> = Vec::new();
    for leaf in leaves {
        collect(slots, leaf, bind, &mut holes);
    }
    let request = slots.request;
    let mut headers = Vec::new();
    for (index, (name, value)) in request.headers.0.iter().enumerate() {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        if NOT_REPLAYED.contains(&lower.as_str()) {
            continue;
        }
        let pieces = match lower.as_str() {
            "cookie" => cookie_pieces(slots, index, value, &holes),
            "referer" | "origin" => page_pieces(slots, value),
            _ => pieces_of(value, Part::Header(index), 0..value.len(), &holes),
        };
        if lower != "cookie" || !pieces.is_empty() {
            headers.push((name.clone(), pieces));
        }
    }
    Template {
        method: request.method.clone(),
        target: pieces_of(&request.target, Part::Target, 0..request.target.len(), &holes),
        headers,
        body: if body.is_empty() {
            BodyTemplate::None
        } else {
            BodyTemplate::Pieces(pieces_of(body, Part::Body, 0..body.len(), &holes))
        },
    }
}

/// `Referer` and `Origin` name pages of this user: what an earlier step's target was filled with, they are filled with.
fn page_pieces(slots: &Slots<'_>, value: &[u8]) -> Vec<Piece> {
    let text = String::from_utf8_lossy(value);
    let moved = |url: &str| {
        let fits = |(from, _): &&(Origin, Origin)| {
            url.strip_prefix(&from.to_string()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        slots
            .moved
            .iter()
            .find(fits)
            .map_or_else(|| url.to_owned(), |(from, to)| url.replacen(&from.to_string(), &to.to_string(), 1))
    };
    if let Some(target) = (slots.visited)(&text) {
        let origin = text.find("://").map_or(0, |i| i + 3);
        let end = text[origin..].find('/').map_or(text.len(), |i| origin + i);
        let mut pieces = vec![Piece::Literal(moved(&text[..end]).into_bytes().into())];
        pieces.extend(target);
        return pieces;
    }
    vec![Piece::Literal(moved(&text).into_bytes().into())]
}

/// The cookies that no response has set, with their holes.
fn cookie_pieces(slots: &Slots<'_>, index: usize, value: &[u8], holes: &[Hole]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for cookie in value.split(|b| *b == b';') {
        let lead = cookie.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let name = cookie[lead..].split(|b| *b == b'=').next().unwrap_or_default();
        if cookie.len() > lead && !(slots.jar)(&String::from_utf8_lossy(name)) {
            if !pieces.is_empty() {
                pieces.push(Piece::Literal(b"; ".as_slice().into()));
            }
            pieces.extend(pieces_of(value, Part::Header(index), start + lead..start + cookie.len(), holes));
        }
        start += cookie.len() + 1;
    }
    pieces
}

/// The bytes of `raw[range]` with the holes of this part.
fn pieces_of(raw: &[u8], part: Part, range: Range<usize>, holes: &[Hole]) -> Vec<Piece> {
    let mut own: Vec<&Hole> =
        holes.iter().filter(|h| h.part == part && h.raw.start >= range.start && h.raw.end <= range.end).collect();
    own.sort_by_key(|h| h.raw.start);
    let mut pieces = Vec::new();
    let mut at = range.start;
    for hole in own {
        if hole.raw.start > at {
            pieces.push(Piece::Literal(Arc::from(&raw[at..hole.raw.start])));
        }
        pieces.push(hole.piece.clone());
        at = hole.raw.end;
    }
    if range.end > at {
        pieces.push(Piece::Literal(Arc::from(&raw[at..range.end])));
    }
    pieces
}

fn collect(slots: &Slots<'_>, leaf: &Leaf, bind: &mut Bind<'_>, holes: &mut Vec<Hole>) {
    if let Some(coding) = leaf.island {
        let mut inner_holes = Vec::new();
        fill(slots, leaf, bind, &mut inner_holes);
        if !inner_holes.is_empty() {
            let text = leaf.view.text.as_bytes();
            let inner = pieces_of(text, leaf.part, 0..text.len(), &inner_holes);
            push(
                holes,
                Hole { part: leaf.part, raw: leaf.span.clone(), piece: Piece::Group { encode: coding, inner } },
            );
        }
        return;
    }
    fill(slots, leaf, bind, holes);
    for inside in &leaf.inside {
        collect(slots, inside, bind, holes);
    }
}

/// Adds a hole unless it overlaps one that is there already.
fn push(holes: &mut Vec<Hole>, hole: Hole) {
    let overlaps = |h: &Hole| h.part == hole.part && h.raw.start < hole.raw.end && hole.raw.start < h.raw.end;
    if !hole.raw.is_empty() && !holes.iter().any(overlaps) {
        holes.push(hole);
    }
}

/// The holes of one leaf: origins that moved, variables, generated values, columns; whoever comes first has the place.
fn fill(slots: &Slots<'_>, leaf: &Leaf, bind: &mut Bind<'_>, holes: &mut Vec<Hole>) {
    let text = &leaf.view.text;
    let spelled =
        |spelling: &[Encoding]| -> Vec<Encoding> { spelling.iter().chain(&leaf.view.coding).copied().collect() };
    let hole = |range: Range<usize>, piece: Piece| Hole { part: leaf.part, raw: leaf.view.raw_range(range), piece };
    let here = |places: &[crate::rules::Place]| {
        places.iter().any(|p| p.slot == leaf.path && p.endpoint.matches(slots.request))
    };
    if leaf.kind != LeafKind::Segment {
        for (recorded, actual) in slots.moved {
            for (from, to) in [(recorded.to_string(), actual.to_string()), (recorded.authority(), actual.authority())] {
                for (start, _) in text.match_indices(&from) {
                    let written = Encoding::encode_all(&leaf.view.coding, &to);
                    push(holes, hole(start..start + from.len(), Piece::Literal(written.into_bytes().into())));
                }
            }
        }
    }
    let variables: Vec<usize> =
        slots.rules.variables.iter().enumerate().filter(|(_, rule)| here(&rule.into)).map(|(index, _)| index).collect();
    if !variables.is_empty() {
        for (id, range, spelling, recorded) in bind(&variables, text) {
            push(holes, hole(range, Piece::Variable { id, encode: spelled(&spelling), recorded }));
        }
    }
    for rule in slots.rules.generators.iter().filter(|r| here(&r.into)) {
        let generator: Generator = rule.kind;
        push(holes, hole(0..text.len(), Piece::Generated { generator, encode: spelled(&[]) }));
    }
    let Some(user) = slots.recorded_user else { return };
    let mut columns: Vec<(u32, &str)> = Vec::new();
    for (index, rule) in (0u32..).zip(&slots.rules.parameters) {
        if let Some(recorded) = rule.recorded.get(user).filter(|r| here(&rule.into) && !r.is_empty()) {
            columns.push((index, recorded));
        }
    }
    // A longer value first: `bob1` is not `bob` with a 1 behind.
    columns.sort_by_key(|(index, recorded)| (usize::MAX - recorded.len(), *index));
    for (index, recorded) in columns {
        let found = occurrences(text, recorded);
        if found.is_empty() && recorded.starts_with(text.as_str()) && text.chars().count() >= 3 {
            let prefix = Encoding::Prefix(u16::try_from(text.chars().count()).unwrap_or(u16::MAX));
            push(holes, hole(0..text.len(), Piece::Column { id: ColumnId(index), encode: spelled(&[prefix]) }));
        }
        for occurrence in found {
            let encode = spelled(&occurrence.spelling);
            push(holes, hole(occurrence.range, Piece::Column { id: ColumnId(index), encode }));
        }
    }
}
