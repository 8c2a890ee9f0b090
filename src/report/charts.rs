//! Charts as inline SVG: no script, so they print, and open anywhere without a network.

use std::fmt::Write as _;

use crate::measure::{Heat, Slow};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;

/// What the horizontal axis shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Across {
    /// Time since the anchor, up to so many microseconds.
    Time(f64),
    /// Progress of each run from 0 to 1, because the runs last differently long.
    Progress,
}

/// How numbers of the vertical axis are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    /// Microseconds.
    Time,
    /// Plain numbers.
    Number,
}

/// A line with gaps.
pub(super) struct Line {
    /// CSS class: which run, which quantity.
    pub(super) class: &'static str,
    /// Name in the legend.
    pub(super) label: String,
    /// Places on the horizontal axis, in its unit, and values.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// A chart with lines, its legend below.
pub(super) fn lines(title: &str, across: Across, unit: Unit, lines: &[Line]) -> String {
    let values = lines.iter().flat_map(|l| l.points.iter().filter_map(|p| p.1));
    let top = values.fold(0.0, f64::max);
    let mut svg = String::new();
    let ticks = ticks(if top > 0.0 { top } else { 1.0 }, 5);
    let top = ticks.last().copied().unwrap_or(1.0);
    let width = match across {
        Across::Time(end) => end.max(1.0),
        Across::Progress => 1.0,
    };
    let x = |at: f64| LEFT + (WIDTH - LEFT - RIGHT) * (at / width).clamp(0.0, 1.0);
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top).clamp(0.0, 1.0);
    open(&mut svg, title);
    for tick in &ticks {
        grid_line(&mut svg, y(*tick), &label(*tick, unit));
    }
    across_axis(&mut svg, across, x);
    for line in lines {
        for stretch in stretches(&line.points) {
            let mut path = String::new();
            for (i, (at, value)) in stretch.iter().enumerate() {
                let _ = write!(path, "{}{:.1} {:.1}", if i == 0 { 'M' } else { 'L' }, x(*at), y(*value));
            }
            if let [(at, value)] = stretch[..] {
                let _ =
                    write!(svg, "<circle class='{} dot' cx='{:.1}' cy='{:.1}' r='2'/>", line.class, x(at), y(value));
            } else {
                let _ = write!(svg, "<path class='{}' d='{path}'/>", line.class);
            }
        }
    }
    svg.push_str("</svg>");
    figure(title, &svg, lines)
}

fn figure(title: &str, svg: &str, lines: &[Line]) -> String {
    let mut legend = String::new();
    for line in lines {
        let _ = write!(
            legend,
            "<span><svg class=key viewBox='0 0 22 8' aria-hidden=true><path class='{}' d='M1 4L21 4'/></svg>{}</span>",
            line.class,
            super::escape::html(&line.label)
        );
    }
    format!("<figure><figcaption>{title}</figcaption>{svg}<div class=legend>{legend}</div></figure>")
}

/// Response times as a picture: time across, latency up (by ratio), stronger where more exchanges are.
pub(super) fn heat(title: &str, heat: &Heat) -> String {
    let mut svg = String::new();
    open(&mut svg, title);
    let (columns, bands) = (heat.columns.len().max(1) as f64, heat.edges_us.len().saturating_sub(1).max(1));
    let (plot_width, plot_height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let cell = (plot_width / columns, plot_height / bands as f64);
    let end = heat.column_us as f64 * columns;
    for band in (0..=bands).step_by((bands / 4).max(1)) {
        let edge = heat.edges_us.get(band).copied().unwrap_or(0);
        grid_line(&mut svg, HEIGHT - BOTTOM - cell.1 * band as f64, &crate::compare::words::time(edge));
    }
    across_axis(&mut svg, Across::Time(end), |at| LEFT + plot_width * (at / end).clamp(0.0, 1.0));
    let most = (heat.most.max(1) as f64).ln_1p();
    for (column, counts) in heat.columns.iter().enumerate() {
        for (band, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let shade = (1.0 + 5.99 * (count as f64).ln_1p() / most).floor() as u32;
            let _ = write!(
                svg,
                "<rect class='h{}' x='{:.1}' y='{:.1}' width='{:.1}' height='{:.1}'/>",
                shade.min(6),
                LEFT + cell.0 * column as f64,
                HEIGHT - BOTTOM - cell.1 * (band + 1) as f64,
                cell.0 + 0.3,
                cell.1 + 0.3
            );
        }
    }
    svg.push_str("</svg>");
    let legend = "<span>each column is a moment, each row a latency; stronger: more exchanges</span>";
    format!("<figure><figcaption>{title}</figcaption>{svg}<div class=legend>{legend}</div></figure>")
}

/// A ratio with its interval on a scale from half to double, the margin shaded.
pub(super) fn interval(ratio: f64, ends: Option<(f64, f64)>, margin: f64, class: &str) -> String {
    let x = |ratio: f64| 60.0 + 56.0 * (ratio.max(1e-6).log2()).clamp(-1.0, 1.0);
    let mut svg = format!(
        "<svg class=interval viewBox='0 0 120 18' role=img aria-label='change on a scale from half to double'>\
         <rect class=margin x='{:.1}' y='1' width='{:.1}' height='16'/><path class=one d='M60 1L60 17'/>",
        x(1.0 / margin),
        x(margin) - x(1.0 / margin),
    );
    if let Some((low, high)) = ends {
        let _ = write!(svg, "<path class='span {class}' d='M{:.1} 9L{:.1} 9'/>", x(low), x(high));
    }
    let _ = write!(svg, "<circle class='spot {class}' cx='{:.1}' cy='9' r='3.5'/></svg>", x(ratio));
    svg
}

/// The parts of a response time as a bar; `longest_us` is the full width. What no phase accounts for stays grey.
pub(super) fn phases(slow: &Slow, longest_us: u64) -> String {
    let scale = 220.0 / longest_us.max(1) as f64;
    let mut svg = "<svg class=phases viewBox='0 0 220 14' role=img aria-label='phases'>".to_owned();
    let _ = write!(svg, "<rect class=total x='0' y='2' width='{:.1}' height='10'/>", slow.response_us as f64 * scale);
    let before = slow.response_us.saturating_sub(slow.service_us).saturating_sub(slow.lateness_us);
    let parts = [
        ("before", Some(before)),
        ("late", Some(slow.lateness_us)),
        ("connect", slow.phases.connect),
        ("tls", slow.phases.tls),
        ("send", slow.phases.send),
        ("wait", slow.phases.wait),
        ("receive", slow.phases.receive),
    ];
    let mut at = 0.0;
    for (name, us) in parts {
        let width = (us.unwrap_or(0) as f64 * scale).min(220.0 - at);
        if width > 0.0 {
            let _ = write!(svg, "<rect class='ph-{name}' x='{at:.1}' y='2' width='{width:.1}' height='10'/>");
            at += width;
        }
    }
    svg.push_str("</svg>");
    svg
}

fn open(svg: &mut String, title: &str) {
    let _ = write!(svg, "<svg class=chart viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{title}'>");
}

fn grid_line(svg: &mut String, y: f64, text: &str) {
    let (left, right, base) = (LEFT, WIDTH - RIGHT, y + 3.5);
    let _ = write!(
        svg,
        "<path class=grid d='M{left} {y:.1}L{right} {y:.1}'/><text x='{:.1}' y='{base:.1}' text-anchor=end>{text}</text>",
        LEFT - 7.0
    );
}

fn across_axis(svg: &mut String, across: Across, x: impl Fn(f64) -> f64) {
    let marks: Vec<(f64, String)> = match across {
        Across::Time(end) => {
            ticks(end, 6).into_iter().filter(|t| *t <= end).map(|t| (t, label(t, Unit::Time))).collect()
        }
        Across::Progress => (0..=4).map(|i| (f64::from(i) / 4.0, format!("{} %", i * 25))).collect(),
    };
    for (at, text) in marks {
        let at = x(at);
        let (base, tick) = (HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4.0);
        let _ = write!(svg, "<path class=tick d='M{at:.1} {base}L{at:.1} {tick}'/>");
        let _ = write!(svg, "<text x='{at:.1}' y='{:.1}' text-anchor=middle>{text}</text>", HEIGHT - 12.0);
    }
}

/// Round numbers from 0 to at least `top`, about `wanted` of them.
fn ticks(top: f64, wanted: u32) -> Vec<f64> {
    let raw = top / f64::from(wanted);
    let unit = 10.0_f64.powf(raw.log10().floor());
    let step = unit * [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|m| unit * m >= raw * 0.999).unwrap_or(10.0);
    let count = (top / step - 1e-9).ceil().clamp(1.0, 20.0) as u32;
    (0..=count).map(|i| step * f64::from(i)).collect()
}

fn label(value: f64, unit: Unit) -> String {
    let trimmed = |v: f64| {
        let text = format!("{v:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match unit {
        Unit::Number if value >= 10_000.0 => format!("{}k", trimmed(value / 1e3)),
        Unit::Number => trimmed(value),
        Unit::Time if value == 0.0 => "0".to_owned(),
        Unit::Time if value < 1e3 => format!("{} µs", trimmed(value)),
        Unit::Time if value < 1e6 => format!("{} ms", trimmed(value / 1e3)),
        Unit::Time if value < 600e6 => format!("{} s", trimmed(value / 1e6)),
        Unit::Time => format!("{} min", trimmed(value / 60e6)),
    }
}

/// The pieces of a line between its gaps.
fn stretches(points: &[(f64, Option<f64>)]) -> Vec<Vec<(f64, f64)>> {
    let known = |p: &(f64, Option<f64>)| p.1.map(|value| (p.0, value));
    points.split(|p| p.1.is_none()).filter(|s| !s.is_empty()).map(|s| s.iter().filter_map(known).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_top() {
        assert_eq!(ticks(9.3, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        for top in [1e-9, 0.37, 1.0, 7.0, 12_345.0, 3.6e9, 1e18] {
            let found = ticks(top, 5);
            assert!(found.len() <= 7 && *found.last().unwrap() >= top * 0.999, "{top}: {found:?}");
        }
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let points = [(0.0, Some(1.0)), (1.0, None), (2.0, Some(2.0)), (3.0, Some(3.0))];
        assert_eq!(stretches(&points).iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        assert!(stretches(&[]).is_empty());
    }
}
