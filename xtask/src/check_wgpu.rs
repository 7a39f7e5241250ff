//! `cargo xtask check-wgpu`: runs the model's tests on a Vulkan device, which may be a software
//! one.
//!
//! It is not part of the gate, because it builds burn's Vulkan backend and needs a driver. The
//! kernels are those that CUDA runs, through another compiler (docs/gpu.md).

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::workspace::Workspace;

/// Run the model's tests on a Vulkan device, such as Mesa's lavapipe
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The Vulkan driver's manifest; by default lavapipe's, on the CPU, where it is installed
    #[arg(long, value_name = "FILE.json")]
    driver: Option<PathBuf>,
    /// Only tests whose name contains this
    #[arg(value_name = "NAME")]
    filter: Option<String>,
}

/// Where Debian, Ubuntu and Fedora install the software driver's manifest.
const LAVAPIPE: [&str; 2] =
    ["/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "/usr/share/vulkan/icd.d/lvp_icd.json"];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let driver = args.driver.clone().or_else(lavapipe);
    if driver.is_none() {
        eprintln!(
            "no software driver found (Debian: apt-get install mesa-vulkan-drivers); \
             trying the system's Vulkan devices"
        );
    }
    let mut tests = command(args.filter.as_deref());
    tests.current_dir(&workspace.root);
    if let Some(driver) = driver {
        if !driver.is_file() {
            bail!("{}: expected a Vulkan driver's manifest, found no file", driver.display());
        }
        tests.env("VK_DRIVER_FILES", &driver).env("VK_ICD_FILENAMES", &driver);
    }
    let status = tests.status().context("cargo did not start")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lavapipe() -> Option<PathBuf> {
    LAVAPIPE.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Uses its own target folder, because the feature causes burn to be rebuilt.
fn command(filter: Option<&str>) -> Command {
    let mut command = cargo::command();
    command.args(["test", "--release", "--locked", "--package", "strait-model"]);
    command.args(["--package", "strait-burn"]);
    command.args([
        "--features",
        "strait-burn/wgpu",
        "--target-dir",
        "target/wgpu",
        "--test",
        "model",
    ]);
    command.args(["--", "--test-threads", "1"]).args(filter);
    command.env("STRAIT_TEST_DEVICES", "vulkan");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_run_on_vulkan_in_a_folder_of_their_own() {
        let command = command(Some("every_layer"));
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        let text = arguments.join(" ");
        assert!(text.contains("--features strait-burn/wgpu --target-dir target/wgpu"), "{text}");
        assert!(text.ends_with(" every_layer"), "{text}");
        assert!(command.get_envs().any(|(name, value)| {
            name == "STRAIT_TEST_DEVICES" && value == Some("vulkan".as_ref())
        }));
    }
}
