//! What a JSON Schema cannot say about an experiment: keys that exclude each other, counts that
//! must agree, names that must have a form.

use super::cells::{self, CUT};
use super::lines::Lines;
use super::plan::{PLANS, Plan};
use crate::error::nearest;
use crate::{Experiment, ModelSection, NOISE_FLOOR_LABEL, Preset, SchemaError};

/// All mistakes, in no particular order.
pub(crate) fn validate(experiment: &Experiment) -> Vec<SchemaError> {
    let mut check = Validate { experiment, mistakes: Vec::new() };
    check.name();
    check.models();
    check.data();
    check.protocol();
    check.partition();
    check.pins();
    for compressor in 0..experiment.compressor.len() {
        check.compressor(compressor);
    }
    check.mistakes
}

struct Validate<'a> {
    experiment: &'a Experiment,
    mistakes: Vec<SchemaError>,
}

impl Validate<'_> {
    fn expect(&mut self, holds: bool, key: &str, expected: &str, found: impl Into<String>) {
        if !holds {
            self.mistakes.push(self.experiment.value_error(key, expected, found, None));
        }
    }

    fn conflict(&mut self, key: &str, other: &str, hint: &'static str) {
        let (a, b) = (self.experiment.place(key), self.experiment.place(other));
        let (at, other) = if a.line >= b.line { (a, b) } else { (b, a) };
        self.mistakes.push(SchemaError::Conflict {
            at: Box::new(at),
            other: other.key,
            other_line: other.line,
            hint,
        });
    }

    fn name(&mut self) {
        let name = &self.experiment.name;
        self.expect(
            is_id(name),
            "name",
            "lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
            format!("{name:?}"),
        );
    }

    fn models(&mut self) {
        let experiment = self.experiment;
        let names: Vec<String> = experiment.model.iter().map(ModelSection::name).collect();
        for (index, model) in experiment.model.iter().enumerate() {
            self.device(&experiment.model_key(index, "device"), &model.device);
            if let Some(label) = &model.label {
                self.label(&experiment.model_key(index, "label"), label);
            }
            let name = &names[index];
            if names[..index].contains(name) || name == NOISE_FLOOR_LABEL {
                let key = experiment.model_key(index, "label");
                let expected = "a label that no other model and no other cell has";
                self.expect(false, &key, expected, format!("{name:?}"));
            }
        }
        if experiment.model.others().is_empty() {
            return;
        }
        let hint =
            "several models are compared whole: test codecs on one model, in a file of its own";
        let partition = &experiment.partition;
        if !experiment.compressor.is_empty() {
            self.conflict("model[1]", "compressor[0]", hint);
        } else if partition.cuts.is_some() || partition.plan.as_ref().is_some_and(|p| p != "none") {
            self.conflict("model[1]", "partition", hint);
        }
    }

    fn label(&mut self, key: &str, label: &str) {
        self.expect(cells::is_label(label), key, &cells::label_rule(), format!("{label:?}"));
    }

    fn device(&mut self, key: &str, device: &str) {
        let cuda = device.strip_prefix("cuda:").is_some_and(|n| n.parse::<u16>().is_ok());
        if !["auto", "cpu", "cpu:plain"].contains(&device) && !cuda {
            self.mistakes.push(self.experiment.value_error(
                key,
                "\"auto\", \"cpu\", \"cpu:plain\" or \"cuda:N\"",
                format!("{device:?}"),
                nearest(device, ["auto", "cpu", "cpu:plain", "cuda:0"]),
            ));
        }
    }

    fn data(&mut self) {
        let data = &self.experiment.data;
        if data.sample_idx.is_some() && data.max_documents.is_some() {
            self.conflict(
                "data.sample_idx",
                "data.max_documents",
                "keep `sample_idx` for one row, or `max_documents` for the first rows",
            );
        }
    }

    fn protocol(&mut self) {
        let protocol = &self.experiment.protocol;
        if let (Some(window), Some(stride)) = (protocol.window, protocol.stride) {
            let expected = format!("an integer from 1 to the window of {window}");
            self.expect(stride <= window, "protocol.stride", &expected, stride.to_string());
        }
        if let (Some(context), true) = (protocol.context, protocol.preset != Preset::PrefillSuffix)
        {
            let expected = "preset = \"prefill-suffix\" with `context`";
            self.expect(false, "protocol.context", expected, context.to_string());
        }
    }

    fn partition(&mut self) {
        let experiment = self.experiment;
        let section = &experiment.partition;
        match (&section.plan, &section.cuts) {
            (Some(_), Some(_)) => self.conflict(
                "partition.plan",
                "partition.cuts",
                "keep `plan` for an even split, or `cuts` to choose the layers yourself",
            ),
            (Some(plan), None) => match Plan::parse(plan) {
                Some(parsed) => self.plan_nodes(plan, parsed),
                None => self.expect(false, "partition.plan", PLANS, format!("{plan:?}")),
            },
            (None, Some(cuts)) => self.cuts(cuts),
            (None, None) if !experiment.model.others().is_empty() => {}
            (None, None) if self.sweeps_cuts() => {}
            (None, None) if !experiment.compressor.is_empty() => {
                let at = Box::new(self.experiment.place("partition.plan"));
                let expected = "plan = \"ring-4\" or cuts = [...], because a codec works on links";
                self.mistakes.push(SchemaError::Missing { at, expected: expected.to_owned() });
            }
            (None, None) => {}
        }
    }

    /// Whether the compressors themselves say where the model is cut.
    fn sweeps_cuts(&self) -> bool {
        let mut all = self.experiment.compressor.iter();
        all.clone().any(|section| section.sweep.contains_key(CUT))
            && all.all(|section| section.sweep.contains_key(CUT))
    }

    fn plan_nodes(&mut self, name: &str, plan: Plan) {
        let Some(nodes) = &self.experiment.partition.nodes else {
            return self.devices(plan.nodes());
        };
        let expected = format!("{} different names, one for each node of {name:?}", plan.nodes());
        let mut distinct = nodes.clone();
        distinct.sort();
        distinct.dedup();
        let holds = nodes.len() == plan.nodes() && distinct.len() == nodes.len();
        self.expect(holds, "partition.nodes", &expected, format!("{nodes:?}"));
        self.node_names(nodes);
        self.devices(plan.nodes());
    }

    fn cuts(&mut self, cuts: &[usize]) {
        for (at, pair) in cuts.windows(2).enumerate() {
            if pair[0] >= pair[1] {
                self.expect(
                    false,
                    &format!("partition.cuts[{}]", at + 1),
                    &format!("a layer after {}, the cut before it", pair[0]),
                    pair[1].to_string(),
                );
                break;
            }
        }
        let Some(nodes) = &self.experiment.partition.nodes else {
            return self.devices(cuts.len() + 1);
        };
        let expected = format!("{} names, one for each stage", cuts.len() + 1);
        let found = format!("{} names", nodes.len());
        self.expect(nodes.len() == cuts.len() + 1, "partition.nodes", &expected, found);
        if let Some(at) = nodes.windows(2).position(|pair| pair[0] == pair[1]) {
            self.expect(
                false,
                &format!("partition.nodes[{}]", at + 1),
                "another node than that of the stage before it, because a link joins two nodes",
                format!("{:?}", nodes[at]),
            );
        }
        self.node_names(nodes);
        let mut distinct = nodes.clone();
        distinct.sort();
        distinct.dedup();
        self.devices(distinct.len());
    }

    fn node_names(&mut self, nodes: &[String]) {
        for (at, node) in nodes.iter().enumerate() {
            let holds =
                !node.is_empty() && node.chars().all(|c| c.is_alphanumeric() || "._-".contains(c));
            self.expect(
                holds,
                &format!("partition.nodes[{at}]"),
                "letters, digits, `.`, `_` and `-`",
                format!("{node:?}"),
            );
        }
    }

    fn devices(&mut self, nodes: usize) {
        let Some(devices) = &self.experiment.partition.devices else {
            return;
        };
        let expected = format!("{nodes} devices, one for each node");
        let found = format!("{} devices", devices.len());
        self.expect(devices.len() == nodes, "partition.devices", &expected, found);
        for (at, device) in devices.iter().enumerate() {
            self.device(&format!("partition.devices[{at}]"), device);
        }
    }

    fn pins(&mut self) {
        for (file, pin) in &self.experiment.plugins.pin {
            let key = Lines::join("plugins.pin", file);
            self.expect(
                file.ends_with(".so") && !file.contains('/'),
                &key,
                "the name of a `.so` file without its folder as the key",
                format!("{file:?}"),
            );
            let digits = pin.strip_prefix("sha256:").unwrap_or_default();
            self.expect(
                digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()),
                &key,
                "`sha256:` and 64 hexadecimal digits",
                format!("{pin:?}"),
            );
        }
    }

    fn compressor(&mut self, index: usize) {
        let section = &self.experiment.compressor[index];
        let path = format!("compressor[{index}]");
        self.expect(
            is_id(&section.codec),
            &format!("{path}.codec"),
            "the id of a codec: lower-case letters, digits, `.`, `_` and `-`",
            format!("{:?}", section.codec),
        );
        if let Some(label) = &section.label {
            self.label(&format!("{path}.label"), label);
        }
        for (key, values) in &section.sweep {
            let swept = Experiment::sweep_path(index, key);
            let expected = "an array of at least one value";
            self.expect(!values.is_empty(), &swept, expected, "an empty array");
            let repeated = values.iter().enumerate().find(|(at, v)| values[..*at].contains(v));
            if let Some((at, value)) = repeated {
                let key = format!("{swept}[{at}]");
                self.expect(false, &key, "each value once", format!("{value} again"));
            }
            if cells::get(&section.params, key).is_some() {
                self.conflict(
                    &swept,
                    &key.split('.').fold(format!("{path}.params"), |t, key| Lines::join(&t, key)),
                    "keep the parameter in `params` for one value, or in `sweep` for several",
                );
            }
        }
        if section.links.is_some() && section.sweep.contains_key(CUT) {
            let hint = "keep `links` for the same links in every cell, or sweep `cut`";
            self.conflict(&format!("{path}.links"), &Experiment::sweep_path(index, CUT), hint);
        }
        for key in section.sweep.keys().filter(|key| key.starts_with("side.")) {
            let written = format!("{path}.{key}");
            if self.experiment.lines.has(&written) {
                let hint = "keep the key in `side` for one value, or in `sweep` for several";
                self.conflict(&Experiment::sweep_path(index, key), &written, hint);
            }
        }
        if let Some(links) = &section.links {
            let key = format!("{path}.links");
            self.expect(!links.is_empty(), &key, "at least one link", "an empty array");
            let repeated = links.iter().enumerate().find(|(at, link)| links[..*at].contains(link));
            if let Some((at, link)) = repeated {
                self.expect(
                    false,
                    &format!("{key}[{at}]"),
                    "each link once",
                    format!("{link} again"),
                );
            }
        }
    }
}

fn is_id(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    name.bytes().all(allowed) && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}
