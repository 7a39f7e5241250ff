//! Places where a run cannot write, or not much: full disks, a limit on files, a read-only folder; and a clock that goes
//! backward. What was measured stays, and a run that has room again ends in the records of an undisturbed one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};

use super::bench::{Bench, Records, difference, records};
use super::ended::{self, Ended};
use super::tally::Part;
use super::{Soak, copy_folder};

/// Of each way to run out of room.
const TIMES: u64 = 30;
const CLOCKS: u64 = 20;

/// A bench, with its undisturbed records and the bytes of its results.
struct Place<'a> {
    soak: &'a Soak,
    bench: Bench<'a>,
    expected: Records,
    seconds: f64,
    bytes: u64,
}

pub(super) fn run(soak: &Soak) -> Result<Vec<Part>> {
    let bench = Bench::tiny(soak, "places")?;
    let (expected, seconds) = bench.undisturbed()?;
    let bytes = size_of(&bench.folder.join("undisturbed"))?;
    let place = Place { soak, bench, expected, seconds, bytes };
    Ok(vec![
        place.full_disk()?,
        place.disk_that_fills()?,
        place.limited_files()?,
        place.read_only()?,
        place.files_of_the_future()?,
        place.backward_clock()?,
    ])
}

fn size_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

impl Place<'_> {
    /// A file system of so many bytes that a part of the results fits: refused before the first window, since the space is
    /// looked at.
    fn full_disk(&self) -> Result<Part> {
        let mut part = Part::new("results folder on a full disk (tmpfs)");
        self.on_tmpfs(&mut part, |_, kib| format!("mount -t tmpfs -o size={kib}k tmpfs disk"))?;
        Ok(part)
    }

    /// A file system with room at the start, on which something else takes it during the run.
    fn disk_that_fills(&self) -> Result<Part> {
        let mut part = Part::new("a disk that others fill during the run (tmpfs)");
        // Space is looked at first, so there is plenty; what is left of it then is `kib`.
        self.on_tmpfs(&mut part, |place, kib| {
            let after = place.seconds * 0.3;
            let room = 64 << 10;
            format!(
                "mount -t tmpfs -o size={room}k tmpfs disk; (sleep {after:.3}; \
                 dd if=/dev/zero of=disk/other bs=1k count={} 2>/dev/null) & others=$!",
                room - kib
            )
        })?;
        Ok(part)
    }

    /// Runs with results on a file system of its own, which `mount` makes, in a namespace of its own.
    fn on_tmpfs(&self, part: &mut Part, mount: fn(&Self, u64) -> String) -> Result<()> {
        if !can_mount() {
            part.count("skipped: no namespace to mount in");
            return Ok(());
        }
        for index in 0..self.soak.count(TIMES) {
            let mut dice = self.soak.dice(&part.what, index);
            let kib = 4 + dice.below((self.bytes / 1024) as usize + 16) as u64;
            let mount = mount(self, kib);
            self.bench.remove("disk")?;
            self.bench.remove("saved")?;
            fs::create_dir(self.bench.folder.join("disk"))?;
            let script = format!(
                "others=; {mount}; \"$0\" \"$@\"; code=$?; test -n \"$others\" && kill $others 2>/dev/null; \
                 cp -a disk/results saved 2>/dev/null; exit $code"
            );
            let ended = self.in_shell(&["unshare", "-rm", "sh", "-c", &script], "disk/results")?;
            self.judge(part, &ended, "saved", &format!("disk-{kib}-{index}"))?;
        }
        Ok(())
    }

    /// A limit on the size of a file, which is how a full disk looks where nothing can be mounted.
    fn limited_files(&self) -> Result<Part> {
        let mut part = Part::new("files that may not grow (RLIMIT_FSIZE)");
        for index in 0..self.soak.count(TIMES) {
            let mut dice = self.soak.dice("limited", index);
            let blocks = dice.below(24);
            self.bench.remove("limited")?;
            // Without the signal, the write itself fails, as on a full disk. Blocks are of 512 bytes.
            let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
            let ended = self.in_shell(&["sh", "-c", &script], "limited")?;
            self.judge(&mut part, &ended, "limited", &format!("limit-{blocks}-{index}"))?;
        }
        Ok(part)
    }

    fn in_shell(&self, words: &[&str], output: &str) -> Result<Ended> {
        let (program, words) = words.split_first().context("a command has words")?;
        let strait = self.soak.strait.display().to_string();
        let arguments = self.bench.run_arguments(super::bench::EXPERIMENT, output);
        let arguments = arguments.iter().map(String::as_str);
        let words: Vec<&str> =
            words.iter().copied().chain([strait.as_str()]).chain(arguments).collect();
        let mut command = self.bench.prepared(Command::new(program), &words);
        ended::run(&mut command, &self.bench.folder, None)
    }

    /// A run that had no room says so in one line; one that has room again goes on from what is there.
    fn judge(&self, part: &mut Part, ended: &Ended, output: &str, name: &str) -> Result<()> {
        let folder = self.bench.folder.join(output);
        let wrong = match (ended.complaint(&[0, 2]), ended.code) {
            (Some(complaint), _) => Some(complaint),
            (None, Some(0)) => difference(&self.expected, &records(&folder)?),
            (None, _) => {
                let said = ended.stderr.contains("space") || ended.stderr.contains("too large");
                (!said).then(|| format!("it does not name the cause: {}", ended.stderr))
            }
        };
        let wrong = match wrong {
            Some(wrong) => Some(wrong),
            None => self.goes_on(output)?,
        };
        match wrong {
            Some(wrong) => {
                let kept = folder.exists().then(|| self.soak.keep(&folder, name)).transpose()?;
                part.wrong(format!("{name}: {wrong}"), kept);
            }
            None if ended.code == Some(0) => part.count("had room"),
            None => part.count("refused, and went on with room"),
        }
        Ok(())
    }

    /// Whether another run in the same folder, undisturbed now, ends in the right records.
    fn goes_on(&self, output: &str) -> Result<Option<String>> {
        let ended = self.bench.run(output, None)?;
        let complaint = ended.complaint(&[0]).map(|what| format!("going on: {what}"));
        let differs = difference(&self.expected, &self.bench.records(output)?);
        Ok(complaint.or(differs.map(|what| format!("after going on: {what}"))))
    }

    /// A folder on a file system that is mounted read-only.
    fn read_only(&self) -> Result<Part> {
        let mut part = Part::new("a read-only results folder");
        if !can_mount() {
            part.count("skipped: no namespace to mount in");
            return Ok(part);
        }
        for name in ["empty", "finished", "unfinished"] {
            let folder = self.bench.folder.join("sealed");
            self.bench.remove("sealed")?;
            match name {
                "empty" => fs::create_dir(&folder)?,
                "finished" => copy_folder(&self.bench.folder.join("undisturbed"), &folder)?,
                _ => {
                    let journals = self.bench.folder.join("undisturbed/journal");
                    copy_folder(&journals, &folder.join("journal"))?;
                }
            }
            let script = "mount --bind sealed sealed && mount -o remount,bind,ro sealed && exec \"$0\" \"$@\"";
            let ended = self.in_shell(&["unshare", "-rm", "sh", "-c", script], "sealed")?;
            let wrong = match ended.complaint(&[2]) {
                None if ended.stderr.contains("Read-only") => self.goes_on("sealed")?,
                None => Some(format!("it does not name the cause: {}", ended.stderr)),
                complaint => complaint,
            };
            match wrong {
                Some(wrong) => part.wrong(format!("{name}: {wrong}"), None),
                None => part.count("refused, and went on elsewhere"),
            }
        }
        Ok(part)
    }

    /// Files that are dated years ahead, or before 1971: what a clock that was set back leaves.
    fn files_of_the_future(&self) -> Result<Part> {
        let mut part = Part::new("killed runs whose files are of the future or of 1970");
        let today = fs::metadata(self.bench.folder.join("undisturbed"))?.modified()?;
        for index in 0..self.soak.count(CLOCKS) {
            let mut dice = self.soak.dice("dates", index);
            self.bench.remove("dated")?;
            let moment = self.seconds * dice.below(1000) as f64 / 1000.0;
            self.bench.run("dated", Some(Duration::from_secs_f64(moment.max(0.001))))?;
            let years = Duration::from_secs(10 * 365 * 24 * 3600);
            let date = match dice.below(2) {
                0 => SystemTime::UNIX_EPOCH,
                _ => today + years,
            };
            let folder = self.bench.folder.join("dated");
            if folder.exists() {
                set_dates(&folder, date)?;
            }
            match self.goes_on("dated")? {
                Some(wrong) => {
                    let kept = self.soak.keep(&folder, &format!("dated-{index}"))?;
                    part.wrong(wrong, Some(kept));
                }
                None => part.count("went on"),
            }
        }
        Ok(part)
    }

    /// A clock that reads an hour less every time it is looked at, in a run and in one that goes on.
    fn backward_clock(&self) -> Result<Part> {
        let mut part = Part::new("a wall clock that goes back an hour at every look (preloaded)");
        let library = self.bench.folder.join("clock.so");
        if let Err(reason) = self.build_clock(&library) {
            eprintln!("skipped: {reason:#}");
            part.count("skipped: no C compiler");
            return Ok(part);
        }
        for index in 0..self.soak.count(CLOCKS) {
            let mut dice = self.soak.dice("clock", index);
            self.bench.remove("backward")?;
            let moment = self.seconds * dice.below(1000) as f64 / 1000.0;
            let moments = [Some(Duration::from_secs_f64(moment.max(0.001))), None];
            let mut wrong = None;
            for kill in moments {
                let arguments = self.bench.run_arguments(super::bench::EXPERIMENT, "backward");
                let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let mut command = self.bench.command(&words);
                command.env("LD_PRELOAD", &library);
                let ended = ended::run(&mut command, &self.bench.folder, kill)?;
                if !ended.killed {
                    wrong = wrong.or(ended.complaint(&[0]));
                }
            }
            let wrong = wrong.or(difference(&self.expected, &self.bench.records("backward")?));
            match wrong {
                Some(wrong) => {
                    let folder = self.bench.folder.join("backward");
                    let kept = self.soak.keep(&folder, &format!("clock-{index}"))?;
                    part.wrong(wrong, Some(kept));
                }
                None => part.count("the same records"),
            }
        }
        Ok(part)
    }

    fn build_clock(&self, library: &Path) -> Result<()> {
        let source = self.soak.root.join("xtask/soak/clock.c");
        let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        let cc = cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(library).arg(source);
        let output = cc.output().context("starting the C compiler")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// Whether this user may mount in a namespace of its own.
fn can_mount() -> bool {
    let mut trial = Command::new("unshare");
    trial.args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]);
    let status = trial.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn set_dates(folder: &Path, date: SystemTime) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            set_dates(&path, date)?;
        } else {
            let file = fs::File::options().write(true).open(&path)?;
            file.set_modified(date).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}
