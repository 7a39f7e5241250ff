//! A hub on loopback: the `resolve` route of models and data sets, ranges, redirects to where large
//! files are stored, and faults.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use strait_hub::Hub;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const TOKEN: &str = "secret";

/// One file as the hub has it.
#[derive(Clone, Default)]
pub(crate) struct Served {
    pub(crate) bytes: Vec<u8>,
    pub(crate) etag: String,
    /// Bytes after which each answer in turn breaks off; whole answers once they are used up.
    pub(crate) breaks: Vec<usize>,
    /// Whether its contents are stored elsewhere, to which the hub redirects.
    pub(crate) stored_apart: bool,
    /// The address to which the hub redirects for them, if it is not this server by another name.
    pub(crate) stored_at: Option<String>,
    /// An error status for every request.
    pub(crate) status: Option<u16>,
    /// What the hub says of the error.
    pub(crate) code: Option<&'static str>,
    /// Whether the server sends the whole file whatever range is asked for.
    pub(crate) ignores_ranges: bool,
    /// Another path of this server, for a repository that was renamed.
    pub(crate) moved_to: Option<String>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) range: String,
    pub(crate) token: Option<String>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Served>,
    asked: Vec<Asked>,
}

/// The server; its thread ends with the test process.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that went away is no matter of the server's.
                let _ = answer(&stream.unwrap(), &shared, port);
            }
        });
        Self { endpoint: format!("http://127.0.0.1:{port}"), state }
    }

    /// Serves a file at `path`, `owner/name/resolve/main/file`.
    pub(crate) fn serve(&self, path: &str, served: Served) -> &Self {
        self.lock().files.insert(format!("/{path}"), served);
        self
    }

    /// Serves a small file, whose name is no SHA-256.
    pub(crate) fn small(&self, path: &str, bytes: &[u8]) -> &Self {
        let etag = format!("{:040x}", bytes.len());
        self.serve(path, Served { bytes: bytes.to_vec(), etag, ..Served::default() })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    pub(crate) fn forget(&self) {
        self.lock().asked.clear();
    }

    pub(crate) fn hub(&self, cache: &Path) -> Hub {
        Hub {
            endpoint: self.endpoint.clone(),
            cache: cache.to_owned(),
            token: Some(TOKEN.to_owned()),
            offline: false,
            retries: 3,
            pause: Duration::ZERO,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn answer(mut stream: &TcpStream, state: &Mutex<State>, port: u16) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut request = Vec::new();
    for line in lines.by_ref() {
        match line? {
            line if line.is_empty() => break,
            line => request.push(line),
        }
    }
    let header = |name: &str| {
        request.iter().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let path = request[0].split(' ').nth(1).unwrap_or_default().to_owned();
    let range = header("range").unwrap_or_default();
    let mut state = state.lock().unwrap();
    state.asked.push(Asked {
        path: path.clone(),
        range: range.clone(),
        token: header("authorization"),
    });
    let stored = path.strip_prefix("/storage");
    let Some(file) = state.files.get_mut(stored.unwrap_or(&path)) else {
        return empty(stream, "404 Not Found", "");
    };
    if let Some(status) = file.status {
        let code = file.code.map(|code| format!("X-Error-Code: {code}\r\n"));
        return empty(stream, &format!("{status} No"), &code.unwrap_or_default());
    }
    if let Some(place) = &file.moved_to {
        return empty(stream, "307 Temporary Redirect", &format!("Location: {place}\r\n"));
    }
    let names = format!("X-Repo-Commit: {COMMIT}\r\nX-Linked-ETag: \"{}\"\r\n", file.etag);
    if file.stored_apart && stored.is_none() {
        // Another host name, so that the token must stay behind.
        let other_name = format!("http://localhost:{port}/storage{path}");
        let place = file.stored_at.clone().unwrap_or(other_name);
        let place = format!("Location: {place}\r\n");
        return empty(stream, "302 Found", &format!("{names}{place}"));
    }
    let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let size = file.bytes.len();
    let start: usize = start.parse().unwrap_or(0);
    if start >= size {
        return empty(
            stream,
            "416 Range Not Satisfiable",
            &format!("{names}Content-Range: bytes */{size}\r\n"),
        );
    }
    let probe = end == "0";
    let (status, start, range) = if file.ignores_ranges && !probe {
        ("200 OK", 0, String::new())
    } else {
        let end = if probe { 0 } else { size - 1 };
        ("206 Partial Content", start, format!("Content-Range: bytes {start}-{end}/{size}\r\n"))
    };
    let body = if probe { &file.bytes[..1] } else { &file.bytes[start..] };
    let names = if stored.is_some() {
        String::new()
    } else {
        format!("{names}ETag: \"{}\"\r\n", file.etag)
    };
    let sent = if probe || file.breaks.is_empty() {
        body.len()
    } else {
        file.breaks.remove(0).min(body.len())
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{range}{names}Connection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body[..sent])
}

fn empty(mut stream: &TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n{headers}Connection: close\r\n\r\n")
}

/// An address of this machine at which nobody listens.
pub(crate) fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
