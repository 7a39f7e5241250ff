//! `strait analyze`: what the uncompressed model says before anything is compressed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::Subcommand;
use indicatif::MultiProgress;
use strait_report::Heatmap;
use strait_runner::{Analysis, BINS, Matrix, Options, TOP_SHARE};
use strait_schema::Experiment;

use crate::live::Live;
use crate::output::say;

/// What to look at.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// Importances of tokens in every layer, distances of activations, outliers.
    Importance(Importance),
}

/// Which experiment, and where the files go.
#[derive(clap::Args)]
pub(crate) struct Importance {
    /// The experiment file (TOML); its compressors' `side` names the metrics.
    experiment: PathBuf,
    /// Write tables and pictures here instead of to `analysis` in the results folder.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Folder of the named data sets; `assets` beside or above the file by default.
    #[arg(long, value_name = "DIR")]
    assets: Option<PathBuf>,
    /// Pixels of a PNG for each of the SVG's 960 x 600.
    #[arg(long, default_value_t = 1.0)]
    scale: f32,
}

/// Analyses and writes.
pub(crate) fn run(arguments: Arguments, screen: MultiProgress) -> anyhow::Result<ExitCode> {
    let Subject::Importance(arguments) = arguments.subject;
    let experiment = Experiment::load(&arguments.experiment)?;
    let assets = arguments.assets.unwrap_or_else(|| experiment.resolve("assets"));
    let stop = AtomicBool::new(false);
    let options = Options { assets, stop: &stop, fresh: false, trace: None };
    let analysis = strait_runner::analyze(&experiment, &options, &mut Live::new(screen))?;
    let folder = arguments.output.unwrap_or_else(|| experiment.output_dir().join("analysis"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let subtitle = format!(
        "{}, {} windows of {} tokens",
        experiment.model.name(),
        analysis.windows,
        analysis.tokens
    );
    let written = Files { folder: &folder, subtitle, scale: arguments.scale }.all(&analysis)?;
    say(&format!("{}\n\n{}: {written} files", summary(&analysis), folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The files of an analysis.
struct Files<'a> {
    folder: &'a Path,
    subtitle: String,
    scale: f32,
}

impl Files<'_> {
    fn all(&self, analysis: &Analysis) -> anyhow::Result<usize> {
        let layers = ["layer", "layer"];
        let mut maps: Vec<(String, String, [&str; 2], &Matrix, bool)> = Vec::new();
        for orders in &analysis.orders {
            let name = orders.metric;
            let title = format!("Spearman correlation of {name} between layers");
            maps.push((format!("spearman-{name}"), title, layers, &orders.spearman, false));
            let share = 100.0 * TOP_SHARE;
            let title = format!("Jaccard index of the top {share:.0} % by {name} between layers");
            maps.push((format!("jaccard-{name}"), title, layers, &orders.jaccard, false));
        }
        let histograms =
            format!("KL of histograms with {BINS} bins between layers, row from column");
        let fixed: [(&str, &str, [&str; 2], &Matrix, bool); 6] = [
            (
                "wasserstein",
                "Wasserstein distance of values between layers",
                layers,
                &analysis.wasserstein,
                false,
            ),
            ("kl", &histograms, layers, &analysis.divergence, false),
            (
                "cosine",
                "Cosine of a token's states between layers",
                layers,
                &analysis.cosine,
                false,
            ),
            (
                "channel-largest",
                "Largest magnitude of each channel",
                ["channel", "layer"],
                &analysis.channel_largest,
                true,
            ),
            (
                "channel-mean",
                "Mean magnitude of each channel",
                ["channel", "layer"],
                &analysis.channel_mean,
                true,
            ),
            (
                "token-norm",
                "Norm of the hidden state at each position",
                ["position", "layer"],
                &analysis.token_norm,
                true,
            ),
        ];
        maps.extend(fixed.map(|(name, title, axes, matrix, log)| {
            (name.to_owned(), title.to_owned(), axes, matrix, log)
        }));
        let count = 3 * maps.len();
        for (name, title, [x, y], matrix, logarithmic) in maps {
            self.write(&format!("{name}.csv"), csv(matrix, y, x).as_bytes())?;
            let heatmap = Heatmap {
                title,
                subtitle: self.subtitle.clone(),
                x: x.to_owned(),
                y: y.to_owned(),
                values: matrix.clone(),
                logarithmic,
            };
            self.write(&format!("{name}.svg"), heatmap.svg().as_bytes())?;
            self.write(&format!("{name}.png"), &heatmap.png(self.scale)?)?;
        }
        let mut massive = "window,layer,position,token,channel,value\n".to_owned();
        for m in &analysis.massive {
            massive.push_str(&format!(
                "{},{},{},{},{},{}\n",
                m.window, m.layer, m.position, m.token, m.channel, m.value
            ));
        }
        self.write("massive.csv", massive.as_bytes())?;
        Ok(count + 1)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A line a row, headed by the columns' numbers.
fn csv(matrix: &Matrix, rows: &str, columns: &str) -> String {
    let width = matrix.iter().map(Vec::len).max().unwrap_or(0);
    let heads: String = (0..width).map(|column| format!(",{columns} {column}")).collect();
    let mut out = format!("{rows}{heads}\n");
    for (row, values) in matrix.iter().enumerate() {
        let values: String = values.iter().map(|value| format!(",{value:.6}")).collect();
        out.push_str(&format!("{row}{values}\n"));
    }
    out
}

fn summary(analysis: &Analysis) -> String {
    let mut lines = Vec::new();
    for orders in &analysis.orders {
        let near = beside(&orders.spearman);
        let far = orders.spearman.first().and_then(|row| row.last()).copied().unwrap_or(f64::NAN);
        lines.push(format!(
            "{}: Spearman {near:.3} between neighbouring layers, {far:.3} between first and last; Jaccard {:.3} between neighbours",
            orders.metric,
            beside(&orders.jaccard)
        ));
    }
    let massive: u64 = analysis.massive_count.iter().sum();
    let layers = analysis.massive_count.iter().filter(|count| **count > 0).count();
    lines.push(format!("{massive} massive activations, in the output of {layers} layers"));
    lines.join("\n")
}

/// The mean of what stands beside the diagonal.
fn beside(matrix: &Matrix) -> f64 {
    let pairs = matrix.windows(2).enumerate().filter_map(|(at, rows)| rows[0].get(at + 1));
    let (sum, count) = pairs.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
