//! Transfers one file over the network: what the hub says about it, and its bytes, resumed where a connection
//! broke.
//!
//! hf-hub's own client is not used for this: it compares no checksum, and its retries append to the partial
//! file from an offset that is wrong if the first attempt received nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::{Agent, Request, Response};
use url::Url;

use crate::error::Reason;
use crate::store::name;
use crate::{Hub, Progress, Repository};

/// Most redirects followed: a renamed repository causes one, contents that are stored elsewhere another.
const MOST_REDIRECTS: usize = 5;
/// A connection that delivers nothing for this long counts as broken.
const SILENCE: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 1 << 16;

/// What the hub announces about a file.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) commit: String,
    /// Name of the contents: SHA-256 for a large file, another hash for a small one.
    pub(crate) etag: String,
    pub(crate) size: u64,
}

pub(crate) struct Transfer<'a> {
    hub: &'a Hub,
    file: &'a str,
    url: String,
    /// The repository's web page.
    page: String,
}

/// Why an attempt ended.
enum Stop {
    /// Another attempt may succeed.
    Broken(String),
    Final(Reason),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Final(reason)
    }
}

impl<'a> Transfer<'a> {
    pub(crate) fn new(hub: &'a Hub, repository: &Repository, file: &'a str) -> Self {
        let repo = repository.repo();
        let (endpoint, revision) = (hub.endpoint.trim_end_matches('/'), repo.url_revision());
        let page = format!("{endpoint}/{}", repo.url());
        let url = format!("{page}/resolve/{revision}/{file}");
        Self { hub, file, url, page }
    }

    /// Requests the first byte, which reveals the name and size of the contents.
    pub(crate) fn describe(&self) -> Result<Remote, Reason> {
        let agent = agent();
        let mut url = self.address(&self.url)?;
        let mut answer = self.ask_once(&agent, &url, "bytes=0-0")?;
        for _ in 0..MOST_REDIRECTS {
            // An absolute address leads to where the contents are stored; only the hub itself says what they
            // are.
            let within = answer.header("location").is_some_and(|place| place.starts_with('/'));
            let Some(place) = moved(&url, &answer)?.filter(|_| within) else { break };
            url = place;
            answer = self.ask_once(&agent, &url, "bytes=0-0")?;
        }
        let header = |name: &str| answer.header(name).map(str::to_owned);
        let need = |name: &str| {
            header(name).ok_or_else(|| Reason::Answer(format!("without the header {name}")))
        };
        let etag = header("x-linked-etag").map_or_else(|| need("etag"), Ok)?;
        let size = match header("x-linked-size").and_then(|size| size.parse().ok()) {
            Some(size) => Some(size),
            None if (300..400).contains(&answer.status()) => {
                total(&self.ask(&agent, &url, "bytes=0-0")?)
            }
            None => total(&answer),
        };
        Ok(Remote {
            commit: name("commit", &need("x-repo-commit")?)?,
            etag: name("etag", &etag)?,
            size: size.ok_or_else(|| Reason::Answer("without the file's size".to_owned()))?,
        })
    }

    /// Fetches the part of the file that `part` still lacks and checks the whole.
    pub(crate) fn download(
        &self,
        remote: &Remote,
        part: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), Reason> {
        let agent = agent();
        let mut began_with = length(part);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let message = match self.attempt(&agent, remote, part, progress) {
                Ok(()) => return Ok(()),
                // What an earlier run left may be damaged or belong to another file, so start once more from
                // nothing.
                Err(Stop::Final(Reason::Checksum { .. })) if began_with > 0 => {
                    log::warn!(
                        "{}: the part from an earlier run does not fit, starting over",
                        self.file
                    );
                    began_with = 0;
                    continue;
                }
                Err(Stop::Final(reason)) => return Err(reason),
                Err(Stop::Broken(message)) => message,
            };
            if attempts > self.hub.retries {
                let (received, size) = (length(part), remote.size);
                return Err(Reason::Broken { received, size, attempts, message });
            }
            log::warn!("{}: {message}; going on after {} bytes", self.file, length(part));
            std::thread::sleep(self.hub.pause * 2_u32.saturating_pow(attempts as u32 - 1));
        }
    }

    fn attempt(
        &self,
        agent: &Agent,
        remote: &Remote,
        part: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), Stop> {
        let mut done = length(part);
        if done > remote.size {
            remove(part)?;
            done = 0;
        }
        let mut body: Box<dyn Read> = Box::new(io::empty());
        if done < remote.size {
            let url = self.address(&self.url)?;
            let answer = match self.ask(agent, &url, &format!("bytes={done}-")) {
                // The server reports a different length for the file.
                Err(Reason::Status(416)) => {
                    remove(part)?;
                    return Err(Stop::Broken("it answers 416 to a range".to_owned()));
                }
                Err(Reason::Status(status @ (429 | 500..=599))) => {
                    return Err(Stop::Broken(format!("it answers {status}")));
                }
                Err(Reason::Unreachable(message)) => return Err(Stop::Broken(message)),
                other => other?,
            };
            if !matches!(answer.status(), 200 | 206) {
                return Err(Reason::Status(answer.status()).into());
            }
            if answer.status() != 206 {
                // The server sends the whole file.
                remove(part)?;
                done = 0;
            } else if first(&answer) != Some(done) {
                let range = answer.header("content-range").unwrap_or("none").to_owned();
                return Err(Reason::Answer(format!("with the range {range:?}")).into());
            }
            body = answer.into_reader();
        }
        progress.start(self.file, remote.size, done);
        let mut hasher = Sha256::new();
        if done > 0 {
            let mut file = File::open(part).map_err(Reason::cache("read", part))?;
            io::copy(&mut file, &mut hasher).map_err(Reason::cache("read", part))?;
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(part)
            .map_err(Reason::cache("create", part))?;
        let mut buffer = vec![0; BUFFER_BYTES];
        while done < remote.size {
            let count = match body.read(&mut buffer) {
                Ok(0) => return Err(Stop::Broken("it ended early".to_owned())),
                Ok(count) => count.min(usize::try_from(remote.size - done).unwrap_or(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stop::Broken(error.to_string())),
            };
            file.write_all(&buffer[..count]).map_err(Reason::cache("write", part))?;
            hasher.update(&buffer[..count]);
            done += count as u64;
            progress.advance(count as u64);
        }
        file.sync_all().map_err(Reason::cache("write", part))?;
        let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if is_sha256(&remote.etag) && !remote.etag.eq_ignore_ascii_case(&found) {
            remove(part)?;
            return Err(Reason::Checksum { expected: remote.etag.clone(), found }.into());
        }
        Ok(())
    }

    /// Sends a request and follows redirects.
    fn ask(&self, agent: &Agent, url: &Url, range: &str) -> Result<Response, Reason> {
        let mut url = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.ask_once(agent, &url, range)?;
            match moved(&url, &answer)? {
                Some(place) => url = place,
                None => return Ok(answer),
            }
        }
        Err(Reason::Answer(format!("with more than {MOST_REDIRECTS} redirects")))
    }

    /// Sends a request to one address. The token goes to the hub only, not to where it stores contents.
    fn ask_once(&self, agent: &Agent, url: &Url, range: &str) -> Result<Response, Reason> {
        let request: Request =
            agent.request_url("GET", url).set("Range", range).set("Accept-Encoding", "identity");
        let hub = self.address(&self.hub.endpoint)?;
        let token = self.hub.token.as_ref().filter(|_| url.origin() == hub.origin());
        let request = match token {
            Some(token) => request.set("Authorization", &format!("Bearer {token}")),
            None => request,
        };
        request.call().map_err(|error| match error {
            ureq::Error::Status(status, answer) => self.refused(status, &answer),
            ureq::Error::Transport(error) => Reason::Unreachable(error.to_string()),
        })
    }

    /// Why the hub refused, from the error code that it sends along.
    fn refused(&self, status: u16, answer: &Response) -> Reason {
        match (answer.header("x-error-code"), status) {
            (Some("GatedRepo"), _) => Reason::Gated(self.page.clone()),
            (Some("RepoNotFound"), _) => Reason::NoRepository(status),
            (Some("RevisionNotFound"), _) => Reason::NoRevision,
            (_, 401 | 403) => Reason::Denied(status),
            (_, 404) => Reason::NotFound,
            (_, status) => Reason::Status(status),
        }
    }

    fn address(&self, text: &str) -> Result<Url, Reason> {
        Url::parse(text).map_err(|error| Reason::Endpoint(format!("{text:?}: {error}")))
    }
}

/// The target of a redirect, if the answer is one. Only HTTP and HTTPS are allowed, and never a step from
/// HTTPS down to HTTP.
fn moved(from: &Url, answer: &Response) -> Result<Option<Url>, Reason> {
    if !(300..400).contains(&answer.status()) {
        return Ok(None);
    }
    let Some(place) = answer.header("location") else { return Ok(None) };
    let to = from.join(place);
    let refused = || Reason::Answer(format!("with a redirect to {place:?}"));
    match (from.scheme(), to.as_ref().map(Url::scheme)) {
        (_, Ok("https")) | ("http", Ok("http")) => to.map(Some).map_err(|_| refused()),
        _ => Err(refused()),
    }
}

fn agent() -> Agent {
    ureq::builder()
        .try_proxy_from_env(true)
        // Redirects are followed by `ask`, which knows who may see the token.
        .redirects(0)
        .timeout_connect(SILENCE)
        .timeout_read(SILENCE)
        .user_agent(concat!("strait/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Size of the whole file: the end of `Content-Range: bytes 0-0/1234`, or the length of an answer that
/// contains the whole file.
fn total(answer: &Response) -> Option<u64> {
    match answer.header("content-range") {
        Some(range) => range.rsplit('/').next()?.parse().ok(),
        None if answer.status() == 200 => answer.header("content-length")?.parse().ok(),
        None => None,
    }
}

/// Position of the first byte in `Content-Range: bytes 5-9/10`.
fn first(answer: &Response) -> Option<u64> {
    let range = answer.header("content-range")?.strip_prefix("bytes ")?;
    range.split('-').next()?.parse().ok()
}

fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |data| data.len())
}

fn remove(path: &Path) -> Result<(), Reason> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Reason::cache("delete", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(from: &str, place: &str) -> Result<Option<Url>, Reason> {
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\n\r\n");
        moved(&Url::parse(from).unwrap(), &answer.parse().unwrap())
    }

    #[test]
    fn redirects_go_to_http_or_https_and_never_down() {
        let hub = "https://hub.test/a/b";
        let at = |place: &str| to(hub, place).unwrap().unwrap().to_string();
        assert_eq!(at("/c"), "https://hub.test/c");
        assert_eq!(at("//store.test/c"), "https://store.test/c");
        assert_eq!(at("https://store.test:8443/c"), "https://store.test:8443/c");
        assert!(to("http://hub.test/", "https://hub.test/").unwrap().is_some());
        assert!(to("http://hub.test/", "http://store.test/").unwrap().is_some());
        for place in ["http://hub.test/c", "ftp://hub.test/c", "file:///etc/passwd", "data:,x"] {
            let error = to(hub, place).unwrap_err().to_string();
            assert!(error.contains("with a redirect to"), "{place}: {error}");
        }
        let whole = "HTTP/1.1 200 OK\r\nLocation: /x\r\n\r\n".parse().unwrap();
        assert!(moved(&Url::parse(hub).unwrap(), &whole).unwrap().is_none());
    }
}
