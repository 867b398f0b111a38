//! As much of JSON Schema as our schemas use; a keyword it does not know is an error, so that no
//! schema is weaker than it looks.

use std::path::Path;

use serde_json::Value;

/// Checks each line of `text` against the schema that its `schema` field names.
#[track_caller]
pub(crate) fn check_lines(text: &str) -> Vec<Value> {
    let values: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(!values.is_empty(), "no JSON at all");
    for value in &values {
        check(value);
    }
    values
}

/// Checks one value against the schema that it names.
#[track_caller]
pub(crate) fn check(value: &Value) {
    let name = value["schema"]
        .as_str()
        .expect("every object names its schema");
    let file = name.replace('/', "-");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/schemas")
        .join(format!("{file}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let schema: Value = serde_json::from_slice(&text).unwrap();
    if let Err(why) = conforms(value, &schema, "$") {
        panic!("{name}: {why}\n{value:#}");
    }
}

const KNOWN: [&str; 12] = [
    "$schema",
    "title",
    "description",
    "type",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "oneOf",
    "minimum",
];

fn conforms(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let Some(rules) = schema.as_object() else {
        return Err(format!("{at}: a schema is an object"));
    };
    if let Some(unknown) = rules.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!(
            "{at}: the schema uses {unknown}, which is not checked"
        ));
    }
    if let Some(kind) = rules.get("type") {
        let kinds: Vec<&str> = match kind {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !kinds.iter().any(|kind| is_kind(value, kind)) {
            return Err(format!("{at}: not of type {kinds:?}"));
        }
    }
    if let Some(expected) = rules.get("const")
        && expected != value
    {
        return Err(format!("{at}: not {expected}"));
    }
    if let Some(Value::Array(all)) = rules.get("enum")
        && !all.contains(value)
    {
        return Err(format!("{at}: {value} is none of {all:?}"));
    }
    if let (Some(least), Some(number)) = (rules.get("minimum"), value.as_f64())
        && number < least.as_f64().unwrap_or(f64::MIN)
    {
        return Err(format!("{at}: less than {least}"));
    }
    if let Some(Value::Array(choices)) = rules.get("oneOf") {
        let fitting = choices
            .iter()
            .filter(|choice| conforms(value, choice, at).is_ok())
            .count();
        if fitting != 1 {
            return Err(format!("{at}: fits {fitting} of the choices"));
        }
    }
    if let (Some(items), Some(all)) = (rules.get("items"), value.as_array()) {
        for (i, item) in all.iter().enumerate() {
            conforms(item, items, &format!("{at}[{i}]"))?;
        }
    }
    object(value, rules, at)
}

fn object(value: &Value, rules: &serde_json::Map<String, Value>, at: &str) -> Result<(), String> {
    let Some(fields) = value.as_object() else {
        return Ok(());
    };
    for name in rules
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = name.as_str().unwrap_or_default();
        if !fields.contains_key(name) {
            return Err(format!("{at}: {name} is missing"));
        }
    }
    let properties = rules.get("properties").and_then(Value::as_object);
    for (name, field) in fields {
        match properties.and_then(|p| p.get(name)) {
            Some(schema) => conforms(field, schema, &format!("{at}.{name}"))?,
            None if rules.get("additionalProperties") == Some(&Value::Bool(false)) => {
                return Err(format!("{at}: {name} is not described"));
            }
            None => {}
        }
    }
    Ok(())
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}
