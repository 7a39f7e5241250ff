//! The section `transform_config`: rotations that make weights easier to quantize (SpinQuant, QuIP).
//!
//! What a rotation does to a weight is already in the stored weight. What it does to a module's inputs while
//! the model runs is folded into the weight's columns, which is the same product. Rotations of queries and keys
//! by the same orthogonal matrix leave their products unchanged.
//!
//! Source: compressed-tensors 0.20 (`transform/`).

use crate::WeightsError;
use crate::quantized::config::Section;
use crate::quantized::fold::Fold;
use crate::quantized::parts::Module;
use crate::quantized::targets::{Target, any};

/// All transforms of inputs.
#[derive(Debug, Default)]
pub(super) struct Transforms(Vec<OfInputs>);

/// A Hadamard transform of the inputs of some modules.
#[derive(Debug)]
struct OfInputs {
    targets: Vec<Target>,
    ignore: Vec<Target>,
    /// Number of inputs that are transformed together; `None` for all.
    block: Option<usize>,
}

impl Transforms {
    pub(super) fn parse(section: &Section<'_>) -> Result<Self, WeightsError> {
        let mut transforms = Self::default();
        let Some(config) = section.section("transform_config")? else { return Ok(transforms) };
        let Some(groups) = config.section("config_groups")? else { return Ok(transforms) };
        for group in groups.sections() {
            transforms.group(&group?)?;
        }
        Ok(transforms)
    }

    fn group(&mut self, group: &Section<'_>) -> Result<(), WeightsError> {
        match group.text("type")? {
            Some("hadamard") => {}
            found => {
                let found = found.map_or("nothing".to_owned(), |found| format!("\"{found}\""));
                return Err(group.bad(
                    "type",
                    "\"hadamard\", the only transform that is applied",
                    &found,
                ));
            }
        }
        if group.flag("randomize")? == Some(true) {
            return Err(group.bad(
                "randomize",
                "false: a drawn order of channels is not applied",
                "true",
            ));
        }
        let block = match group.integer("head_dim")? {
            None => None,
            Some(size) => Some(
                usize::try_from(size)
                    .ok()
                    .filter(|size| size.is_power_of_two())
                    .ok_or_else(|| group.bad("head_dim", "a power of two", &size.to_string()))?,
            ),
        };
        // Queries and keys must be rotated together.
        let mut turned = [false; 2];
        for application in group.list("apply")? {
            let location = application.text("location")?;
            // The matrix is symmetric, so it is its own inverse.
            application.flag("inverse")?;
            let targets = targets(&application, "targets")?;
            let ignore = targets_of(&application, "ignore")?;
            match location {
                Some("weight_input" | "weight_output") => {}
                Some("input") => self.0.push(OfInputs { targets, ignore, block }),
                Some("q_attn") => turned[0] = true,
                Some("k_cache") => turned[1] = true,
                found => {
                    let found = found.unwrap_or("nothing");
                    let expected = "input, weight_input, weight_output, or q_attn with k_cache";
                    return Err(application.bad("location", expected, found));
                }
            }
        }
        if turned[0] != turned[1] {
            let (expected, found) = ("both q_attn and k_cache, or neither", "one of them");
            return Err(group.bad("apply", expected, found));
        }
        Ok(())
    }

    /// The transform of the inputs of `module`, if there is one.
    pub(super) fn fold(&self, module: &Module<'_>) -> Result<Option<Fold>, WeightsError> {
        let mut found = None;
        for transform in &self.0 {
            let meant = any(&transform.targets, module.name)?;
            if !meant || any(&transform.ignore, module.name)? {
                continue;
            }
            if found.is_some() {
                return Err(WeightsError::QuantizationConfig {
                    path: module.path.to_path_buf(),
                    key: "transform_config".to_owned(),
                    expected: format!("one transform of the inputs of {}", module.name),
                    found: "several".to_owned(),
                });
            }
            found = Some(Fold::Hadamard(transform.block));
        }
        Ok(found)
    }
}

/// The member `key`, one target or several.
fn targets(section: &Section<'_>, key: &str) -> Result<Vec<Target>, WeightsError> {
    let found = targets_of(section, key)?;
    if found.is_empty() {
        return Err(section.bad(key, "a target or more", "nothing"));
    }
    Ok(found)
}

fn targets_of(section: &Section<'_>, key: &str) -> Result<Vec<Target>, WeightsError> {
    let texts = match section.get(key).and_then(serde_json::Value::as_str) {
        Some(one) => vec![one],
        None => section.texts(key)?,
    };
    texts.into_iter().map(|text| Target::parse(section.path(), &section.place(key), text)).collect()
}
