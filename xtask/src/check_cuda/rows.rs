//! The matrix: which experiment runs in which dtype, on which devices, and with which settings of
//! the emulator.

use std::time::Duration;

/// What is done with an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// `strait run`: compares every cell's likelihoods and divergence.
    Run,
    /// `strait run` with `[speed]`: also checks that times and bytes are present.
    Speed,
    /// `strait generate` from a cell's cache, or from the whole cache: compares the tokens.
    Generate { cell: Option<&'static str> },
    /// `strait analyze importance`: compares every number of its tables.
    Importance,
    /// `strait analyze heads`: compares the relevance of every head.
    Heads,
    /// `strait run` where no kernel of a product compiles: it must end in an error.
    Refused,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    /// Name of a file in `xtask/check-cuda`, without `.toml`.
    pub(super) experiment: &'static str,
    pub(super) work: Work,
    pub(super) dtype: &'static str,
    /// One device for the whole model, or one for each node of the experiment's partition.
    pub(super) devices: &'static [&'static str],
    /// A made-up model instead of the experiment's own.
    pub(super) model: Option<&'static str>,
    /// Environment variables of the emulator.
    pub(super) settings: Vec<(&'static str, &'static str)>,
    pub(super) limit: Duration,
}

/// Largest accepted differences from the CPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tolerance {
    /// Difference in nats per token, in any window of a lossless cell.
    pub(super) exact: f64,
    /// Relative difference of a cell's perplexity. A difference in the last place makes a codec
    /// choose another code where two are equally near, which happens to a few of many.
    pub(super) ppl: f64,
    /// Difference of a cell's mean divergence, relative to that divergence and the row's floor.
    pub(super) kld: f64,
    /// Relative difference of importances and of heads' relevance.
    pub(super) number: f64,
    /// Share of the entries that a press kept on the CPU in whose place it kept others. Perplexity and
    /// divergence of such a cell are those of another cache, and are not compared.
    pub(super) entries: f64,
}

/// The smallest divergence in nats that a difference is divided by: for f32, and for half types.
const KLD_FLOORS: [f64; 2] = [1e-4, 1e-2];

impl Row {
    fn new(name: impl Into<String>, experiment: &'static str) -> Self {
        Self {
            name: name.into(),
            experiment,
            work: Work::Run,
            dtype: "f32",
            devices: &["cuda:0"],
            model: None,
            settings: Vec::new(),
            limit: Duration::from_secs(3600),
        }
    }

    fn work(self, work: Work) -> Self {
        Self { work, ..self }
    }

    fn dtype(self, dtype: &'static str) -> Self {
        Self { dtype, ..self }
    }

    fn devices(self, devices: &'static [&'static str]) -> Self {
        Self { devices, ..self }
    }

    fn model(self, model: &'static str) -> Self {
        Self { model: Some(model), ..self }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.settings.push((name, value));
        self
    }

    /// Whether the row tests the emulator's settings rather than CUDA.
    pub(super) fn needs_emulator(&self) -> bool {
        self.settings.iter().any(|(name, _)| name.starts_with("EMU_"))
    }

    /// Whether the row needs what the emulator lacks: the tensor memory accelerator.
    pub(super) fn needs_card(&self) -> bool {
        self.settings.contains(&(PRODUCTS, ACCELERATED))
    }

    /// The device that the row is compared with: the CPU or, in half types, the CPU path that rounds
    /// where a device does.
    pub(super) fn reference_device(&self) -> &'static str {
        if self.dtype == "f32" { "cpu" } else { "cpu:plain" }
    }

    /// Rows with the same name are compared with the same run.
    pub(super) fn reference_name(&self) -> String {
        let model = self.model.unwrap_or("own");
        let work = match self.work {
            Work::Run => "run".to_owned(),
            Work::Generate { cell } => format!("generate {}", cell.unwrap_or("whole")),
            other => format!("{other:?}").to_lowercase(),
        };
        format!("{} {model} {} {work}", self.experiment, self.dtype)
    }

    pub(super) fn tolerance(&self) -> Tolerance {
        if self.dtype == "f32" {
            Tolerance { exact: 1e-5, ppl: 1e-2, kld: 3e-2, number: 1e-3, entries: 1e-2 }
        } else {
            Tolerance { exact: 1e-2, ppl: 3e-2, kld: 1e-1, number: 2e-2, entries: 5e-2 }
        }
    }

    pub(super) fn kld_floor(&self) -> f64 {
        KLD_FLOORS[usize::from(self.dtype != "f32")]
    }
}

/// The variable that selects the product kernel to try first, for half types
/// (`crates/kernels/src/product.rs`).
const PRODUCTS: &str = "STRAIT_PRODUCTS";
const ACCELERATED: &str = "accelerated";

/// The tiny checkpoints of `crates/model/tests/families`, one of each family first.
pub(super) const FAMILIES: [&str; 50] = [
    "arcee",
    "deepseek-v2",
    "deepseek-v3",
    "dots1",
    "ernie4-5",
    "ernie4-5-moe",
    "exaone4",
    "gemma",
    "gemma2",
    "gemma3",
    "glm4",
    "glm4-moe",
    "glm4-moe-lite",
    "gpt-bigcode",
    "gpt-neo",
    "gpt-neox",
    "gpt2",
    "granite",
    "llama",
    "minimax-m2",
    "ministral",
    "mistral",
    "mixtral",
    "nemotron",
    "olmo2",
    "olmo3",
    "olmoe",
    "opt",
    "phi",
    "phi3",
    "qwen2",
    "qwen2-moe",
    "qwen3",
    "qwen3-moe",
    "seed-oss",
    "smollm3",
    "stablelm",
    "starcoder2",
    "vaultgemma",
    "deepseek-v2-lite",
    "exaone4-global",
    "gemma3-layer-types",
    "gpt-bigcode-heads",
    "gpt-neox-sequential",
    "llama-3",
    "llama-linear",
    "llama-yarn",
    "phi3-partial",
    "qwen2-window",
    "qwen3-moe-mixed",
];

/// The rows of the short form, or all rows, beginning with the short ones.
pub(super) fn all(long: bool) -> Vec<Row> {
    let mut rows = short();
    if long {
        rows.extend(cells());
        rows.extend(commands());
        rows.extend(families());
        rows.extend(shapes());
        rows.extend(ways());
    }
    rows
}

/// The rows that the gate runs: links and caches, every dtype, several devices, a family other than
/// Llama.
fn short() -> Vec<Row> {
    vec![
        Row::new("links f32", "links"),
        Row::new("caches f32, prefilled", "prefill"),
        Row::new("cells bf16, quantized on load", "quantized").dtype("bf16"),
        Row::new("links f16, two cards and the CPU", "chunks")
            .dtype("f16")
            .devices(&["cuda:0", "cuda:1", "cpu:plain"])
            .with("EMU_DEVICES", "2"),
        Row::new("family gemma3 f32", "family").model("gemma3"),
        Row::new("no product compiles", "links")
            .work(Work::Refused)
            .with("EMU_REFUSE", "wmma,mma.sync,unit"),
    ]
}

const HALVES: [&str; 2] = ["bf16", "f16"];

/// Every kernel of products, in the order of `strait_kernels::Product`.
const KERNELS: [&str; 7] = [
    "unit",
    "vector",
    "fragments",
    "instructions",
    "double-fragments",
    "double-instructions",
    ACCELERATED,
];

/// Every kind of cell in every dtype.
fn cells() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, experiment) in [
        ("links", "links"),
        ("caches, prefilled", "prefill"),
        ("caches, streaming", "streaming"),
        ("models and noise floor", "models"),
        ("quantized on load, streamed", "quantized"),
        ("importances of tokens", "importance"),
        ("chunks, shared passes", "chunks"),
    ] {
        for dtype in ["f32", "bf16", "f16"] {
            rows.push(Row::new(format!("{name} {dtype}"), experiment).dtype(dtype));
        }
    }
    let known = short();
    rows.retain(|row| {
        known.iter().all(|short| (short.experiment, short.dtype) != (row.experiment, row.dtype))
            || row.experiment == "chunks"
    });
    rows
}

fn commands() -> Vec<Row> {
    let mut rows = vec![
        Row::new("importances, analyzed", "importance").work(Work::Importance),
        Row::new("heads, analyzed", "importance").work(Work::Heads),
    ];
    for dtype in ["f32", "bf16"] {
        rows.push(Row::new(format!("speed {dtype}"), "generate").work(Work::Speed).dtype(dtype));
        for cell in [None, Some("half"), Some("int4")] {
            let name = format!("text {dtype}, {} cache", cell.unwrap_or("whole"));
            rows.push(Row::new(name, "generate").work(Work::Generate { cell }).dtype(dtype));
        }
    }
    rows
}

fn families() -> Vec<Row> {
    let mut rows = Vec::new();
    for dtype in ["f32", "bf16", "f16"] {
        for family in FAMILIES {
            rows.push(
                Row::new(format!("family {family} {dtype}"), "family").model(family).dtype(dtype),
            );
        }
    }
    let known = short();
    rows.retain(|row| known.iter().all(|short| short.name != row.name));
    rows
}

/// Sizes at which kernels run more than once.
fn shapes() -> Vec<Row> {
    let mut rows = Vec::new();
    for dtype in ["f32", "bf16"] {
        for (name, experiment, model) in [
            ("vocabulary of 262,144", "vocabulary", "vocabulary-262k"),
            ("windows of 1,000", "long", "long-1024"),
        ] {
            rows.push(Row::new(format!("{name} {dtype}"), experiment).model(model).dtype(dtype));
        }
    }
    rows
}

/// Devices that meet at a link, kinds of cards, and settings of the emulator that expose mistakes.
fn ways() -> Vec<Row> {
    let mut rows = vec![
        Row::new("cuda:0 and cuda:1 f32", "quantized")
            .devices(&["cuda:0", "cuda:1"])
            .with("EMU_DEVICES", "2"),
        Row::new("cuda:0 and cpu f32", "quantized").devices(&["cuda:0", "cpu"]),
        Row::new("cpu and cuda:0 f32", "quantized").devices(&["cpu", "cuda:0"]),
    ];
    for (name, variable, value) in [
        ("sm_70", "EMU_SM", "70"),
        ("sm_90", "EMU_SM", "90"),
        ("late work", "EMU_LAZY", "1"),
        ("threads backwards", "EMU_ORDER", "1"),
        ("threads mixed", "EMU_ORDER", "2"),
        ("checked accesses", "EMU_MEMCHECK", "1"),
    ] {
        for (experiment, dtype) in [("quantized", "f32"), ("prefill", "f16")] {
            let row = Row::new(format!("{name}: {experiment} {dtype}"), experiment);
            rows.push(row.dtype(dtype).with(variable, value));
        }
    }
    for dtype in HALVES {
        for kernel in KERNELS {
            let row = Row::new(format!("{kernel}: links {dtype}"), "links").dtype(dtype);
            rows.push(row.with(PRODUCTS, kernel));
        }
        let row = Row::new(format!("instructions, checked: links {dtype}"), "links").dtype(dtype);
        let row = row.with(PRODUCTS, "instructions").with("EMU_MEMCHECK", "1");
        rows.push(row.with("EMU_ORDER", "2"));
    }
    let row = Row::new("fragments on sm_70: links f16", "links").dtype("f16");
    rows.push(row.with(PRODUCTS, "fragments").with("EMU_SM", "70"));
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_short_and_each_stands_once() {
        let rows = all(true);
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names.len(), rows.len());
        assert!(names.iter().all(|name| name.chars().count() <= 38), "{names:?}");
        assert!(rows.len() > 80 && short().len() < 10);
    }

    #[test]
    fn what_only_an_emulator_can_do_is_not_asked_of_a_card() {
        let on_cards: Vec<_> = all(true).into_iter().filter(|row| !row.needs_emulator()).collect();
        assert!(on_cards.iter().all(|row| !row.devices.contains(&"cuda:1")));
        assert!(on_cards.iter().any(Row::needs_card));
        assert!(on_cards.iter().any(|row| row.name == "links f32"));
        assert!(on_cards.iter().all(|row| row.work != Work::Refused));
    }

    #[test]
    fn rows_share_what_they_are_compared_with() {
        let rows = all(true);
        let of = |name: &str| rows.iter().find(|row| row.name == name).unwrap().reference_name();
        assert_eq!(of("links bf16"), of("unit: links bf16"));
        assert_ne!(of("links bf16"), of("links f32"));
        assert_ne!(of("family llama f32"), of("family qwen2 f32"));
        assert_ne!(of("text f32, half cache"), of("text f32, whole cache"));
    }
}
