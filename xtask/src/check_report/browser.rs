//! A headless Chromium, driven over two pipes with messages of the DevTools protocol as JSON, each
//! terminated by a zero byte (`--remote-debugging-pipe`: it reads descriptor 3 and writes descriptor 4).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Programs to try when no browser is named.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser with one page.
pub(super) struct Browser {
    child: Child,
    folder: PathBuf,
    to: File,
    from: BufReader<File>,
    session: String,
    id: u64,
    complaints: Vec<String>,
}

impl Browser {
    pub(super) fn start(program: Option<&Path>) -> Result<Self> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => find().context("no Chromium found: name one with --chromium or CHROMIUM")?,
        };
        let folder =
            std::env::temp_dir().join(format!("strait-check-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let (to, from) = (folder.join("to"), folder.join("from"));
        for pipe in [&to, &from] {
            if !Command::new("mkfifo").arg(pipe).status().context("mkfifo")?.success() {
                bail!("mkfifo {} failed", pipe.display());
            }
        }
        // The shell gives the browser its two descriptors.
        let script = "exec \"$0\" --headless --no-sandbox --disable-gpu --hide-scrollbars --disable-dev-shm-usage \
                      --user-data-dir=\"$3\" --remote-debugging-pipe about:blank 3<\"$1\" 4>\"$2\"";
        let child = Command::new("sh")
            .args(["-c", script])
            .arg(&program)
            .args([&to, &from])
            .arg(folder.join("profile"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        // In the order in which the shell opens them, because each end waits for the other.
        let to = OpenOptions::new().write(true).open(&to)?;
        let from = BufReader::new(File::open(&from)?);
        let (session, complaints) = (String::new(), Vec::new());
        let mut browser = Self { child, folder, to, from, session, id: 0, complaints };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attach)?["sessionId"].clone();
        browser.session = session.as_str().context("no session")?.to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}))?;
        }
        Ok(browser)
    }

    /// Opens a page and waits until it has been drawn.
    pub(super) fn open(&mut self, url: &str, width: u32, height: u32) -> Result<()> {
        self.size(width, height)?;
        self.call("Page.navigate", json!({ "url": url }))?;
        self.ready()
    }

    /// Loads the page again with another window size; `media` is `light`, `dark` or `print`.
    pub(super) fn reload(&mut self, width: u32, height: u32, media: &str) -> Result<()> {
        let scheme = if media == "dark" { "dark" } else { "light" };
        let kind = if media == "print" { "print" } else { "screen" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"media": kind, "features": features}))?;
        self.size(width, height)?;
        self.evaluate("try { localStorage.clear() } catch {}; history.replaceState(null, '', location.pathname); true")?;
        self.call("Page.reload", json!({}))?;
        self.ready()
    }

    fn size(&mut self, width: u32, height: u32) -> Result<()> {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics).map(drop)
    }

    fn ready(&mut self) -> Result<()> {
        for _ in 0..200 {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let ready = "location.href !== 'about:blank' && document.documentElement.dataset.ready === 'true'";
            if self.evaluate(ready).is_ok_and(|ready| ready == true) {
                return Ok(());
            }
        }
        bail!("the page did not get ready: {}", self.complaints())
    }

    /// Evaluates an expression.
    pub(super) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let answer = self
            .call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}))?;
        match answer.get("exceptionDetails") {
            Some(error) => bail!("{expression}: {}", error["exception"]["description"]),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    pub(super) fn mouse(&mut self, kind: &str, x: f64, y: f64) -> Result<()> {
        let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
        self.call("Input.dispatchMouseEvent", event).map(drop)
    }

    pub(super) fn key(&mut self, key: &str) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "code": key}))?;
        }
        Ok(())
    }

    /// The whole page as PNG.
    pub(super) fn screenshot(&mut self) -> Result<Vec<u8>> {
        let options = json!({"format": "png", "captureBeyondViewport": true});
        let data = self.call("Page.captureScreenshot", options)?["data"].clone();
        decode_base64(data.as_str().context("no picture")?)
    }

    /// All console messages of the page that are warnings or worse.
    pub(super) fn complaints(&self) -> String {
        self.complaints.join("; ")
    }

    fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.id += 1;
        let mut message = json!({"id": self.id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).context("the browser has gone")?;
        loop {
            let mut bytes = Vec::new();
            if self.from.read_until(0, &mut bytes)? == 0 {
                bail!("the browser ended during {method}");
            }
            bytes.pop();
            let answer: Value = serde_json::from_slice(&bytes)?;
            if answer["id"] == self.id {
                return match answer.get("error") {
                    Some(error) => bail!("{method}: {error}"),
                    None => Ok(answer["result"].clone()),
                };
            }
            self.listen(&answer);
        }
    }

    fn listen(&mut self, event: &Value) {
        let params = &event["params"];
        let said = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                &params["exceptionDetails"]["exception"]["description"]
            }
            Some("Log.entryAdded") if params["entry"]["level"] != "info" => {
                &params["entry"]["text"]
            }
            Some("Runtime.consoleAPICalled")
                if ["error", "warning", "assert"].iter().any(|kind| params["type"] == *kind) =>
            {
                &params["args"]
            }
            _ => return,
        };
        self.complaints.push(said.to_string());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|p| p.is_file())
}

fn decode_base64(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => bail!("not base64"),
        };
        (bits, held) = (bits << 6 | u32::from(value), held + 6);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::decode_base64;

    #[test]
    fn base64() {
        for (text, bytes) in
            [("", ""), ("TQ==", "M"), ("TWE=", "Ma"), ("TWFu", "Man"), ("+/8=", "")]
        {
            let decoded = decode_base64(text).unwrap();
            if !bytes.is_empty() || text.is_empty() {
                assert_eq!(decoded, bytes.as_bytes(), "{text}");
            }
        }
        assert_eq!(decode_base64("+/8=").unwrap(), [0xfb, 0xff]);
        assert!(decode_base64("a b").is_err());
    }
}
