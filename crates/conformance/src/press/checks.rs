//! The checks of a press.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use strait_loader::PressDescriptor;
use strait_sdk::press::abi::{
    ATTENTION_COUNT, ATTENTION_SUM, HIDDEN_STATES, OUTPUT_NORM, QUERIES, WINDOW_ATTENTION,
};
use strait_sdk::press::{Kept, LayerData};

use super::sample::{Sample, hard, ordinary, with_side};
use super::subject::{Instance, Subject};
use crate::battery::params::{documented, with, wrong_values};

const RATIOS: [f64; 5] = [0.25, 0.5, 0.75, 0.875, 0.99];

/// One press with one case.
pub(super) struct Trial {
    pub(super) subject: Arc<dyn Subject>,
    pub(super) facts: PressDescriptor,
    pub(super) params: Map<String, Value>,
    pub(super) is_table: bool,
}

impl Trial {
    fn open(&self) -> Result<Box<dyn Instance>, String> {
        self.subject.open(&self.params).map_err(|error| format!("open: {error}"))
    }

    /// Presses a sample and checks the result.
    fn kept(
        &self,
        press: &mut dyn Instance,
        sample: &Sample,
        ratio: f64,
    ) -> Result<Vec<Kept>, String> {
        let data = with_side(&sample.data, &press.needs()).pressed(ratio);
        let place = |error| format!("{} at ratio {ratio}: {error}", sample.name);
        let kept = press.press(&data).map_err(place)?;
        valid(&data, &kept).map_err(place)?;
        Ok(kept)
    }

    /// A parameter that several presses share, as text; `null` if the press does not have it.
    fn common(&self, name: &str) -> String {
        let spec = self.facts.params.iter().find(|spec| spec.name == name);
        let default = || spec.and_then(|spec| spec.default.clone()).unwrap_or(Value::Null);
        let value = self.params.get(name).cloned().unwrap_or_else(default);
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }
}

pub(super) fn describes_itself(trial: &Trial) -> Result<(), String> {
    let PressDescriptor { id, summary, paper, budget, side_information, .. } = &trial.facts;
    let valid = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    if id.is_empty() || !id.bytes().all(valid) {
        return Err(format!("id: expected letters a-z, digits, `.` and `-`, found `{id}`"));
    }
    if summary.trim().is_empty() || summary.contains('\n') {
        return Err(format!("summary: expected one line, found `{summary}`"));
    }
    if !paper.is_empty() && !paper.starts_with("http") {
        return Err(format!("paper: expected a link or nothing, found `{paper}`"));
    }
    if !["entries", "channels", "own"].contains(&budget.as_str()) {
        return Err(format!("budget: expected entries, channels or own, found `{budget}`"));
    }
    let known =
        [QUERIES, ATTENTION_SUM, ATTENTION_COUNT, WINDOW_ATTENTION, HIDDEN_STATES, OUTPUT_NORM];
    match side_information.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("side information: no host knows `{name}`")),
        None => Ok(()),
    }
}

pub(super) fn documents_its_parameters(trial: &Trial) -> Result<(), String> {
    if !trial.is_table {
        return Err("case: expected a table".to_owned());
    }
    let params = &trial.facts.params;
    for (index, spec) in params.iter().enumerate() {
        documented(spec)?;
        let name = &spec.name;
        if params[..index].iter().any(|other| other.name == *name) {
            return Err(format!("parameter `{name}`: it is a common parameter already"));
        }
        if let Some(default) = spec.default.as_ref().filter(|default| !default.is_null()) {
            let stated = with(&trial.params, name, default.clone());
            trial.subject.check_params(&stated).map_err(|error| {
                format!("parameter `{name}`: its own default {default} is refused: {error}")
            })?;
        }
    }
    trial.subject.check_params(&trial.params)?;
    trial.open().map(drop)
}

pub(super) fn refuses_values_out_of_range(trial: &Trial) -> Result<(), String> {
    for spec in &trial.facts.params {
        for wrong in wrong_values(spec) {
            let params = with(&trial.params, &spec.name, wrong.clone());
            if trial.subject.check_params(&params).is_ok() || trial.subject.open(&params).is_ok() {
                return Err(format!("parameter `{}`: {wrong} was accepted", spec.name));
            }
        }
    }
    Ok(())
}

pub(super) fn refuses_unknown_keys(trial: &Trial) -> Result<(), String> {
    let key = "no-such-parameter";
    let params = with(&trial.params, key, json!(1));
    match trial.subject.open(&params).err() {
        None => Err(format!("the key `{key}` was accepted")),
        Some(error) if error.contains(key) => Ok(()),
        Some(error) => Err(format!("the message does not name the key `{key}`: {error}")),
    }
}

pub(super) fn asks_for_what_it_declares(trial: &Trial) -> Result<(), String> {
    for need in trial.open()?.needs() {
        if !trial.facts.side_information.contains(&need.name) {
            let declared = &trial.facts.side_information;
            return Err(format!("it asks for `{}` and declares {declared:?}", need.name));
        }
    }
    Ok(())
}

pub(super) fn keeps_everything_at_ratio_0(trial: &Trial) -> Result<(), String> {
    let mut press = trial.open()?;
    for sample in ordinary().into_iter().chain(hard()) {
        let kept = trial.kept(&mut *press, &sample, 0.0)?;
        let all = |(kept, head): (&Kept, &strait_sdk::press::HeadData)| {
            let replaced = kept.keys.is_some() || kept.values.is_some();
            kept.entries.len() == head.positions.len() && !replaced
        };
        let channels =
            trial.facts.budget == "entries" && kept.iter().any(|h| h.key_channels.is_some());
        let same = kept.iter().zip(&sample.data.kv_heads).all(all) && !channels;
        if trial.common("layers") == "even" && !same {
            return Err(format!("{}: expected everything as it was, found less", sample.name));
        }
    }
    Ok(())
}

pub(super) fn meets_its_budget(trial: &Trial) -> Result<(), String> {
    let (unit, budget) = (trial.common("unit"), trial.common("budget"));
    let exact = trial.facts.budget == "entries"
        && trial.common("layers") == "even"
        && ["token", "block"].contains(&unit.as_str());
    for sample in ordinary() {
        for ratio in RATIOS {
            let kept = trial.kept(&mut *trial.open()?, &sample, ratio)?;
            let target = sample.data.pressed(ratio).target;
            let sizes: Vec<usize> = kept.iter().map(|head| head.entries.len()).collect();
            let together = budget.contains("adakv");
            let met = if together {
                sizes.iter().sum::<usize>() == target * sizes.len()
            } else {
                sizes.iter().all(|size| *size == target)
            };
            if exact && !met {
                let of = if together { "on average" } else { "of each head" };
                let name = sample.name;
                return Err(format!("{name} at {ratio}: expected {target} {of}, found {sizes:?}"));
            }
            let everything = kept.iter().all(|head| head.entries.len() == sample.data.target);
            if trial.facts.budget == "channels" && !everything {
                return Err(format!("{} at {ratio}: expected every entry to stay", sample.name));
            }
        }
    }
    Ok(())
}

pub(super) fn keeps_the_same_for_the_same_input(trial: &Trial) -> Result<(), String> {
    for sample in ordinary() {
        for ratio in RATIOS {
            let first = trial.kept(&mut *trial.open()?, &sample, ratio)?;
            let second = trial.kept(&mut *trial.open()?, &sample, ratio)?;
            if first != second {
                return Err(format!("{} at {ratio}: two instances differ", sample.name));
            }
        }
    }
    Ok(())
}

pub(super) fn starts_anew_at_reset(trial: &Trial) -> Result<(), String> {
    let mut press = trial.open()?;
    let samples = ordinary();
    let all = |press: &mut dyn Instance| -> Result<Vec<Vec<Kept>>, String> {
        samples.iter().map(|sample| trial.kept(press, sample, 0.5)).collect()
    };
    let first = all(&mut *press)?;
    press.reset()?;
    if first == all(&mut *press)? {
        Ok(())
    } else {
        Err("after reset the same layers give another result".to_owned())
    }
}

pub(super) fn survives_hard_layers(trial: &Trial) -> Result<(), String> {
    for sample in hard() {
        for ratio in RATIOS.into_iter().chain([1.0]) {
            let mut press = trial.open()?;
            let data = with_side(&sample.data, &press.needs()).pressed(ratio);
            // An error is acceptable; a panic ends the check.
            if let Ok(kept) = press.press(&data) {
                let place = |error| format!("{} at ratio {ratio}: {error}", sample.name);
                valid(&data, &kept).map_err(place)?;
            }
        }
    }
    Ok(())
}

pub(super) fn survives_missing_side(trial: &Trial) -> Result<(), String> {
    for sample in ordinary() {
        let data = sample.data.pressed(0.5);
        let mut press = trial.open()?;
        let wanted = with_side(&data, &press.needs());
        let mut fewer = wanted.clone();
        for array in &mut fewer.side {
            if array.name == QUERIES {
                (array.tokens, array.values) = (0, Vec::new());
            }
        }
        for data in [data, fewer] {
            if let Ok(kept) = press.press(&data) {
                valid(&data, &kept).map_err(|error| format!("{}: {error}", sample.name))?;
            }
        }
    }
    Ok(())
}

/// Checks that a result fits its layer.
fn valid(data: &LayerData, kept: &[Kept]) -> Result<(), String> {
    if kept.len() != data.kv_heads.len() {
        return Err(format!("expected {} kv heads, found {}", data.kv_heads.len(), kept.len()));
    }
    let ascending = |list: &[usize], count: usize| {
        list.is_sorted_by(|a, b| a < b) && list.last().is_none_or(|last| *last < count)
    };
    for (kept, head) in kept.iter().zip(&data.kv_heads) {
        let count = kept.entries.len();
        if !ascending(&kept.entries, head.positions.len()) {
            return Err(format!("entries {:?} of {}", kept.entries, head.positions.len()));
        }
        let fits = |rows: &Option<Vec<f32>>, dim: usize| {
            rows.as_ref().is_none_or(|rows| rows.len() == count * dim)
        };
        if !fits(&kept.keys, data.head_dim) || !fits(&kept.values, data.value_dim) {
            return Err(format!("replaced keys or values do not fit {count} entries"));
        }
        if kept.key_channels.as_ref().is_some_and(|list| !ascending(list, data.head_dim)) {
            return Err(format!("key channels {:?} of {}", kept.key_channels, data.head_dim));
        }
    }
    let with_channels = kept.iter().filter(|head| head.key_channels.is_some()).count();
    if with_channels != 0 && with_channels != kept.len() {
        return Err("key channels for some heads alone".to_owned());
    }
    Ok(())
}
