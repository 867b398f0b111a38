//! Charts as SVG files: bars with error bars, and cumulative latency curves. They follow the
//! reader's light or dark setting by themselves.

use std::fmt::Write;

use super::style::{VARIABLES, colour, escape, label};
use super::{rows_of, suite_mean};
use crate::model::{Row, Run};

const WIDTH: f64 = 860.0;
const LABEL: f64 = 230.0;
const BAR: f64 = 13.0;
const GAP: f64 = 14.0;
/// Longer bars are cut and say their figure: one runaway row must not flatten all others.
const CLIP: f64 = 8.0;

struct Svg {
    body: String,
    height: f64,
}

impl Svg {
    const fn new() -> Self {
        Self {
            body: String::new(),
            height: 0.0,
        }
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = escape(text);
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{text}</text>"#
        );
    }

    fn rect(&mut self, x: f64, y: f64, width: f64, fill: &str) {
        let height = BAR - 2.0;
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height}" fill="{fill}" rx="1.5"/>"#
        );
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let _ = writeln!(
            self.body,
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" class="{class}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    fn finish(self, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {h:.0}\" width=\"{WIDTH}\" height=\"{h:.0}\" role=\"img\">\n\
             <title>{t}</title>\n<style>{VARIABLES}\
             text{{font:13px system-ui,sans-serif;fill:var(--fg)}}.end{{text-anchor:end}}.mid{{text-anchor:middle}}\
             .dim{{fill:var(--dim);font-size:11px}}.head{{font-size:16px;font-weight:600}}\
             .axis{{stroke:var(--line)}}.one{{stroke:var(--fg);stroke-dasharray:3 3}}.err{{stroke:var(--fg);stroke-width:1.2}}\
             .bg{{fill:var(--bg)}}</style>\n<rect class=\"bg\" width=\"{WIDTH}\" height=\"{h:.0}\"/>\n{body}</svg>\n",
            h = self.height,
            t = escape(title),
            body = self.body
        )
    }
}

/// One bar: times better than the reference, with its interval.
struct Bar<'a> {
    target: &'a str,
    value: f64,
    interval: Option<(f64, f64)>,
    note: String,
}

fn bars_of<'a>(run: &'a Run, row: &'a Row) -> Vec<Bar<'a>> {
    run.targets
        .iter()
        .filter_map(|target| {
            let cell = row.cells.get(&target.name)?;
            let median = cell.summary?.median;
            let (value, interval) = match cell.ratio {
                Some(r) => (r.times_better, Some((r.low, r.high))),
                None if target.name == run.reference => (1.0, None),
                None => return None,
            };
            let note = format!("{} {}", super::table::number(median), row.unit.label());
            Some(Bar {
                target: &target.name,
                value,
                interval,
                note,
            })
        })
        .collect()
}

/// All rows of a suite.
pub(crate) fn rows(run: &Run, suite: &str) -> String {
    let groups: Vec<(String, Vec<Bar<'_>>)> = rows_of(run, suite)
        .into_iter()
        .map(|row| (row.row.clone(), bars_of(run, row)))
        .collect();
    grouped(
        run,
        &format!("{suite}: times better than {}", label(run, &run.reference)),
        &groups,
    )
}

/// One group of bars a suite: the chart for a README.
pub(crate) fn suites(run: &Run) -> String {
    let groups: Vec<(String, Vec<Bar<'_>>)> = run
        .suites()
        .into_iter()
        .map(|suite| {
            let bars = run
                .targets
                .iter()
                .filter_map(|t| {
                    let (value, rows) = suite_mean(run, suite, &t.name)?;
                    let note = format!("{value:.2}× over {rows} rows");
                    Some(Bar {
                        target: &t.name,
                        value,
                        interval: None,
                        note,
                    })
                })
                .collect();
            (suite.to_owned(), bars)
        })
        .collect();
    grouped(
        run,
        &format!(
            "Geometric mean over each suite, times better than {}",
            label(run, &run.reference)
        ),
        &groups,
    )
}

fn grouped(run: &Run, title: &str, groups: &[(String, Vec<Bar<'_>>)]) -> String {
    let mut svg = Svg::new();
    let largest = groups
        .iter()
        .flat_map(|(_, bars)| bars)
        .map(|b| b.value)
        .fold(1.0, f64::max);
    let limit = largest.min(CLIP) * 1.05;
    let scale = (WIDTH - LABEL - 130.0) / limit;
    svg.text(12.0, 24.0, "head", title);
    let mut x = 12.0;
    let mut y = 46.0;
    for target in &run.targets {
        let name = label(run, &target.name);
        let wide = 22.0 + name.chars().count() as f64 * 7.5;
        if x + wide > WIDTH {
            x = 12.0;
            y += 18.0;
        }
        svg.rect(x, y - 9.0, BAR - 2.0, colour(run, &target.name));
        svg.text(x + 15.0, y, "", &name);
        x += wide;
    }
    y += 18.0;
    let top = y;
    for (label, bars) in groups {
        let middle = y + bars.len() as f64 * BAR / 2.0 + 4.0;
        svg.text(LABEL - 10.0, middle.max(y + 11.0), "end", label);
        for bar in bars {
            one_bar(&mut svg, run, bar, y, scale, limit);
            y += BAR;
        }
        y += GAP;
    }
    svg.line((LABEL + scale, top - 4.0), (LABEL + scale, y - GAP), "one");
    svg.line((LABEL, top - 4.0), (LABEL, y - GAP), "axis");
    svg.text(LABEL + scale, y + 2.0, "mid dim", "1×");
    svg.height = y + 12.0;
    svg.finish(title)
}

fn one_bar(svg: &mut Svg, run: &Run, bar: &Bar<'_>, y: f64, scale: f64, limit: f64) {
    let shown = bar.value.min(limit);
    svg.rect(LABEL, y, shown * scale, colour(run, bar.target));
    if let Some((low, high)) = bar.interval {
        let (from, to) = (
            low.min(limit) * scale + LABEL,
            high.min(limit) * scale + LABEL,
        );
        let middle = y + BAR / 2.0 - 1.0;
        svg.line((from, middle), (to, middle), "err");
        svg.line((from, middle - 3.0), (from, middle + 3.0), "err");
        svg.line((to, middle - 3.0), (to, middle + 3.0), "err");
    }
    let end = bar
        .interval
        .map_or(shown, |(_, high)| high.max(bar.value).min(limit));
    let cut = if bar.value > limit {
        format!("→ {:.1}× · ", bar.value)
    } else {
        String::new()
    };
    svg.text(
        LABEL + end * scale + 6.0,
        y + BAR - 4.0,
        "dim",
        &format!("{cut}{}", bar.note),
    );
}

/// Cumulative curves of single operations, one panel a row; none if no row was timed so.
pub(crate) fn latency(run: &Run, suite: &str) -> Option<String> {
    let rows: Vec<&Row> = rows_of(run, suite)
        .into_iter()
        .filter(|row| row.cells.values().any(|c| c.latency.is_some()))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let mut svg = Svg::new();
    let title = format!("{suite}: share of operations done within a time");
    svg.text(12.0, 24.0, "head", &title);
    for (i, row) in rows.iter().enumerate() {
        let left = if i % 2 == 0 { 50.0 } else { WIDTH / 2.0 + 40.0 };
        let top = 56.0 + (i / 2) as f64 * 230.0;
        panel(&mut svg, run, row, left, top);
    }
    svg.height = 56.0 + rows.len().div_ceil(2) as f64 * 230.0;
    Some(svg.finish(&title))
}

fn panel(svg: &mut Svg, run: &Run, row: &Row, left: f64, top: f64) {
    const W: f64 = 350.0;
    const H: f64 = 160.0;
    let values = || {
        row.cells
            .values()
            .filter_map(|c| c.latency.as_ref())
            .flat_map(|d| &d.points)
    };
    let low = values()
        .map(|p| p.1)
        .fold(f64::INFINITY, f64::min)
        .max(0.05)
        .log10()
        .floor();
    let high = values()
        .map(|p| p.1)
        .fold(0.0, f64::max)
        .max(0.1)
        .log10()
        .ceil()
        .max(low + 1.0);
    let x_of = |us: f64| left + (us.max(0.01).log10() - low).max(0.0) / (high - low) * W;
    svg.text(left, top - 8.0, "", &row.row);
    svg.line((left, top + H), (left + W, top + H), "axis");
    svg.line((left, top), (left, top + H), "axis");
    for share in [0.5, 0.9, 1.0] {
        let y = top + H - share * H;
        svg.line((left, y), (left + W, y), "axis");
        svg.text(
            left - 6.0,
            y + 4.0,
            "end dim",
            &format!("{:.0}%", share * 100.0),
        );
    }
    for decade in low as i32..=high as i32 {
        let us = 10f64.powi(decade);
        let label = if us >= 1e6 {
            format!("{}s", us / 1e6)
        } else if us >= 1e3 {
            format!("{}ms", us / 1e3)
        } else {
            format!("{us}µs")
        };
        svg.text(x_of(us), top + H + 15.0, "mid dim", &label);
    }
    for target in &run.targets {
        let Some(d) = row.cells.get(&target.name).and_then(|c| c.latency.as_ref()) else {
            continue;
        };
        let points: Vec<String> = d
            .points
            .iter()
            .map(|(share, us)| format!("{:.1},{:.1}", x_of(*us), top + H - share * H))
            .collect();
        let _ = writeln!(
            svg.body,
            r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="1.8"><title>{}</title></polyline>"#,
            points.join(" "),
            colour(run, &target.name),
            escape(&label(run, &target.name))
        );
    }
}
