//! Rotary positions from `rope_theta` and `rope_scaling`, or from `rope_parameters`.

use serde_json::Value;
use strait_ops::{RopeConfig, RopeScaling};

use super::keys::{Keys, invalid};
use crate::error::ModelError;

/// Where a family keeps its rotary positions.
pub(crate) struct RopeKeys<'a> {
    /// Key of the base, and the base if the key is absent.
    pub(crate) theta: (&'a str, f64),
    /// Key of the share of channels that are rotated, and the share if the key is absent; with `None`, only
    /// a share of 1 is allowed.
    pub(crate) share: Option<(&'a str, f64)>,
    /// The original training context, for families whose top level does not give it.
    pub(crate) original: Option<f64>,
    /// The part of `rope_parameters` for this kind of layer, and whether `rope_scaling` applies to it.
    pub(crate) part: Option<(&'a str, bool)>,
    /// Values of `rope_type` that mean `longrope`.
    pub(crate) long: &'a [&'a str],
}

impl RopeKeys<'_> {
    /// A base of 10,000, with all channels rotated.
    pub(crate) const PLAIN: RopeKeys<'static> = RopeKeys {
        theta: ("rope_theta", 10_000.0),
        share: None,
        original: None,
        part: None,
        long: &["longrope"],
    };

    /// Reads the rotary positions of heads of `head_dim` channels.
    pub(crate) fn read(
        &self,
        keys: Keys<'_>,
        head_dim: usize,
        max_positions: usize,
    ) -> Result<RopeConfig, ModelError> {
        let table = self.table(keys);
        let (theta_key, theta) = self.theta;
        let theta = match table.number_if("rope_theta")? {
            Some(theta) => theta,
            None => keys.number(theta_key, Some(theta))?,
        };
        let original = keys.number_if("original_max_position_embeddings")?.or(self.original);
        let original = match original {
            Some(original) => original,
            None => table.number("original_max_position_embeddings", Some(max_positions as f64))?,
        };
        let rotated = self.rotated(keys, table, head_dim)?;
        let context = Context { table, rotated, original, max_positions: max_positions as f64 };
        let (scaling, attention_factor) = match self.kind(table)? {
            // These apply only within the positions that the model was made for; longer sequences are
            // rejected.
            "default" | "dynamic" => (RopeScaling::None, 1.0),
            "linear" => (RopeScaling::Linear { factor: table.number("factor", None)? }, 1.0),
            "llama3" => (context.llama3()?, 1.0),
            "yarn" => context.yarn()?,
            _ => context.long()?,
        };
        Ok(RopeConfig { theta, rotated, scaling, attention_factor, rounded_once: false })
    }

    /// The longest sequence whose frequencies can be computed, if those of longer ones depend on the length.
    pub(crate) fn longest(
        &self,
        keys: Keys<'_>,
        max_positions: usize,
    ) -> Result<Option<usize>, ModelError> {
        let dynamic = self.kind(self.table(keys))? == "dynamic";
        Ok(dynamic.then_some(max_positions))
    }

    /// The factor of attention's scores that DeepSeek adds to a scaled rope: the square of what `mscale_all_dim` gives.
    pub(crate) fn score_factor(&self, keys: Keys<'_>) -> Result<f64, ModelError> {
        let table = self.table(keys);
        let weight = table.value("mscale_all_dim").and_then(Value::as_f64).unwrap_or(0.0);
        if self.kind(table)? == "default" || weight == 0.0 {
            return Ok(1.0);
        }
        let factor = table.number("factor", None)?;
        Ok(if factor > 1.0 { (0.1 * weight * factor.ln() + 1.0).powi(2) } else { 1.0 })
    }

    /// The scaling parameters, in either spelling.
    fn table<'k>(&self, keys: Keys<'k>) -> Keys<'k> {
        const NOTHING: &Value = &Value::Null;
        let older = keys.table("rope_scaling").filter(|_| self.part.is_none_or(|(_, own)| own));
        let newer = keys.table("rope_parameters").map(|table| match self.part {
            Some((part, _)) => table.table(part).unwrap_or(table),
            None => table,
        });
        older.or(newer).unwrap_or(Keys(NOTHING))
    }

    fn kind<'a>(&self, table: Keys<'a>) -> Result<&'a str, ModelError> {
        let key = ["rope_type", "type"].into_iter().find(|key| table.value(key).is_some());
        let Some(key) = key else { return Ok("default") };
        let kind = table.value(key).and_then(Value::as_str).unwrap_or_default();
        match kind {
            _ if self.long.contains(&kind) => Ok("longrope"),
            "default" | "linear" | "dynamic" | "llama3" | "yarn" => Ok(kind),
            // From models that also see images: without images, all positions of a token are the same.
            "mrope" => Ok("default"),
            _ => {
                let known =
                    "\"default\", \"linear\", \"dynamic\", \"llama3\", \"yarn\" or \"longrope\"";
                Err(table.invalid(key, known))
            }
        }
    }

    /// Number of channels that are rotated.
    fn rotated(
        &self,
        keys: Keys<'_>,
        table: Keys<'_>,
        head_dim: usize,
    ) -> Result<usize, ModelError> {
        let newer = "partial_rotary_factor";
        let (key, default) = self.share.unwrap_or((newer, 1.0));
        let share = match table.number_if(newer)? {
            Some(share) => share,
            None => keys.number(key, Some(default))?,
        };
        let rotated = (head_dim as f64 * share) as usize;
        if self.share.is_none() && share != 1.0 {
            return Err(invalid(key, "1.0 in this family", share));
        }
        if self.share.is_none() && !head_dim.is_multiple_of(2) {
            return Err(invalid(
                "head_dim",
                "an even number, since its channels turn in pairs",
                head_dim,
            ));
        }
        if rotated > head_dim || rotated < 2 || !rotated.is_multiple_of(2) {
            let expected = format!("a share that leaves an even number of {head_dim} channels");
            return Err(invalid(key, expected, share));
        }
        Ok(rotated)
    }
}

struct Context<'a> {
    table: Keys<'a>,
    rotated: usize,
    /// The original training context, in tokens.
    original: f64,
    max_positions: f64,
}

impl Context<'_> {
    fn llama3(&self) -> Result<RopeScaling, ModelError> {
        Ok(RopeScaling::Llama3 {
            factor: self.table.number("factor", None)?,
            low_frequency_factor: self.table.number("low_freq_factor", None)?,
            high_frequency_factor: self.table.number("high_freq_factor", None)?,
            original_positions: self.original,
        })
    }

    fn factor(&self) -> Result<f64, ModelError> {
        self.table.number("factor", Some(self.max_positions / self.original))
    }

    fn yarn(&self) -> Result<(RopeScaling, f64), ModelError> {
        let (table, factor) = (self.table, self.factor()?);
        let scale = |weight: f64| if factor > 1.0 { 0.1 * weight * factor.ln() + 1.0 } else { 1.0 };
        // Zero counts as absent.
        let weight = |key: &str| table.value(key).and_then(Value::as_f64).filter(|&it| it != 0.0);
        let attention_factor = match table.number_if("attention_factor")? {
            Some(given) => given,
            None => match (weight("mscale"), weight("mscale_all_dim")) {
                (Some(one), Some(all)) => scale(one) / scale(all),
                _ => scale(1.0),
            },
        };
        let scaling = RopeScaling::Yarn {
            factor,
            beta_fast: table.number("beta_fast", Some(32.0))?,
            beta_slow: table.number("beta_slow", Some(1.0))?,
            truncate: table.flag("truncate", true)?,
            original_positions: self.original,
        };
        Ok((scaling, attention_factor))
    }

    fn long(&self) -> Result<(RopeScaling, f64), ModelError> {
        let (table, factor) = (self.table, self.factor()?);
        let attention_factor = match table.number_if("attention_factor")? {
            Some(given) => given,
            None if factor > 1.0 => (1.0 + factor.ln() / self.original.ln()).sqrt(),
            None => 1.0,
        };
        let scaling = RopeScaling::Long {
            short: table.numbers("short_factor", self.rotated / 2)?,
            long: table.numbers("long_factor", self.rotated / 2)?,
            original_positions: self.original,
        };
        Ok((scaling, attention_factor))
    }
}
