//! `strait plot`: a picture for a paper.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use strait_report::{Picture, XAxis, YAxis};

use crate::commands::table::report_of;
use crate::output::say;

/// Which results, which axes, which file.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Results folders or single records of one protocol.
    #[arg(required = true)]
    results: Vec<PathBuf>,
    /// The picture; its name ends in .svg, .pdf or .png.
    #[arg(short, long, value_name = "FILE", default_value = "pareto.svg")]
    output: PathBuf,
    /// To the right.
    #[arg(short, value_enum, default_value_t = X::Bits)]
    x: X,
    /// Upwards.
    #[arg(short, value_enum, default_value_t = Y::Kld)]
    y: Y,
    /// Draw speed and memory of generation instead, as `[speed]` measured them.
    #[arg(long, conflicts_with_all = ["x", "y", "up_to", "no_title"])]
    speed: bool,
    /// Leave the title away, where a caption says it.
    #[arg(long)]
    no_title: bool,
    /// Leave out cells that lose more than this, on the axis upwards.
    #[arg(long, value_name = "LOSS")]
    up_to: Option<f64>,
    /// Pixels of a PNG for each of the SVG's 960 across.
    #[arg(long, default_value_t = 3.0)]
    scale: f32,
    /// Draw results of different protocols together.
    #[arg(long)]
    mixed: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum X {
    /// Bits per value, or per weight where models are compared.
    #[value(alias = "bpw")]
    Bits,
    /// Bytes per token and link, or of a token's keys and values.
    Bytes,
    /// GiB of all weights, where models are compared.
    #[value(alias = "vram")]
    Gib,
}

#[derive(Clone, Copy, ValueEnum)]
enum Y {
    /// Mean divergence from the baseline.
    Kld,
    /// Perplexity above the baseline.
    Ppl,
}

/// Writes the picture.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let report = report_of(&arguments.results, arguments.mixed)?;
    let picture = Picture {
        x: match arguments.x {
            X::Bits => XAxis::Bits,
            X::Bytes => XAxis::Bytes,
            X::Gib => XAxis::Gib,
        },
        y: match arguments.y {
            Y::Ppl => YAxis::Perplexity,
            Y::Kld => YAxis::Divergence,
        },
        bare: arguments.no_title,
        most: arguments.up_to,
    };
    if !arguments.speed && report.is_empty_picture(&picture) {
        bail!(
            "nothing to draw: expected a finished cell with {}, in range, found none{}{}",
            match arguments.x {
                X::Bits => "bits per value and the loss of the other axis",
                X::Bytes => "bytes per token and the loss of the other axis",
                X::Gib => "GiB of weights and the loss of the other axis",
            },
            match arguments.x {
                X::Bytes => "; models have no bytes per token: try -x gib",
                X::Gib => "; only several [[model]] have sizes: try -x bytes",
                X::Bits => "",
            },
            match arguments.y {
                Y::Kld => "; results of other programs may have no divergence: try -y ppl",
                Y::Ppl => "",
            }
        );
    }
    let path = &arguments.output;
    let none = "these results have no figures of generation: the experiment needs a table [speed]";
    let bytes = match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") if arguments.speed => report.speed_svg().context(none)?.into_bytes(),
        Some("png") if arguments.speed => report.speed_png(arguments.scale)?.context(none)?,
        Some("pdf") if arguments.speed => report.speed_pdf()?.context(none)?,
        Some("svg") => report.picture_svg(&picture).into_bytes(),
        Some("png") => report.picture_png(&picture, arguments.scale)?,
        Some("pdf") => report.picture_pdf(&picture)?,
        _ => bail!("{}: expected a name that ends in .svg, .pdf or .png", path.display()),
    };
    fs::write(path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("{}: {} kB", path.display(), bytes.len().div_ceil(1000)))?;
    Ok(ExitCode::SUCCESS)
}
