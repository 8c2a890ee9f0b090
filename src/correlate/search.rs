//! For each value of each request: the response that gave it, and how to take it from there next time.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::{BodySource, Exchange};
use crate::rules::{Extractor, GeneratorKind, Leaf, LeafKind, Lens, Part, ResponseView, UrlPattern, occurrences};

use super::Prior;
use super::atoms::{Atom, Cache, Kind, UrlAtom, body_text};
use super::boundary;
use super::evidence::{names_agree, slot_name};
use super::generators;
use super::marks::{Mark, marks};
use super::parameters::Parameters;
use super::strength::{Strength, strength};
use super::trace::{Across, SlotValues, Trace, each, pieces};

/// Candidates that are tried before giving up on a value.
const TRIES: usize = 12;

/// What a search looks at.
pub(super) struct Context<'a> {
    /// The session.
    pub trace: &'a Trace<'a>,
    /// Its bodies.
    pub bodies: &'a dyn BodySource,
    /// What the user supplied.
    pub parameters: &'a Parameters,
    /// Number of the session.
    pub session: usize,
    /// What other sessions say.
    pub across: &'a SlotValues,
    /// Whether known names count.
    pub prior: Prior,
}

/// A value that goes from a response into a request.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    /// Session.
    pub session: usize,
    /// Exchange whose request holds it.
    pub user: usize,
    /// Path of the leaf.
    pub slot: String,
    /// The value.
    pub value: String,
    /// Exchange whose response gave it.
    pub source: usize,
    /// How it is taken.
    pub take: Extractor,
    /// Its name at the source.
    pub key: String,
    /// How unlikely a coincidence is.
    pub strength: Strength,
    /// How well source and slot fit, 0 to 100.
    pub score: i32,
    /// Whether the names of source and slot agree.
    pub named: bool,
}

/// Everything found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Correlations.
    pub edges: Vec<Edge>,
    /// Client-made values: session, exchange, slot, kind.
    pub generated: Vec<(usize, usize, String, GeneratorKind)>,
    /// Session, exchange, slot, value, why.
    pub unexplained: Vec<(usize, usize, String, String, String)>,
}

/// Searches one session.
pub(super) fn search(context: &Context<'_>, needles: &HashSet<String>, cache: &mut Cache, findings: &mut Findings) {
    let exchanges = context.trace.exchanges();
    let atoms: Vec<Vec<Atom>> = exchanges.iter().map(|e| cache.atoms(e, context.bodies, needles)).collect();
    let mut index: HashMap<&str, Vec<(usize, &Atom)>> = HashMap::new();
    for (j, own) in atoms.iter().enumerate() {
        for atom in own {
            index.entry(atom.value.as_str()).or_default().push((j, atom));
        }
    }
    let mut sent: HashMap<&str, Vec<(usize, &Leaf)>> = HashMap::new();
    for (i, leaves) in context.trace.leaves.iter().enumerate() {
        each(leaves, &mut |leaf| sent.entry(leaf.view.text.as_str()).or_default().push((i, leaf)));
    }
    let mut fields: HashMap<&str, HashSet<&str>> = HashMap::new();
    for atom in atoms.iter().flatten().filter(|a| matches!(a.kind, Kind::Field { .. })) {
        fields.entry(atom.key.as_str()).or_default().insert(atom.value.as_str());
    }
    let mut search = Search {
        context,
        index,
        sent,
        fields,
        depends: vec![false; exchanges.len()],
        explained: HashSet::new(),
        marks: marks(context.trace, context.parameters, context.session),
        verified: HashMap::new(),
        edges: Vec::new(),
    };
    for i in 0..exchanges.len() {
        let from_redirect =
            context.trace.redirected_from(i).is_some_and(|j| context.trace.creates(j) || search.depends[j]);
        search.depends[i] = from_redirect || search.target_has_parameter(i);
        for leaf in &context.trace.leaves[i] {
            search.leaf(i, leaf);
        }
        search.known_values_inside(i);
        search.rest(i, findings);
    }
    findings.edges.append(&mut search.edges);
}

pub(super) struct Search<'a, 'c> {
    pub context: &'c Context<'a>,
    pub index: HashMap<&'c str, Vec<(usize, &'c Atom)>>,
    /// Where each value was sent.
    pub sent: HashMap<&'c str, Vec<(usize, &'c Leaf)>>,
    /// Values that fields of each name were rendered with.
    pub fields: HashMap<&'c str, HashSet<&'c str>>,
    /// Exchange and value of every edge.
    explained: HashSet<(usize, String)>,
    /// Whether what an exchange answers depends on the user: its target holds user data or a correlated value, or it is
    /// where a creating request redirected to.
    pub depends: Vec<bool>,
    marks: Vec<Mark>,
    verified: HashMap<(usize, Extractor), Option<String>>,
    edges: Vec<Edge>,
}

impl Search<'_, '_> {
    pub(super) fn exchange(&self, index: usize) -> &Exchange {
        &self.context.trace.exchanges()[index]
    }

    fn target_has_parameter(&self, i: usize) -> bool {
        let mut found = false;
        each(&self.context.trace.leaves[i], &mut |leaf| {
            found |=
                leaf.part == Part::Target && self.context.parameters.in_text(self.context.session, &leaf.view.text);
        });
        found
    }

    /// Explains a leaf as a whole, else what is inside it. True when anything was found.
    fn leaf(&mut self, i: usize, leaf: &Leaf) -> bool {
        if self.is_settled(i, leaf) {
            return false;
        }
        if matches!(leaf.kind, LeafKind::Value | LeafKind::Segment) && self.whole(i, leaf, &leaf.view.text) {
            return true;
        }
        let mut found = false;
        for inside in &leaf.inside {
            found |= self.leaf(i, inside);
        }
        if !found && leaf.kind != LeafKind::Text && leaf.inside.is_empty() {
            for piece in pieces(&leaf.view.text) {
                let enough = if leaf.kind == LeafKind::Name { Strength::Weak } else { Strength::Strong };
                if strength(piece) >= enough && !self.context.parameters.in_text(self.context.session, piece) {
                    found |= self.whole(i, leaf, piece);
                }
            }
        }
        found
    }

    /// Leaves that something else takes care of: cookies of the jar, the user's own values, the origin.
    fn is_settled(&self, i: usize, leaf: &Leaf) -> bool {
        if leaf.path.starts_with("cookie.") && !leaf.path.contains(".url.") {
            return self.context.trace.jar_has(i, &leaf.name);
        }
        self.is_users_own(&leaf.view.text)
    }

    /// Whether a text is made of the user's values and words: an answer that echoes it is not its source.
    fn is_users_own(&self, text: &str) -> bool {
        let own = self.context.parameters.values(self.context.session);
        let mut rest = text.to_owned();
        for value in own.iter().filter(|v| v.chars().count() >= 3) {
            for occurrence in occurrences(&rest.clone(), value).into_iter().rev() {
                rest.replace_range(occurrence.range, " ");
            }
        }
        own.iter().any(|v| v == text)
            || (rest != text
                && rest.split(|c: char| !c.is_alphanumeric()).all(|piece| strength(piece) < Strength::Medium))
    }

    /// Looks for a source of `value`, which is the leaf's text or a piece of it.
    fn whole(&mut self, i: usize, leaf: &Leaf, value: &str) -> bool {
        let class = match strength(value) {
            Strength::Inert if self.is_short_segment(i, leaf) => Strength::Weak,
            Strength::Inert => return false,
            class => class,
        };
        let across = self.context.across.of(self.exchange(i), &leaf.path);
        if across == Across::Constant && class < Strength::Strong {
            return false;
        }
        let known_since = self.sent_unexplained(i, leaf, value, class);
        let started = self.exchange(i).timing.started;
        let mut candidates: Vec<(i32, usize, &Atom)> = Vec::new();
        for (j, atom) in self.index.get(value).into_iter().flatten() {
            let (j, atom) = (*j, *atom);
            let news = known_since.is_none_or(|first| j < first);
            if j < i && news && self.exchange(j).timing.finished <= started && !self.context.trace.is_asset(j) {
                candidates.push((self.score(i, leaf, j, atom), j, atom));
            }
        }
        candidates.sort_by_key(|(score, j, _)| (std::cmp::Reverse(*score), std::cmp::Reverse(*j)));
        let (accepted, doubtful): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|(score, j, atom)| self.accepts(i, leaf, class, across, *score, *j, atom));
        for (score, j, atom) in accepted.into_iter().take(TRIES) {
            // A field of the submitted form is unique there; anything of a list is not.
            let take = match atom.kind {
                Kind::Field { choice: false, .. } => self.extractor(j, atom).or_else(|| self.row_extractor(j, atom)),
                _ => self.row_extractor(j, atom).or_else(|| self.extractor(j, atom)),
            };
            if let Some(take) = take {
                let key = atom_key(atom, &take);
                self.edge(i, leaf, value, j, take, key, class, score);
                return true;
            }
        }
        if !self.context.trace.is_asset(i) {
            let likely: Vec<_> =
                doubtful.into_iter().filter(|(s, _, a)| self.fits_row(i, leaf, *s, a)).take(TRIES).collect();
            for (score, j, atom) in likely {
                if let Some(take) = self.row_extractor(j, atom) {
                    let key = atom_key(atom, &take);
                    self.edge(i, leaf, value, j, take, key, class, score.max(80));
                    return true;
                }
            }
        }
        class == Strength::Strong && known_since.is_none() && self.by_boundary(i, leaf, value)
    }

    /// A segment of one or two letters beside the user's own value, as in `/images/a/ab/picture-of-ann.png`: a hash of it.
    fn is_short_segment(&self, i: usize, leaf: &Leaf) -> bool {
        leaf.kind == LeafKind::Segment
            && leaf.part == Part::Target
            && leaf.view.text.len() <= 2
            && self.target_has_parameter(i)
    }

    /// The first request that sent the value before anything explained it: what the client knew then, no later answer gave
    /// it. Weak values count only in the same place.
    fn sent_unexplained(&self, i: usize, leaf: &Leaf, value: &str, class: Strength) -> Option<usize> {
        self.sent.get(value)?.iter().take_while(|(earlier, _)| *earlier < i).find_map(|(earlier, other)| {
            let same_name = !leaf.name.is_empty() && other.name == leaf.name;
            let same_place = class == Strength::Strong || other.path == leaf.path || same_name;
            (same_place && !self.explained.contains(&(*earlier, value.to_owned()))).then_some(*earlier)
        })
    }

    #[expect(clippy::too_many_arguments, reason = "these are the fields of an edge, given once")]
    fn edge(
        &mut self,
        i: usize,
        leaf: &Leaf,
        value: &str,
        j: usize,
        take: Extractor,
        key: String,
        class: Strength,
        score: i32,
    ) {
        if leaf.part == Part::Target {
            self.depends[i] = true;
        }
        let named = names_agree(&slot_name(leaf, self.exchange(i)), &key);
        self.explained.insert((i, value.to_owned()));
        self.edges.push(Edge {
            named,
            session: self.context.session,
            user: i,
            slot: leaf.path.clone(),
            value: value.to_owned(),
            source: j,
            take,
            key,
            strength: class,
            score: score.clamp(0, 100),
        });
    }

    /// The extractor for an atom, proven on the recorded response.
    fn extractor(&mut self, j: usize, atom: &Atom) -> Option<Extractor> {
        let mut lenses = atom.lenses.clone();
        if let Kind::Url(part) = &atom.kind {
            lenses.push(Lens::Url(self.pattern(j, part)?));
        }
        let extractor = Extractor(lenses);
        (self.take(j, &extractor)? == atom.value).then_some(extractor)
    }

    /// The pattern of a URL on a page: what changes from user to user matches anything.
    fn pattern(&self, j: usize, part: &UrlAtom) -> Option<UrlPattern> {
        let base = String::from_utf8_lossy(&self.exchange(j).request.target);
        let personal = self.context.parameters.in_text(self.context.session, &part.reference);
        part.pattern(&base, &|segment| self.varies(segment) || (personal && (1..=2).contains(&segment.len())))
    }

    /// The extractor for an atom of a list: out of the row that holds a value of this user.
    fn row_extractor(&mut self, j: usize, atom: &Atom) -> Option<Extractor> {
        let (last, before) = atom.lenses.split_last().map_or((None, &[][..]), |(last, before)| (Some(last), before));
        let (before, behind) = match (&atom.kind, last) {
            (Kind::Url(part), _) if !part.is_location => {
                let pattern = self.pattern(j, part)?;
                (&atom.lenses[..], Lens::Url(pattern))
            }
            (Kind::Json { in_list: true }, Some(Lens::Json(path))) => {
                let (_, rest) = path.rsplit_once(']').filter(|(_, rest)| !rest.is_empty())?;
                (before, Lens::Json(format!("${rest}")))
            }
            (Kind::Attribute, Some(lens)) => (before, lens.clone()),
            (Kind::Field { hidden: true, .. }, Some(lens)) => (before, lens.clone()),
            (Kind::Field { .. }, Some(Lens::Form(_, name))) => (before, Lens::Form("*".into(), name.clone())),
            _ => return None,
        };
        let text = body_text(self.exchange(j), self.context.bodies)?;
        let mut marks: Vec<(usize, usize, String)> = self
            .marks
            .iter()
            .filter(|mark| mark.since <= j)
            .map(|mark| (text.matches(&mark.shown).count(), usize::MAX - mark.shown.len(), mark.template.clone()))
            .filter(|(count, _, _)| *count > 0)
            .collect();
        marks.sort_unstable();
        marks.dedup();
        let extractors: Vec<Extractor> = marks
            .into_iter()
            .take(TRIES)
            .map(|(_, _, template)| {
                Extractor(before.iter().cloned().chain([Lens::Row(template), behind.clone()]).collect())
            })
            .collect();
        extractors.into_iter().find(|extractor| self.take(j, extractor).as_deref() == Some(&atom.value))
    }

    /// Whether a piece of a URL or text changes from user to user, as far as one recording tells.
    fn varies(&self, piece: &str) -> bool {
        let known = |edge: &Edge| edge.value == piece;
        strength(piece) >= Strength::Medium
            || self.context.parameters.in_text(self.context.session, piece)
            || self.edges.iter().any(known)
            || (!piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit()))
    }

    fn take(&mut self, j: usize, extractor: &Extractor) -> Option<String> {
        let key = (j, extractor.clone());
        if let Some(known) = self.verified.get(&key) {
            return known.clone();
        }
        let exchange = self.exchange(j);
        let (parameters, session) = (self.context.parameters, self.context.session);
        let user = |column: &str| -> Option<String> {
            let at = parameters.columns.iter().position(|c| c == column)?;
            parameters.values(session).get(at).cloned()
        };
        let found = exchange.response.as_ref().and_then(|response| {
            let body = if extractor.needs_body() { body_text(exchange, self.context.bodies)? } else { String::new() };
            extractor.extract(&ResponseView::new(&response.headers, body.as_bytes()), &user)
        });
        self.verified.insert(key, found.clone());
        found
    }

    /// The last resort: the text around the value in the latest answer that holds it.
    fn by_boundary(&mut self, i: usize, leaf: &Leaf, value: &str) -> bool {
        if self.context.trace.is_asset(i) || value.len() < 8 {
            return false;
        }
        let before: Vec<usize> =
            self.context.trace.before(i).filter(|j| !self.context.trace.is_asset(*j)).take(200).collect();
        for j in before {
            let Some(text) = body_text(self.exchange(j), self.context.bodies) else { continue };
            if memchr::memmem::find(text.as_bytes(), value.as_bytes()).is_none() {
                continue;
            }
            let Some(lens) = boundary::between(&text, value, &|run| self.varies(run)) else { continue };
            let take = Extractor(vec![lens]);
            if self.take(j, &take).as_deref() == Some(value) {
                let key = slot_name(leaf, self.exchange(i));
                self.edge(i, leaf, value, j, take, key, Strength::Strong, 40);
                return true;
            }
        }
        false
    }

    /// Values already explained that also stand inside other leaves of this request.
    fn known_values_inside(&mut self, i: usize) {
        let in_target: HashSet<String> = self
            .edges
            .iter()
            .filter(|e| e.user == i && (e.slot.starts_with("path[") || e.slot.starts_with("query.")))
            .map(|e| e.value.clone())
            .collect();
        let mut latest: BTreeMap<String, Edge> = BTreeMap::new();
        for edge in &self.edges {
            let unlikely = edge.strength >= Strength::Strong;
            let near = in_target.contains(&edge.value) || edge.strength == Strength::Medium;
            if unlikely || near {
                latest.insert(edge.value.clone(), edge.clone());
            }
        }
        let explained: HashSet<(String, String)> =
            self.edges.iter().filter(|e| e.user == i).map(|e| (e.slot.clone(), e.value.clone())).collect();
        let mut more = Vec::new();
        each(&self.context.trace.leaves[i], &mut |leaf| {
            let skip = !leaf.inside.is_empty() || leaf.path.starts_with("cookie.") || leaf.view.text.len() > 100_000;
            if skip || explained.iter().any(|(slot, value)| *slot == leaf.path && *value == leaf.view.text) {
                return;
            }
            for (value, edge) in &latest {
                // A short number counts only inside a name (`image-4-title`), never in another field.
                let weak = edge.strength == Strength::Weak && leaf.kind != LeafKind::Name;
                let done = explained.contains(&(leaf.path.clone(), value.clone()));
                if !weak && !done && !occurrences(&leaf.view.text, value).is_empty() {
                    more.push(Edge { user: i, slot: leaf.path.clone(), ..edge.clone() });
                }
            }
        });
        self.edges.append(&mut more);
    }

    /// What is left: values that the client made, and values nobody can explain.
    fn rest(&mut self, i: usize, findings: &mut Findings) {
        if self.context.trace.is_asset(i) {
            return;
        }
        let explained: HashSet<&str> = self.edges.iter().filter(|e| e.user == i).map(|e| e.slot.as_str()).collect();
        let session = self.context.session;
        let mut leaves: Vec<&Leaf> = Vec::new();
        each(&self.context.trace.leaves[i], &mut |leaf| leaves.push(leaf));
        for leaf in leaves {
            let text = &leaf.view.text;
            let plain = matches!(leaf.kind, LeafKind::Value | LeafKind::Segment) && leaf.inside.is_empty();
            let skip = !plain
                || explained.contains(leaf.path.as_str())
                || self.is_settled(i, leaf)
                || self.context.parameters.in_text(session, text)
                || self.is_typed(i, leaf)
                || self.context.across.of(self.exchange(i), &leaf.path) == Across::Constant
                || strength(text) < Strength::Strong;
            if skip {
                continue;
            }
            if let Some(kind) = generators::recognise(&leaf.name, text).filter(|_| self.is_used_once(text)) {
                findings.generated.push((session, i, leaf.path.clone(), kind));
                continue;
            }
            let validator = leaf.path == "header.if-none-match" || leaf.path == "header.if-modified-since";
            let holders: Vec<usize> =
                self.index.get(text.as_str()).into_iter().flatten().map(|(j, _)| *j).filter(|j| *j < i).collect();
            let from_asset = holders.iter().any(|j| self.context.trace.is_asset(*j));
            if !validator && !from_asset {
                let why = if leaf.path.starts_with("cookie.") && !self.context.trace.ever_sets_cookie(&leaf.name) {
                    "a cookie that no response of the recording set: made by a script, or from before the recording"
                } else if self
                    .sent
                    .get(text.as_str())
                    .is_some_and(|uses| uses[0].0 < i && holders.iter().all(|j| uses[0].0 <= *j))
                {
                    "the client made it: it was sent before any response held it"
                } else if holders.is_empty() {
                    "no response before this request holds the value"
                } else {
                    "a response holds the value, but nothing around it is stable enough to take it by"
                };
                findings.unexplained.push((session, i, leaf.path.clone(), text.clone(), why.to_owned()));
            }
        }
    }

    /// Whether a person typed the value: a page before offered an open field of this name, or it is a credential.
    fn is_typed(&self, i: usize, leaf: &Leaf) -> bool {
        let name = leaf.name.to_ascii_lowercase();
        let credential = ["pass", "pwd", "user", "login", "email", "otp", "pin"].iter().any(|word| name.contains(word));
        let in_form =
            leaf.path.starts_with("form.") || leaf.path.starts_with("multipart.") || leaf.path.contains("json.");
        (credential && in_form && i < usize::MAX) || leaf.path.ends_with("#filename")
    }

    fn is_used_once(&self, value: &str) -> bool {
        let uses = self.sent.get(value).into_iter().flatten().filter(|(_, leaf)| leaf.inside.is_empty());
        uses.count() == 1
    }
}

/// The name of an atom for people and for grouping.
fn atom_key(atom: &Atom, take: &Extractor) -> String {
    if let (Kind::Url(_), Some(Lens::Url(pattern))) = (&atom.kind, take.0.last()) {
        let (before, _) = pattern.as_str().split_once("{}").unwrap_or((pattern.as_str(), ""));
        let name =
            before.trim_end_matches(['/', '=', '*']).rsplit(['/', '?', '&']).find(|p| !p.is_empty() && *p != "*");
        return name.map_or_else(
            || "path".to_owned(),
            |n| if before.ends_with('=') { n.to_owned() } else { format!("{}_id", n.trim_end_matches('s')) },
        );
    }
    if atom.key.is_empty() { "value".to_owned() } else { atom.key.clone() }
}
