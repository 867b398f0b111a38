//! `run.json`, schema `oxbench.run/1`. Fields are only ever added; `schema/run.schema.json` is its
//! published form, and a test keeps the two together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::FailureClass;
use crate::machine::Machine;
use crate::mount::kernel::ColdMethod;
use crate::stats::{Distribution, Ratio, Summary};

pub(crate) const SCHEMA: &str = "oxbench.run/1";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) schema: String,
    pub(crate) version: String,
    pub(crate) command: Vec<String>,
    pub(crate) started: String,
    pub(crate) seconds: f64,
    pub(crate) iterations: u32,
    pub(crate) scale: f64,
    pub(crate) seed: u64,
    /// Ended by its time limit before all passes were done.
    pub(crate) cut_short: bool,
    pub(crate) machine: Machine,
    /// Why the figures deserve doubt; empty on a quiet machine.
    pub(crate) noisy: Vec<String>,
    pub(crate) cold: Option<ColdMethod>,
    /// The target that ratios are given against.
    pub(crate) reference: String,
    pub(crate) targets: Vec<TargetInfo>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TargetInfo {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) mount_command: String,
    pub(crate) mount_options: String,
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "us")]
    Micros,
    #[serde(rename = "MiB/s")]
    MibPerSecond,
    #[serde(rename = "IOPS")]
    Iops,
    #[serde(rename = "s/GiB")]
    CpuPerGib,
    #[serde(rename = "MiB")]
    Mib,
    #[serde(rename = "x")]
    Times,
    #[serde(rename = "per s")]
    PerSecond,
}

impl Unit {
    pub(crate) const fn less_is_better(self) -> bool {
        match self {
            Self::Seconds
            | Self::Micros
            | Self::CpuPerGib
            | Self::Mib
            | Self::Times
            | Self::PerSecond => true,
            Self::MibPerSecond | Self::Iops => false,
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Micros => "µs",
            Self::MibPerSecond => "MiB/s",
            Self::Iops => "IOPS",
            Self::CpuPerGib => "s/GiB",
            Self::Mib => "MiB",
            Self::Times => "×",
            Self::PerSecond => "/s",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) suite: String,
    pub(crate) case: String,
    pub(crate) row: String,
    pub(crate) unit: Unit,
    pub(crate) less_is_better: bool,
    pub(crate) cells: BTreeMap<String, Cell>,
}

impl Row {
    /// Unique within a run.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}/{}", self.suite, self.case, self.row)
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// One value a pass, in the order of the passes.
    pub(crate) values: Vec<f64>,
    pub(crate) summary: Option<Summary>,
    pub(crate) ratio: Option<Ratio>,
    /// CPU seconds of the daemon in the measured part, median.
    pub(crate) daemon_cpu_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Distribution>,
    /// For `ops`: whether each operation truly went to the daemon, or truly did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remarks: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failures: Vec<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) pass: u32,
    pub(crate) class: FailureClass,
    pub(crate) message: String,
}

impl Run {
    pub(crate) fn suites(&self) -> Vec<&str> {
        let mut suites: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !suites.contains(&row.suite.as_str()) {
                suites.push(&row.suite);
            }
        }
        suites
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = (&Row, &str, &Failure)> {
        self.rows.iter().flat_map(|row| {
            row.cells.iter().flat_map(move |(target, cell)| {
                cell.failures
                    .iter()
                    .map(move |failure| (row, target.as_str(), failure))
            })
        })
    }

    /// Failures that are findings; what was skipped is none.
    pub(crate) fn has_faults(&self) -> bool {
        self.failures()
            .any(|(_, _, f)| f.class != FailureClass::Skipped)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let head: Head =
            serde_json::from_str(text).map_err(|e| format!("not a run of oxbench: {e}"))?;
        if head.schema != SCHEMA {
            return Err(format!("schema {}, expected {SCHEMA}", head.schema));
        }
        serde_json::from_str(text).map_err(|e| format!("damaged: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_schemas_and_damage_are_told_apart() {
        assert!(Run::parse("{}").unwrap_err().starts_with("not a run"));
        assert!(
            Run::parse(r#"{"schema":"oxbench.run/2"}"#)
                .unwrap_err()
                .contains("expected oxbench.run/1")
        );
        assert!(
            Run::parse(r#"{"schema":"oxbench.run/1"}"#)
                .unwrap_err()
                .starts_with("damaged")
        );
    }

    /// Every field of `value` must be in the schema, and every required field in `value`.
    fn assert_described(
        schema: &serde_json::Value,
        part: &serde_json::Value,
        value: &serde_json::Value,
    ) {
        let part = match part["$ref"].as_str() {
            Some(path) => &schema["$defs"][path.trim_start_matches("#/$defs/")],
            None => part,
        };
        if let Some(any) = part["anyOf"].as_array() {
            if !value.is_null() {
                assert_described(schema, &any[0], value);
            }
        } else if let (Some(fields), Some(known)) =
            (value.as_object(), part["properties"].as_object())
        {
            for required in part["required"].as_array().into_iter().flatten() {
                assert!(
                    fields.contains_key(required.as_str().unwrap()),
                    "{required} is missing"
                );
            }
            for (name, field) in fields {
                assert!(known.contains_key(name), "{name} is not in the schema");
                assert_described(schema, &known[name], field);
            }
        } else if let Some(fields) = value.as_object() {
            fields
                .values()
                .for_each(|v| assert_described(schema, &part["additionalProperties"], v));
        } else if let Some(items) = value.as_array() {
            items
                .iter()
                .for_each(|v| assert_described(schema, &part["items"], v));
        } else if let Some(allowed) = part["enum"].as_array() {
            assert!(allowed.contains(value), "{value} is not allowed");
        } else if let Some(kind) = part["type"].as_str() {
            let fits = match kind {
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64(),
                "number" => value.is_number(),
                other => panic!("{other} is not used by the schema"),
            };
            assert!(fits, "{value} is no {kind}");
        }
    }

    #[test]
    fn the_published_schema_describes_a_run() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../schema/run.schema.json")).unwrap();
        let values = vec![1.0, 2.0, 3.0, 4.0];
        let cell = Cell {
            summary: crate::stats::summary(&values),
            ratio: crate::stats::ratio(&values, &values, true, true),
            daemon_cpu_s: Some(0.5),
            latency: crate::stats::distribution(&mut [1, 2, 3]),
            values,
            remarks: vec!["cached: checked".into()],
            failures: vec![Failure {
                pass: 1,
                class: FailureClass::NotMounted,
                message: "no".into(),
            }],
        };
        let row = Row {
            suite: "s".into(),
            case: "c".into(),
            row: "r".into(),
            unit: Unit::CpuPerGib,
            less_is_better: true,
            cells: [
                ("t".to_owned(), cell),
                ("empty".to_owned(), Cell::default()),
            ]
            .into(),
        };
        let target = TargetInfo {
            name: "t".into(),
            version: String::new(),
            mount_command: String::new(),
            mount_options: String::new(),
            notes: vec!["note".into()],
        };
        let run = Run {
            schema: SCHEMA.into(),
            version: "1".into(),
            command: vec!["oxbench".into()],
            started: "2026-01-01T00:00:00Z".into(),
            seconds: 1.0,
            iterations: 5,
            scale: 1.0,
            seed: 1,
            cut_short: false,
            machine: Machine::default(),
            noisy: vec!["busy".into()],
            cold: Some(ColdMethod::FadviseOnly),
            reference: "t".into(),
            targets: vec![target],
            rows: vec![row],
        };
        let json = serde_json::to_value(&run).unwrap();
        assert_described(&schema, &schema, &json);
        assert_eq!(Run::parse(&json.to_string()).unwrap().rows[0].id(), "s/c/r");
    }
}
