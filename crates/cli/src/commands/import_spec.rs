//! `strait import-spec`: the specifications of ExLlamaV3's `compare_q` as an experiment file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use strait_schema::{Dtype, Experiment, experiment_of_specs};

use crate::output::say;

/// Which specifications.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    specs: Specs,
    /// The experiment file; named after the specifications, in this folder, when left out.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Specifications of `compare_q`.
#[derive(clap::Args)]
pub(crate) struct Specs {
    /// The data specification of compare_q (JSON).
    #[arg(short, long, value_name = "FILE", requires = "model_spec")]
    data_spec: Option<PathBuf>,
    /// Model specifications of compare_q (JSON).
    #[arg(short, long, value_name = "FILE", num_args = 1.., requires = "data_spec")]
    model_spec: Vec<PathBuf>,
    /// Element type that all these models compute in.
    #[arg(long, value_name = "TYPE", default_value = "bf16", requires = "data_spec")]
    spec_dtype: Dtype,
}

/// Writes the experiment file.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(file) = arguments.specs.write(arguments.output.as_deref())? else {
        bail!("expected specifications: strait import-spec -d DATA.json -m MODELS.json");
    };
    let models = Experiment::load(&file)?.model.iter().count();
    say(&format!("{0}: {models} models; `strait run {0}` runs them", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

impl Specs {
    /// Writes the experiment file of the specifications, if there are any, and returns its path. A file that says the
    /// same is left as it is.
    pub(crate) fn write(&self, output: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
        let Some(data) = &self.data_spec else { return Ok(None) };
        let stems = [data].into_iter().chain(self.model_spec.first());
        let stems = stems.map(|path| path.file_stem().unwrap_or_default().to_string_lossy());
        let name = stems.collect::<Vec<_>>().join("-");
        let text = experiment_of_specs(&name, data, &self.model_spec, self.spec_dtype)?;
        let file = output.map_or_else(|| PathBuf::from(format!("{name}.toml")), Path::to_owned);
        Experiment::parse(&text, &file.display().to_string())?;
        match fs::read_to_string(&file) {
            Ok(known) if known == text => {}
            Ok(_) => bail!(
                "{} is there and says something else; name another file with `strait import-spec -o FILE`",
                file.display()
            ),
            Err(_) => {
                fs::write(&file, text)
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
        Ok(Some(file))
    }
}
