//! `cargo xtask build-backend`: builds the library that GPUs need and puts it where the host looks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo::{self, Lock, Product};
use crate::workspace::Workspace;

/// The package of the library.
pub(crate) const PACKAGE: &str = "strait-burn";

/// Build the library that GPUs, `cpu:plain` and `strait analyze heads` need
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also copy the library into this folder, such as the one of an installed `strait`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let library = build(&workspace, Lock::MayChange)?;
    println!("{}", library.display());
    if let Some(folder) = &args.out {
        let copy = folder.join(library.file_name().context("a library has a name")?);
        fs::copy(&library, &copy).with_context(|| format!("writing {}", copy.display()))?;
        println!("{}", copy.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the library beside the host's program, where the host looks first.
pub(crate) fn build(workspace: &Workspace, lock: Lock) -> Result<PathBuf> {
    let package = workspace.packages.iter().find(|package| package.name == PACKAGE);
    let package = package.with_context(|| {
        format!("this workspace has no package \"{PACKAGE}\"; run this inside strait's repository")
    })?;
    cargo::build(workspace, package, Product::SharedLibrary, lock)
}

/// Whether running `experiment` takes the library: it names a device that is not the CPU, or leaves the choice to a machine
/// with an NVIDIA driver.
pub(crate) fn needed(experiment: &str) -> Result<bool> {
    needed_with(experiment, has_driver())
}

fn needed_with(experiment: &str, driver: bool) -> Result<bool> {
    let table: toml::Table = experiment.parse()?;
    let mut devices = Vec::new();
    add_devices(&toml::Value::Table(table), &mut devices);
    let named = devices.iter().any(|device| !["cpu", "auto"].contains(&device.as_str()));
    // `auto` is the default.
    let chosen = devices.is_empty() || devices.iter().any(|device| device == "auto");
    Ok(named || (chosen && driver))
}

/// Adds the values of every key `device` or `devices`.
fn add_devices(value: &toml::Value, devices: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                match value {
                    toml::Value::String(device) if key == "device" => devices.push(device.clone()),
                    toml::Value::Array(list) if key == "device" || key == "devices" => {
                        devices
                            .extend(list.iter().filter_map(|one| one.as_str()).map(str::to_owned));
                    }
                    other => add_devices(other, devices),
                }
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| add_devices(value, devices)),
        _ => {}
    }
}

/// Whether the kernel has NVIDIA's driver, natively or under WSL.
fn has_driver() -> bool {
    ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1"]
        .iter()
        .any(|file| Path::new(file).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_besides_the_cpu_needs_the_library() {
        for (experiment, without_driver, with_driver) in [
            ("[model]\nsource = 'x'", false, true),
            ("[model]\ndevice = 'auto'", false, true),
            ("[model]\ndevice = 'cpu'", false, false),
            ("[model]\ndevice = 'cuda:1'", true, true),
            ("[[model]]\ndevice = 'cpu'\n[[model]]\ndevice = 'cpu:plain'", true, true),
            ("[partition]\ndevices = ['cpu', 'cuda:0']", true, true),
            ("[model]\ndevice = ['cpu', 'cpu']", false, false),
        ] {
            for (driver, needs) in [(false, without_driver), (true, with_driver)] {
                assert_eq!(needed_with(experiment, driver).unwrap(), needs, "{experiment}");
            }
        }
        assert!(needed("x = ").is_err());
    }
}
