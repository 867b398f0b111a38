//! The page: one file, no scripts, nothing fetched, readable from 400 px up, light and dark.

use std::fmt::Write;

use super::style::{VARIABLES, colour, escape, label};
use super::{caveats, chart, cold_words, rows_of, suite_mean, table};
use crate::model::{Cell, Row, Run};
use crate::stats::Verdict;

const STYLE: &str = include_str!("page.css");
/// As in the charts.
const CLIP: f64 = 8.0;

pub(crate) fn page(run: &Run) -> String {
    let mut body = String::new();
    head(&mut body, run);
    summary(&mut body, run);
    for suite in run.suites() {
        section(&mut body, run, suite);
    }
    failures(&mut body, run);
    about(&mut body, run);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <link rel=\"icon\" href=\"data:,\">\
         <title>oxbench {}</title><style>{VARIABLES}\n{STYLE}</style></head>\n<body><main>\n{body}</main></body></html>\n",
        escape(run.started.split('T').next().unwrap_or_default())
    )
}

fn head(out: &mut String, run: &Run) {
    let m = &run.machine;
    let _ = write!(
        out,
        "<h1>Encrypted file systems on one machine</h1><p class=\"dim\">{} · {} · {} CPUs · {} MiB · Linux {} · store on {} · {} passes, targets in turn</p>",
        escape(&run.started),
        escape(&m.cpu),
        m.cpus,
        m.memory_mib,
        escape(&m.kernel),
        escape(&m.store_fs),
        run.iterations
    );
    for reason in &run.noisy {
        let _ = write!(
            out,
            "<p class=\"bad\"><strong>NOISY</strong> {}</p>",
            escape(reason)
        );
    }
    if run.cut_short {
        out.push_str("<p class=\"bad\"><strong>CUT SHORT</strong> by the time limit</p>");
    }
    out.push_str("<p class=\"legend\">");
    for target in &run.targets {
        let _ = write!(
            out,
            "<span><i style=\"background:{}\"></i>{}</span>",
            colour(run, &target.name),
            escape(&label(run, &target.name))
        );
    }
    let _ = write!(
        out,
        "</p><p>Bars: times better than <strong>{}</strong>, whatever the unit; the thin line is the 95 % confidence interval. \
         Pale bars are within noise.</p>",
        escape(&label(run, &run.reference))
    );
}

fn summary(out: &mut String, run: &Run) {
    out.push_str("<h2 id=\"summary\">Each suite's geometric mean</h2><div class=\"rows\">");
    for suite in run.suites() {
        let _ = write!(
            out,
            "<div class=\"row\"><h3><a href=\"#{0}\">{0}</a></h3>",
            escape(suite)
        );
        let means: Vec<(&str, f64, usize)> = run
            .targets
            .iter()
            .filter_map(|t| suite_mean(run, suite, &t.name).map(|(m, n)| (t.name.as_str(), m, n)))
            .collect();
        let limit = means.iter().map(|m| m.1).fold(1.0, f64::max).min(CLIP);
        for (target, mean, rows) in means {
            bar(
                out,
                run,
                target,
                mean,
                None,
                limit,
                &format!("{mean:.2}×"),
                &format!("{rows} rows"),
                false,
            );
        }
        out.push_str("</div>");
    }
    out.push_str("</div>");
}

fn section(out: &mut String, run: &Run, suite: &str) {
    let _ = write!(
        out,
        "<h2 id=\"{0}\">{0}</h2><div class=\"rows\">",
        escape(suite)
    );
    for row in rows_of(run, suite) {
        row_bars(out, run, row);
    }
    out.push_str("</div>");
    if let Some(svg) = chart::latency(run, suite) {
        // Variables of the page, not its own copy, decide the colours: one <style> less.
        let _ = write!(
            out,
            "<details><summary>latency curves</summary><div class=\"wide\">{svg}</div></details>"
        );
    }
    table_of(out, run, suite);
}

fn row_bars(out: &mut String, run: &Run, row: &Row) {
    let unit = row.unit.label();
    let better = if row.less_is_better {
        "less is better"
    } else {
        "more is better"
    };
    let _ = write!(
        out,
        "<div class=\"row\"><h3>{} <small>{unit}, {better}</small></h3>",
        escape(&row.row)
    );
    let ratios = row
        .cells
        .values()
        .filter_map(|c| c.ratio.map(|r| r.times_better));
    let limit = ratios.fold(1.0, f64::max).min(CLIP);
    for target in &run.targets {
        let Some(cell) = row.cells.get(&target.name) else {
            continue;
        };
        match (cell.summary, cell.ratio) {
            (Some(summary), ratio) => {
                let is_reference = target.name == run.reference;
                let value = ratio.map_or(if is_reference { 1.0 } else { 0.0 }, |r| r.times_better);
                let text = format!("{} {unit}", table::number(summary.median));
                let times = ratio.map_or_else(String::new, |r| format!("{:.2}×", r.times_better));
                let noise = ratio.is_some_and(|r| r.verdict == Verdict::WithinNoise);
                let interval = ratio.map(|r| (r.low, r.high));
                bar(
                    out,
                    run,
                    &target.name,
                    value,
                    interval,
                    limit,
                    &text,
                    &times,
                    noise,
                );
            }
            (None, _) => failed(out, &label(run, &target.name), cell),
        }
    }
    out.push_str("</div>");
}

#[expect(clippy::too_many_arguments, reason = "one bar, drawn from two places")]
fn bar(
    out: &mut String,
    run: &Run,
    target: &str,
    value: f64,
    interval: Option<(f64, f64)>,
    limit: f64,
    text: &str,
    times: &str,
    noise: bool,
) {
    let percent = |v: f64| (v / limit).clamp(0.0, 1.0) * 100.0;
    let class = if noise { " noise" } else { "" };
    let _ = write!(
        out,
        "<div class=\"bar{class}\"><b>{}</b><span class=\"track\"><i style=\"width:{:.1}%;background:{}\"></i>",
        escape(&label(run, target)),
        percent(value),
        colour(run, target)
    );
    if let Some((low, high)) = interval {
        let (from, to) = (percent(low), percent(high));
        let _ = write!(
            out,
            "<u style=\"left:{from:.1}%;width:{:.1}%\"></u>",
            (to - from).max(0.3)
        );
    }
    let arrow = if value > limit { "→ " } else { "" };
    let _ = write!(
        out,
        "</span><em>{}</em><s>{arrow}{}</s></div>",
        escape(text),
        escape(times)
    );
}

fn failed(out: &mut String, target: &str, cell: &Cell) {
    let Some(failure) = cell.failures.first() else {
        return;
    };
    let _ = write!(
        out,
        "<div class=\"bar\"><b>{}</b><span class=\"bad\" title=\"{}\">{}</span></div>",
        escape(target),
        escape(&failure.message),
        table::class_word(failure.class)
    );
}

fn table_of(out: &mut String, run: &Run, suite: &str) {
    out.push_str("<details><summary>table: median [quartiles], CPU seconds of the daemon</summary><div class=\"wide\"><table><thead><tr><th>row</th>");
    for target in &run.targets {
        let _ = write!(out, "<th>{}</th>", escape(&label(run, &target.name)));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows_of(run, suite) {
        let _ = write!(
            out,
            "<tr><th>{} <small>{}</small></th>",
            escape(&row.row),
            row.unit.label()
        );
        for target in &run.targets {
            out.push_str("<td>");
            if let Some(cell) = row.cells.get(&target.name) {
                table_cell(out, cell);
            }
            out.push_str("</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div></details>");
}

fn table_cell(out: &mut String, cell: &Cell) {
    if let Some(s) = cell.summary {
        let _ = write!(
            out,
            "{} <small>[{}, {}]</small>",
            table::number(s.median),
            table::number(s.q1),
            table::number(s.q3)
        );
    }
    if let Some(cpu) = cell.daemon_cpu_s {
        let _ = write!(out, "<br><small>{} s CPU</small>", table::number(cpu));
    }
    for remark in &cell.remarks {
        let _ = write!(out, "<br><small>{}</small>", escape(remark));
    }
    if let Some(failure) = cell.failures.first() {
        let _ = write!(
            out,
            "<br><span class=\"bad\">{}</span>",
            table::class_word(failure.class)
        );
    }
}

fn failures(out: &mut String, run: &Run) {
    if run.failures().next().is_none() {
        return;
    }
    out.push_str("<h2 id=\"failures\">Failures are results</h2><ul>");
    for (row, target, failure) in run.failures() {
        let _ = write!(
            out,
            "<li><strong>{}</strong> {} (pass {}): {}</li>",
            escape(&label(run, target)),
            escape(&row.id()),
            failure.pass + 1,
            escape(&failure.message)
        );
    }
    out.push_str("</ul>");
}

fn about(out: &mut String, run: &Run) {
    let m = &run.machine;
    let _ = write!(
        out,
        "<h2 id=\"about\">How this was measured</h2><ul><li>{}</li><li>scale {}, seed {}, {:.0} s in all</li>\
         <li>load {:.2} before{}, {:.2} after; other work used {:.0} % of the CPUs before, {:.0} % after; {:.1} % of CPU time went to other guests</li>\
         <li>CPU features: {}; governor: {}</li><li>store: {}</li><li><code>{}</code></li>",
        cold_words(run),
        run.scale,
        run.seed,
        run.seconds,
        m.load_before,
        if m.stuck > 0 {
            format!(" ({} of it tasks that are stuck or frozen)", m.stuck)
        } else {
            String::new()
        },
        m.load_after,
        m.busy_before * 100.0,
        m.busy_after * 100.0,
        m.stolen * 100.0,
        escape(&m.cpu_flags.join(" ")),
        if m.governor.is_empty() {
            "not told"
        } else {
            &m.governor
        },
        escape(&m.store_options),
        escape(&run.command.join(" "))
    );
    for caveat in caveats(run) {
        let _ = write!(out, "<li>{}</li>", escape(&caveat));
    }
    out.push_str("</ul><h3>Targets</h3><dl>");
    for target in &run.targets {
        let _ = write!(
            out,
            "<dt>{}</dt><dd>{}<br><code>{}</code><br><small>{}</small>",
            escape(&label(run, &target.name)),
            escape(&target.version),
            escape(&target.mount_command),
            escape(&target.mount_options)
        );
        for note in &target.notes {
            let _ = write!(out, "<br><span class=\"bad\">{}</span>", escape(note));
        }
        out.push_str("</dd>");
    }
    out.push_str("</dl>");
}
