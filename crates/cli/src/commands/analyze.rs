//! `strait analyze`: what the uncompressed model says before anything is compressed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::Subcommand;
use indicatif::MultiProgress;
use strait_report::Heatmap;
use strait_runner::{Analysis, BINS, Heads, Matrix, Options, TOP_SHARE};
use strait_schema::Experiment;

use crate::built::build;
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
    /// Importances of tokens in every layer, distances of activations, outliers. The compressors' `side`
    /// names the metrics.
    Importance(Common),
    /// Relevance of attention heads on the text of `[fit]`: attention times gradient. Writes the file that
    /// `side.weights` reads.
    Heads(Common),
}

/// Which experiment, and where the files go.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// The experiment file (TOML).
    experiment: PathBuf,
    /// Write tables and pictures here instead of to `analysis` in the results folder.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Folder of the named data sets; by default `STRAIT_ASSETS`, or `assets` above the file or beside strait.
    #[arg(long, value_name = "DIR")]
    assets: Option<PathBuf>,
    /// Pixels of a PNG for each of the SVG's 960 x 600.
    #[arg(long, default_value_t = 1.0)]
    scale: f32,
}

/// Analyses and writes.
pub(crate) fn run(arguments: Arguments, screen: MultiProgress) -> anyhow::Result<ExitCode> {
    let (Subject::Importance(common) | Subject::Heads(common)) = &arguments.subject;
    let experiment = Experiment::load(&common.experiment)?;
    let assets = experiment.assets(common.assets.clone());
    let stop = AtomicBool::new(false);
    let options = Options { assets, stop: &stop, fresh: false, trace: None, build: build() };
    let own = || experiment.output_dir().join("analysis");
    let folder = common.output.clone().unwrap_or_else(own);
    let (mut live, name, scale) = (Live::new(screen), experiment.model.name(), common.scale);
    let (summary, written) = match &arguments.subject {
        Subject::Importance(_) => {
            let analysis = strait_runner::analyze(&experiment, &options, &mut live)?;
            let subtitle =
                format!("{name}, {} windows of {} tokens", analysis.windows, analysis.tokens);
            let files = Files::new(&folder, subtitle, scale)?;
            (summary(&analysis), files.all(&analysis)?)
        }
        Subject::Heads(_) => {
            let heads = strait_runner::heads(&experiment, &options, &mut live)?;
            let subtitle = format!("{name}, {} tokens of calibration text", heads.tokens);
            let files = Files::new(&folder, subtitle, scale)?;
            (heads_summary(&heads), files.heads(&heads)?)
        }
    };
    say(&format!("{summary}\n\n{}: {written} files", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The files of an analysis.
struct Files<'a> {
    folder: &'a Path,
    subtitle: String,
    scale: f32,
}

impl Files<'_> {
    fn new(folder: &Path, subtitle: String, scale: f32) -> anyhow::Result<Files<'_>> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Files { folder, subtitle, scale })
    }

    fn heads(&self, heads: &Heads) -> anyhow::Result<usize> {
        let title = "Relevance of each head, share of its layer";
        self.map("heads", title, ["head", "layer"], &heads.shares, false)?;
        let rows = heads.shares.iter().map(|row| {
            let row: Vec<String> = row.iter().map(|share| format!("{share:.6}")).collect();
            format!("  [{}]", row.join(", "))
        });
        let json = format!("[\n{}\n]\n", rows.collect::<Vec<_>>().join(",\n"));
        self.write("heads.json", json.as_bytes())?;
        Ok(4)
    }

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
            self.map(&name, &title, [x, y], matrix, logarithmic)?;
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

    /// A matrix as a table and as pictures.
    fn map(
        &self,
        name: &str,
        title: &str,
        [x, y]: [&str; 2],
        matrix: &Matrix,
        logarithmic: bool,
    ) -> anyhow::Result<()> {
        self.write(&format!("{name}.csv"), csv(matrix, y, x).as_bytes())?;
        let heatmap = Heatmap {
            title: title.to_owned(),
            subtitle: self.subtitle.clone(),
            x: x.to_owned(),
            y: y.to_owned(),
            values: matrix.clone(),
            logarithmic,
        };
        self.write(&format!("{name}.svg"), heatmap.svg().as_bytes())?;
        self.write(&format!("{name}.png"), &heatmap.png(self.scale)?)
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

fn heads_summary(heads: &Heads) -> String {
    let all = heads.shares.iter().enumerate().flat_map(|(layer, row)| {
        row.iter().enumerate().map(move |(head, share)| (*share, layer, head))
    });
    let most = all.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default();
    let (count, layers) = (heads.shares.first().map_or(0, Vec::len), heads.shares.len());
    format!(
        "{layers} layers of {count} heads; head {} of layer {} has {:.0} % of its layer's relevance",
        most.2,
        most.1,
        100.0 * most.0
    )
}

/// The mean of what stands beside the diagonal.
fn beside(matrix: &Matrix) -> f64 {
    let pairs = matrix.windows(2).enumerate().filter_map(|(at, rows)| rows[0].get(at + 1));
    let (sum, count) = pairs.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
