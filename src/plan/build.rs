//! Builds a plan.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{BodySource, Exchange, Nanos, Origin, Remark, Session, Side};
use crate::rules::{Endpoint, RuleSet, looks_variable, occurrences, url};

use super::compile::{Slots, compile};
use super::resolve::{Resolved, each_leaf, resolve};
use super::script::{Expectation, Extraction, Plan, Script, Skipped, Step};
use super::template::VariableId;
use super::users::users;
use super::workload::{Target, Workload};

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Every virtual user needs a row of its own.
    #[error("the data file has {rows} rows, but {users} virtual users need one each")]
    TooFewRows {
        /// Rows there are.
        rows: usize,
        /// Rows needed.
        users: usize,
    },
    /// The rules bind a column that the data does not have.
    #[error("the rules need a data column `{0}`, which the data file does not have")]
    NoColumn(String),
    /// The rules need data but none was given.
    #[error("the rules need a data file with the columns {}", .0.join(", "))]
    NoData(Vec<String>),
    /// No target names an origin of the capture.
    #[error("no target matches the capture, whose origins are {}", .0.join(", "))]
    NoTarget(Vec<String>),
    /// The capture holds nothing that could be played.
    #[error("the capture holds no exchange that could be replayed")]
    Empty,
}

/// The plan for these sessions under these rules and this workload.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(
    sessions: &[Session],
    bodies: &dyn BodySource,
    rules: &RuleSet,
    workload: &Workload,
) -> Result<Plan, PlanError> {
    let (sessions, skipped) = without_asides(sessions);
    let sessions = &*sessions;
    let targets = Targets::new(sessions, &workload.targets)?;
    let mut builder = Builder { rules, targets, endpoints: Vec::new(), known: HashMap::new(), skipped };
    let mut scripts = Vec::new();
    let mut recorded_rows = Vec::new();
    for session in sessions {
        let (resolved, user) = resolve(session, bodies, rules);
        let script = builder.script(session, &resolved, user);
        if !script.steps.is_empty() {
            let row: Vec<String> = rules
                .parameters
                .iter()
                .map(|p| user.and_then(|u| p.recorded.get(u)).cloned().unwrap_or_default())
                .collect();
            recorded_rows.push(Arc::from(row));
            scripts.push((session, Arc::new(script)));
        }
    }
    if scripts.is_empty() {
        return Err(PlanError::Empty);
    }
    let users = users(&scripts, &recorded_rows, rules, workload)?;
    Ok(Plan {
        scripts: scripts.into_iter().map(|(_, script)| script).collect(),
        users,
        endpoints: builder.endpoints,
        targets: builder.targets.actual,
        columns: rules.columns(),
        skipped: builder
            .skipped
            .into_iter()
            .map(|((origin, reason), exchanges)| Skipped { origin, reason, exchanges })
            .collect(),
        unexplained: rules.unexplained.len() as u64,
        speed: workload.speed,
        iterations: workload.iterations,
        seed: workload.seed,
    })
}

/// The name under which an exchange is measured when no plan is at hand: its path folded by look alone.
pub fn endpoint_name(exchange: &Exchange) -> String {
    Endpoint::of(&exchange.request).to_string()
}

/// Exchanges that are not played: how many by origin and reason.
type Unplayed = BTreeMap<(String, String), u64>;

/// The sessions without what is no part of what their users asked for, and how much that was: it neither gives values nor
/// takes time.
fn without_asides(sessions: &[Session]) -> (Cow<'_, [Session]>, Unplayed) {
    let mut skipped = Unplayed::new();
    for exchange in sessions.iter().flat_map(|session| &session.exchanges) {
        if let Some(aside) = exchange.aside() {
            *skipped.entry((exchange.request.origin.to_string(), aside.to_string())).or_default() += 1;
        }
    }
    if skipped.is_empty() {
        return (Cow::Borrowed(sessions), skipped);
    }
    let mut rest = sessions.to_vec();
    rest.iter_mut().for_each(|session| session.exchanges.retain(|exchange| exchange.aside().is_none()));
    (Cow::Owned(rest), skipped)
}

/// Recorded origins and where their requests go.
struct Targets {
    actual: Vec<Origin>,
    by_recorded: HashMap<Origin, u32>,
    moved: Vec<(Origin, Origin)>,
}

impl Targets {
    fn new(sessions: &[Session], wanted: &[Target]) -> Result<Self, PlanError> {
        let mut counts: BTreeMap<&Origin, u64> = BTreeMap::new();
        for exchange in sessions.iter().flat_map(|s| &s.exchanges) {
            *counts.entry(&exchange.request.origin).or_default() += 1;
        }
        if counts.is_empty() {
            return Err(PlanError::Empty);
        }
        let main =
            counts.iter().max_by_key(|(origin, n)| (**n, std::cmp::Reverse(**origin))).map(|(o, _)| (*o).clone());
        let mut targets = Self { actual: Vec::new(), by_recorded: HashMap::new(), moved: Vec::new() };
        for target in wanted {
            let Some(recorded) = target.recorded.clone().or_else(|| main.clone()) else { continue };
            if !counts.contains_key(&recorded) {
                continue;
            }
            let index = targets.actual.iter().position(|o| *o == target.actual).unwrap_or_else(|| {
                targets.actual.push(target.actual.clone());
                targets.actual.len() - 1
            });
            if recorded != target.actual {
                targets.moved.push((recorded.clone(), target.actual.clone()));
            }
            targets.by_recorded.insert(recorded, u32::try_from(index).unwrap_or(u32::MAX));
        }
        if targets.actual.is_empty() {
            return Err(PlanError::NoTarget(counts.keys().map(ToString::to_string).collect()));
        }
        Ok(targets)
    }
}

struct Builder<'a> {
    rules: &'a RuleSet,
    targets: Targets,
    endpoints: Vec<String>,
    known: HashMap<String, u32>,
    skipped: Unplayed,
}

/// A bound source: this step's extraction of this rule gives the variable.
struct Bound {
    names: Vec<String>,
    /// (exchange index of the source, rule, extractor as text) → variable.
    ids: HashMap<(usize, usize, String), VariableId>,
    extractions: BTreeMap<usize, Vec<Extraction>>,
}

impl Builder<'_> {
    fn script(&mut self, session: &Session, resolved: &[Resolved], user: Option<usize>) -> Script {
        let playable: Vec<usize> =
            (0..session.exchanges.len()).filter(|i| self.plays(&session.exchanges[*i])).collect();
        let mut bound = Bound { names: Vec::new(), ids: HashMap::new(), extractions: BTreeMap::new() };
        let jar = cookies_set(session);
        let mut steps: Vec<Step> = Vec::new();
        let mut latest: HashMap<String, usize> = HashMap::new();
        let recorded_values: Vec<&str> = user.map_or_else(Vec::new, |u| {
            self.rules.parameters.iter().filter_map(|p| p.recorded.get(u)).map(String::as_str).collect()
        });
        for (position, &index) in playable.iter().enumerate() {
            let exchange = &session.exchanges[index];
            let started = exchange.timing.started;
            let before: Vec<usize> = playable[..position]
                .iter()
                .copied()
                .filter(|j| session.exchanges[*j].timing.finished <= started)
                .collect();
            let known_cookie = |name: &str| {
                let over = |j: &usize| session.exchanges[*j].timing.finished <= started;
                jar.get(&(exchange.request.origin.host.clone(), name.to_owned()))
                    .is_some_and(|set| set.iter().any(over))
            };
            let visited = |url: &str| latest.get(url).map(|at: &usize| steps[*at].request.target.clone());
            let slots = Slots {
                visited: &visited,
                rules: self.rules,
                request: &exchange.request,
                recorded_user: user,
                moved: &self.targets.moved,
                jar: &known_cookie,
            };
            let own = &resolved[index];
            let rules = self.rules;
            let mut bind = |own: &[usize], text: &str| bind(&mut bound, rules, resolved, &before, own, text);
            let template = compile(&slots, &own.leaves, &own.body, &mut bind);
            let (after, parent, gap) = dependencies(session, &playable[..position], exchange);
            let varying = varying_segments(own, &recorded_values, self.rules, exchange);
            let endpoint =
                self.endpoint(Endpoint::with_varying(&exchange.request, |i| varying.contains(&i)).to_string());
            steps.push(Step {
                exchange: exchange.id,
                endpoint,
                transaction: exchange.transaction.clone(),
                target: self.targets.by_recorded[&exchange.request.origin],
                after,
                parent,
                gap,
                recorded: exchange.timing.finished.since(started),
                request: template,
                extract: Vec::new(),
                expect: expectation(exchange, own, &recorded_values),
            });
            latest.insert(exchange.request.url(), position);
        }
        for (position, index) in playable.iter().enumerate() {
            steps[position].extract = bound.extractions.remove(index).unwrap_or_default();
        }
        Script { session: session.info.id, steps, variables: bound.names }
    }

    /// Whether an exchange is played; else counts why not.
    fn plays(&mut self, exchange: &Exchange) -> bool {
        let reason = if !self.targets.by_recorded.contains_key(&exchange.request.origin) {
            "not a target"
        } else if exchange.response.is_none() {
            "no answer was recorded"
        } else if exchange.timing.request_done.is_none() && exchange.incomplete.is_some() {
            "the request was not recorded whole"
        } else if exchange.remarks.iter().any(leaves_request_open) {
            "the request is not all in the capture"
        } else {
            return true;
        };
        *self.skipped.entry((exchange.request.origin.to_string(), reason.to_owned())).or_default() += 1;
        false
    }

    fn endpoint(&mut self, name: String) -> u32 {
        let next = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX);
        *self.known.entry(name.clone()).or_insert_with(|| {
            self.endpoints.push(name);
            next
        })
    }
}

/// The sources, among the rules that name a slot, whose recorded value stands in its `text`: the latest one that explains
/// the whole text, else the latest for each place in it. Sources must have been complete before the request began.
fn bind(
    bound: &mut Bound,
    rules: &RuleSet,
    resolved: &[Resolved],
    before: &[usize],
    own: &[usize],
    text: &str,
) -> Vec<(VariableId, std::ops::Range<usize>, Vec<crate::rules::Encoding>, String)> {
    let given_by = |j: usize| resolved[j].given.iter().filter(|g| own.contains(&g.variable));
    let sources = || before.iter().rev().flat_map(|j| given_by(*j).map(move |g| (*j, g)));
    if let Some((source, given)) = sources().find(|(_, g)| g.value == text) {
        let id = bound.variable(&rules.variables[given.variable].name, source, given);
        return vec![(id, 0..text.len(), Vec::new(), given.value.clone())];
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (source, given) in sources() {
        if seen.insert(given.value.as_str()) {
            for occurrence in occurrences(text, &given.value) {
                let id = bound.variable(&rules.variables[given.variable].name, source, given);
                found.push((id, occurrence.range, occurrence.spelling, given.value.clone()));
            }
        }
    }
    found
}

impl Bound {
    fn variable(&mut self, name: &str, source: usize, given: &super::resolve::Given) -> VariableId {
        let key = (source, given.variable, given.extractor.to_string());
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = VariableId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name.to_owned());
        self.ids.insert(key, id);
        let extraction = Extraction { variable: id, extractor: given.extractor.clone(), required: true };
        self.extractions.entry(source).or_default().push(extraction);
        id
    }
}

/// Exchanges (by index) whose responses set a cookie, by host and name.
fn cookies_set(session: &Session) -> HashMap<(String, String), Vec<usize>> {
    let mut found: HashMap<(String, String), Vec<usize>> = HashMap::new();
    for (index, exchange) in session.exchanges.iter().enumerate() {
        let Some(response) = &exchange.response else { continue };
        for field in response.headers.all("set-cookie") {
            let name = field.split(|b| *b == b'=' || *b == b';').next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).trim().to_owned();
            found.entry((exchange.request.origin.host.clone(), name)).or_default().push(index);
        }
    }
    found
}

/// The steps that had ended when this exchange began and that no other such step had waited for, the one that ended last,
/// and the pause since. `earlier` are the exchange indices of the steps so far.
fn dependencies(session: &Session, earlier: &[usize], exchange: &Exchange) -> (Vec<u32>, Option<u32>, Duration) {
    let started = exchange.timing.started;
    let over: Vec<(u32, Nanos, Nanos)> = (0u32..)
        .zip(earlier)
        .map(|(position, index)| (position, &session.exchanges[*index].timing))
        .filter(|(_, timing)| timing.finished <= started)
        .map(|(position, timing)| (position, timing.started, timing.finished))
        .collect();
    let Some(latest_start) = over.iter().map(|(_, start, _)| *start).max() else {
        let first = session.exchanges.first().map_or(started, |e| e.timing.started);
        return (Vec::new(), None, started.since(first));
    };
    let after: Vec<u32> =
        over.iter().filter(|(_, _, end)| *end > latest_start).map(|(position, _, _)| *position).collect();
    let parent = over.iter().max_by_key(|(position, _, end)| (*end, *position)).map(|(p, _, end)| (*p, *end));
    let gap = parent.map_or(Duration::ZERO, |(_, end)| started.since(end));
    (after, parent.map(|(p, _)| p), gap)
}

/// Path segments that hold a value of the recorded user or of a variable.
fn varying_segments(own: &Resolved, recorded: &[&str], rules: &RuleSet, exchange: &Exchange) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    each_leaf(&own.leaves, &mut |leaf| {
        if let Some(index) =
            leaf.path.strip_prefix("path[").and_then(|p| p.strip_suffix(']')).and_then(|p| p.parse().ok())
        {
            let of_user = recorded.iter().any(|value| !occurrences(&leaf.view.text, value).is_empty());
            let of_rule = rules
                .variables
                .iter()
                .flat_map(|v| &v.into)
                .any(|place| place.slot == leaf.path && place.endpoint.matches(&exchange.request));
            if of_user || of_rule {
                found.insert(index);
            }
        }
    });
    found
}

/// Whether what was sent cannot be known: to send something else would be made up.
fn leaves_request_open(remark: &Remark) -> bool {
    remark.leaves_out_body_of(Side::Request) || matches!(remark, Remark::UnknownField { side: Side::Request, .. })
}

fn expectation(exchange: &Exchange, own: &Resolved, recorded: &[&str]) -> Expectation {
    let response = exchange.response.as_ref();
    let status = response.map_or(0, |r| r.status);
    let target = String::from_utf8_lossy(&exchange.request.target);
    let redirect = response
        .filter(|r| (300..400).contains(&r.status))
        .and_then(|r| r.headers.text("location"))
        .and_then(|location| url::resolve_target(&target, location))
        .map(|target| fold_known(&target, recorded));
    Expectation { status, redirect, kind: own.kind.clone() }
}

/// A path with everything variable folded: what looks variable, and what holds a value of the recorded user.
fn fold_known(target: &str, recorded: &[&str]) -> String {
    let path = target.split(['?', '#']).next().unwrap_or("/");
    let varies =
        |segment: &str| looks_variable(segment) || recorded.iter().any(|v| !occurrences(segment, v).is_empty());
    path.split('/').map(|s| if varies(s) { "{}" } else { s }).collect::<Vec<_>>().join("/")
}

/// Whether a path fits a folded one (`{}` stands for any segment).
pub fn path_fits(folded: &str, path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or("/");
    let mut given = path.split('/');
    folded.split('/').all(|wanted| given.next().is_some_and(|g| wanted == "{}" || wanted == g))
        && given.next().is_none()
}
