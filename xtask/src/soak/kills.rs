//! Runs that are killed at random moments and started again until they finish: the records are those of an undisturbed run.

use std::time::Duration;

use anyhow::Result;

use super::Soak;
use super::bench::{Bench, difference};
use super::tally::Part;

const KILLS: u64 = 200;
/// The most that one run is killed before it may finish.
const IN_A_ROW: u64 = 8;

/// Four codecs in rings of four stages, a cache, and the floor of noise.
const CELLS: &str = "
[partition]
plan = \"ring-4\"
[[compressor]]
codec = \"affine\"
params = { granularity = \"group\", group = 64 }
sweep = { bits = [8, 4, 3] }
[[compressor]]
codec = \"raw\"
[[cache]]
press = \"knorm\"
ratio = 0.5
";

pub(super) fn run(soak: &Soak) -> Result<Vec<Part>> {
    let bench = Bench::small(soak, "kills", 1500, CELLS)?;
    let (expected, seconds) = bench.undisturbed()?;
    let mut kills = Part::new(format!("SIGKILL at a random moment of a run of {seconds:.1} s"));
    let mut compared = Part::new("records of a killed run against an undisturbed one");
    let (wanted, mut done, mut index) = (soak.count(KILLS), 0, 0);
    while done < wanted && !compared.is_hopeless() {
        bench.remove("disturbed")?;
        let mut in_a_row = 0;
        loop {
            let mut dice = soak.dice("kills", index);
            index += 1;
            // Some moments lie past the end, so that runs also finish in between.
            let moment = seconds * dice.below(1200) as f64 / 1000.0;
            let kill = (done < wanted && in_a_row < IN_A_ROW)
                .then(|| Duration::from_secs_f64(moment.max(0.001)));
            let ended = bench.run("disturbed", kill)?;
            if ended.killed {
                kills.count(if moment < seconds / 4.0 { "in the first quarter" } else { "later" });
                (done, in_a_row) = (done + 1, in_a_row + 1);
                continue;
            }
            if let Some(complaint) = ended.complaint(&[0]) {
                let kept = soak.keep(&bench.folder.join("disturbed"), &format!("kill-{index}"))?;
                kills.wrong(complaint, Some(kept));
                done += 1;
            }
            break;
        }
        match difference(&expected, &bench.records("disturbed")?) {
            None => compared.count("equal to the bit"),
            Some(what) => {
                let kept = soak.keep(&bench.folder.join("disturbed"), &format!("kill-{index}"))?;
                compared.wrong(what, Some(kept));
            }
        }
    }
    compared.seconds = Some(0.0);
    Ok(vec![kills, compared])
}
