//! What a codec states about itself and its parameters.

use serde_json::{Map, Value, json};
use strait_sdk::{ParamKind, ParamSpec};

use super::Trial;
use crate::subject::End;

pub(super) fn describes_itself(trial: &Trial) -> Result<(), String> {
    let facts = &trial.facts;
    let valid = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    if facts.id.is_empty() || !facts.id.bytes().all(valid) {
        return Err(format!("id: expected letters a-z, digits, `.` and `-`, found `{}`", facts.id));
    }
    if facts.summary.trim().is_empty() || facts.summary.contains('\n') {
        return Err(format!("summary: expected one line, found `{}`", facts.summary));
    }
    if !facts.paper.is_empty() && !facts.paper.starts_with("http") {
        return Err(format!("paper: expected a link or nothing, found `{}`", facts.paper));
    }
    if facts.sites.is_empty() {
        return Err("sites: expected at least one, found none".to_owned());
    }
    Ok(())
}

pub(super) fn documents_its_parameters(trial: &Trial) -> Result<(), String> {
    if !trial.case.is_table() {
        return Err(format!("case: expected a table, found {}", trial.case));
    }
    for spec in &trial.facts.params {
        documented(spec)?;
        let name = &spec.name;
        if let Some(default) = spec.default.as_ref().filter(|default| !default.is_null()) {
            let stated = with(&trial.params, name, default.clone());
            trial.subject.check_params(&stated).map_err(|error| {
                format!("parameter `{name}`: its own default {default} is refused: {error}")
            })?;
        }
    }
    trial.subject.check_params(&trial.params)?;
    trial.open(End::Encoder).map(drop)
}

pub(super) fn refuses_values_out_of_range(trial: &Trial) -> Result<(), String> {
    for spec in &trial.facts.params {
        for wrong in wrong_values(spec) {
            let params = with(&trial.params, &spec.name, wrong.clone());
            if trial.subject.check_params(&params).is_ok() {
                return Err(format!("parameter `{}`: {wrong} was accepted", spec.name));
            }
        }
    }
    Ok(())
}

pub(super) fn refuses_unknown_keys(trial: &Trial) -> Result<(), String> {
    let key = "no-such-parameter";
    let params = with(&trial.params, key, Value::from(1));
    match trial.subject.check_params(&params) {
        Ok(()) => Err(format!("the key `{key}` was accepted")),
        Err(error) if error.contains(key) => Ok(()),
        Err(error) => Err(format!("the message does not name the key `{key}`: {error}")),
    }
}

/// Checks that a parameter and each of its choices have a line of documentation.
pub(crate) fn documented(spec: &ParamSpec) -> Result<(), String> {
    let name = &spec.name;
    if spec.doc.trim().is_empty() {
        return Err(format!("parameter `{name}`: expected a doc comment, found none"));
    }
    if spec.kind == ParamKind::Choice && spec.choices.is_empty() {
        return Err(format!("parameter `{name}`: a choice of nothing"));
    }
    match spec.choices.iter().find(|choice| choice.doc.trim().is_empty()) {
        Some(choice) => {
            Err(format!("parameter `{name}`: choice `{}` has no doc comment", choice.name))
        }
        None => Ok(()),
    }
}

/// Values of the wrong type, outside the range, or not among the choices.
pub(crate) fn wrong_values(spec: &ParamSpec) -> Vec<Value> {
    let below = spec.min.as_ref().and_then(serde_json::Number::as_f64).map(|min| min - 1.0);
    let above = spec.max.as_ref().and_then(serde_json::Number::as_f64).map(|max| max + 1.0);
    // Limited to whole numbers that f64 represents exactly, so that the last value is really out of
    // range.
    let exact = |value: &f64| value.abs() < 9e15;
    let beyond = below.into_iter().chain(above).filter(exact);
    let mut wrong: Vec<Value> = match spec.kind {
        #[allow(clippy::cast_possible_truncation)]
        ParamKind::Integer => beyond.map(|value| Value::from(value as i64)).collect(),
        ParamKind::Number => beyond.map(Value::from).collect(),
        ParamKind::Choice | ParamKind::String => vec![Value::from(3)],
        ParamKind::Boolean => vec![Value::from(1)],
        ParamKind::Codec => vec![json!({}), json!({ "codec": 3 }), json!("No Such Id")],
        ParamKind::Any => Vec::new(),
    };
    match spec.kind {
        ParamKind::Any => {}
        ParamKind::Codec => wrong.push(Value::from(3)),
        ParamKind::Integer => wrong.extend([Value::from(1.5), Value::from("no-such-value")]),
        ParamKind::String => wrong.push(Value::from(true)),
        _ => wrong.push(Value::from("no-such-value")),
    }
    wrong
}

pub(crate) fn with(params: &Map<String, Value>, key: &str, value: Value) -> Map<String, Value> {
    let mut params = params.clone();
    params.insert(key.to_owned(), value);
    params
}
