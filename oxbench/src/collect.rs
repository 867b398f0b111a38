//! Gathers the passes' figures into rows, and closes them with statistics.

use std::collections::BTreeMap;

use crate::error::CaseFailure;
use crate::model::{Cell, Failure, Row, Unit};
use crate::stats;
use crate::suites::Case;
use crate::suites::ctx::Sample;

/// Single operations kept for a distribution; more would not change the curve.
const LATENCY_LIMIT: usize = 200_000;

#[derive(Debug, Default)]
pub(crate) struct Collector {
    rows: Vec<Open>,
}

/// A row that still grows.
#[derive(Debug)]
struct Open {
    suite: &'static str,
    case: &'static str,
    row: String,
    unit: Unit,
    cells: BTreeMap<String, OpenCell>,
}

#[derive(Debug, Default)]
struct OpenCell {
    values: Vec<f64>,
    cpu: Vec<f64>,
    latency: Vec<u64>,
    remarks: Vec<String>,
    failures: Vec<Failure>,
}

impl Collector {
    pub(crate) fn add(&mut self, case: &Case, target: &str, samples: Vec<Sample>) {
        for sample in samples {
            let cell = self.cell(case, &sample.row, sample.unit, target);
            cell.values.push(sample.value);
            cell.cpu.extend(sample.daemon_cpu_s);
            let room = LATENCY_LIMIT.saturating_sub(cell.latency.len());
            cell.latency.extend(sample.latency.into_iter().take(room));
            if let Some(remark) = sample.remark
                && !cell.remarks.contains(&remark)
                && cell.remarks.len() < 8
            {
                cell.remarks.push(remark);
            }
        }
    }

    pub(crate) fn fail(
        &mut self,
        case: &Case,
        row: &str,
        unit: Unit,
        target: &str,
        pass: u32,
        failure: &CaseFailure,
    ) {
        let failure = Failure {
            pass,
            class: failure.class(),
            message: failure.to_string(),
        };
        self.cell(case, row, unit, target).failures.push(failure);
    }

    fn cell(&mut self, case: &Case, row: &str, unit: Unit, target: &str) -> &mut OpenCell {
        let found = self
            .rows
            .iter()
            .position(|r| (r.suite, r.case, r.row.as_str()) == (case.suite, case.name, row));
        let index = found.unwrap_or_else(|| {
            // Rows of one case stay together, also when a later target is the first to have one.
            let last = self
                .rows
                .iter()
                .rposition(|r| (r.suite, r.case) == (case.suite, case.name));
            let at = last.map_or(self.rows.len(), |i| i + 1);
            let open = Open {
                suite: case.suite,
                case: case.name,
                row: row.to_owned(),
                unit,
                cells: BTreeMap::new(),
            };
            self.rows.insert(at, open);
            at
        });
        self.rows[index].cells.entry(target.to_owned()).or_default()
    }

    pub(crate) fn close(self, reference: &str) -> Vec<Row> {
        self.rows
            .into_iter()
            .map(|open| close_row(open, reference))
            .collect()
    }
}

fn close_row(open: Open, reference: &str) -> Row {
    let less_is_better = open.unit.less_is_better();
    let base = open
        .cells
        .get(reference)
        .map(|cell| cell.values.clone())
        .unwrap_or_default();
    let cells = open
        .cells
        .into_iter()
        .map(|(target, mut cell)| {
            let ratio = (target != reference)
                .then(|| stats::ratio(&cell.values, &base, less_is_better, true))
                .flatten();
            let closed = Cell {
                summary: stats::summary(&cell.values),
                ratio,
                daemon_cpu_s: (!cell.cpu.is_empty()).then(|| stats::median(&cell.cpu)),
                latency: stats::distribution(&mut cell.latency),
                values: cell.values,
                remarks: cell.remarks,
                failures: cell.failures,
            };
            (target, closed)
        })
        .collect();
    Row {
        suite: open.suite.into(),
        case: open.case.into(),
        row: open.row,
        unit: open.unit,
        less_is_better,
        cells,
    }
}
