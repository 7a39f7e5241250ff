//! One file over the network: what the hub says of it, and its bytes, taken up again where a connection
//! broke.
//!
//! hf-hub's own client is not used for this. It compares no checksum, and its retries append to the
//! partial file from an offset that is wrong if the first attempt brought nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::{Agent, RedirectAuthHeaders, Request, Response};

use crate::error::Reason;
use crate::store::name;
use crate::{Hub, Progress, Repository};

/// Redirects within the hub: a repository that was renamed has one.
const MOST_REDIRECTS: usize = 5;
/// A connection that brings nothing for so long has broken.
const SILENCE: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 1 << 16;

/// What the hub says of a file.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) commit: String,
    /// Name of the contents: SHA-256 of a large file, another hash of a small one.
    pub(crate) etag: String,
    pub(crate) size: u64,
}

pub(crate) struct Transfer<'a> {
    hub: &'a Hub,
    file: &'a str,
    url: String,
}

/// Why an attempt ended.
enum Stop {
    /// Another attempt may go on.
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
        let url = format!("{endpoint}/{}/resolve/{revision}/{file}", repo.url());
        Self { hub, file, url }
    }

    /// Asks for the first byte, which brings name and size of the contents.
    pub(crate) fn describe(&self) -> Result<Remote, Reason> {
        let agent = agent(0);
        let mut url = self.url.clone();
        let mut answer = self.ask(&agent, &url, "bytes=0-0")?;
        for _ in 0..MOST_REDIRECTS {
            // An absolute address is where the contents are stored; what they are is said here.
            let moved = (300..400).contains(&answer.status());
            let Some(place) = answer.header("location").filter(|to| moved && to.starts_with('/'))
            else {
                break;
            };
            url = format!("{}{place}", origin(&url));
            answer = self.ask(&agent, &url, "bytes=0-0")?;
        }
        let header = |name: &str| answer.header(name).map(str::to_owned);
        let need = |name: &str| {
            header(name).ok_or_else(|| Reason::Answer(format!("without the header {name}")))
        };
        let etag = header("x-linked-etag").map_or_else(|| need("etag"), Ok)?;
        let size = match header("x-linked-size").and_then(|size| size.parse().ok()) {
            Some(size) => Some(size),
            None if (300..400).contains(&answer.status()) => {
                total(&self.ask(&self::agent(MOST_REDIRECTS as u32), &url, "bytes=0-0")?)
            }
            None => total(&answer),
        };
        Ok(Remote {
            commit: name("commit", &need("x-repo-commit")?)?,
            etag: name("etag", &etag)?,
            size: size.ok_or_else(|| Reason::Answer("without the file's size".to_owned()))?,
        })
    }

    /// Fetches what `part` does not have yet and checks the whole.
    pub(crate) fn download(
        &self,
        remote: &Remote,
        part: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), Reason> {
        let agent = agent(MOST_REDIRECTS as u32);
        let mut began_with = length(part);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let message = match self.attempt(&agent, remote, part, progress) {
                Ok(()) => return Ok(()),
                // What an earlier run left may be of another file or damaged: once more from nothing.
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
            let answer = match self.ask(agent, &self.url, &format!("bytes={done}-")) {
                // The server has another idea of the file's length.
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
            if answer.status() != 206 {
                // It sends the whole file.
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

    fn ask(&self, agent: &Agent, url: &str, range: &str) -> Result<Response, Reason> {
        let request: Request =
            agent.get(url).set("Range", range).set("Accept-Encoding", "identity");
        let request = match &self.hub.token {
            Some(token) => request.set("Authorization", &format!("Bearer {token}")),
            None => request,
        };
        request.call().map_err(|error| match error {
            ureq::Error::Status(status @ (401 | 403), _) => Reason::Denied(status),
            ureq::Error::Status(404, _) => Reason::NotFound,
            ureq::Error::Status(status, _) => Reason::Status(status),
            ureq::Error::Transport(error) => Reason::Unreachable(error.to_string()),
        })
    }
}

fn agent(redirects: u32) -> Agent {
    ureq::builder()
        .try_proxy_from_env(true)
        .redirects(redirects)
        // The token is for the hub, not for where it stores contents.
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .timeout_connect(SILENCE)
        .timeout_read(SILENCE)
        .user_agent(concat!("strait/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// `https://host:port` of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    &url[..end]
}

/// The whole file's size: the end of `Content-Range: bytes 0-0/1234`, or the length of an answer that
/// is the whole file.
fn total(answer: &Response) -> Option<u64> {
    match answer.header("content-range") {
        Some(range) => range.rsplit('/').next()?.parse().ok(),
        None if answer.status() == 200 => answer.header("content-length")?.parse().ok(),
        None => None,
    }
}

/// The first byte of `Content-Range: bytes 5-9/10`.
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
