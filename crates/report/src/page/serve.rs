//! The live page on loopback: a server of two paths that reads the results afresh for each answer, unless they are as the
//! visitor knows them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::escape;
use crate::{Collection, Page};

/// Seconds between two questions of the page.
const EVERY_S: u32 = 2;
/// A request that is larger is none of ours.
const MOST_REQUEST_BYTES: u64 = 16 << 10;
/// How long a visitor may take to ask, from the first byte to the last.
const ASKING: Duration = Duration::from_secs(5);
/// Visitors at one time; whoever comes then is turned away.
const MOST_VISITORS: usize = 32;

/// Answers until `stop` is set: `/` the page, `/live.json` its figures. It listens where the caller bound
/// it, and answers only requests that name this machine, so that no other site can read results through
/// a browser. Every visitor has a thread, so that one who dawdles keeps nobody waiting.
///
/// # Errors
/// If the listener breaks.
pub fn serve(listener: &TcpListener, paths: &[PathBuf], stop: &AtomicBool) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let paths: Arc<[PathBuf]> = paths.into();
    let visitors = Arc::new(AtomicUsize::new(0));
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                if visitors.fetch_add(1, Ordering::Relaxed) >= MOST_VISITORS {
                    visitors.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (paths, visitors) = (Arc::clone(&paths), Arc::clone(&visitors));
                std::thread::spawn(move || {
                    // A visitor who breaks off costs the others nothing.
                    let _ = answer(&stream, &paths);
                    visitors.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(40));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a visitor asks for.
#[derive(Default)]
struct Request {
    /// The first line.
    first: String,
    host: String,
    /// The state of the results that the visitor knows.
    known: String,
}

fn answer(stream: &TcpStream, paths: &[PathBuf]) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let request = request(stream)?;
    let state = format!("\"{}\"", state(paths));
    let (status, kind, body) = if request.known == state && request.is_here() {
        ("304 Not Modified", "text/plain", String::new())
    } else {
        respond(&request, paths)
    };
    let mut out = stream;
    // Sites that may not ask are not told either whether something has changed.
    let tag = if request.is_here() { format!("ETag: {state}\r\n") } else { String::new() };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n{tag}\
         Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    out.write_all(head.as_bytes())?;
    if !request.first.starts_with("HEAD ") {
        out.write_all(body.as_bytes())?;
    }
    Ok(())
}

/// Reads a request. A second thread ends the connection of a visitor who has not asked in time.
fn request(stream: &TcpStream) -> io::Result<Request> {
    let (asked, waits) = channel::<()>();
    let connection = stream.try_clone()?;
    std::thread::spawn(move || {
        if waits.recv_timeout(ASKING) == Err(RecvTimeoutError::Timeout) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    });
    let mut lines = BufReader::new(stream.take(MOST_REQUEST_BYTES)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut request = Request { first, ..Request::default() };
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("host") {
            value.trim().clone_into(&mut request.host);
        } else if name.eq_ignore_ascii_case("if-none-match") {
            value.trim().clone_into(&mut request.known);
        }
    }
    drop(asked);
    Ok(request)
}

/// A hash of names, sizes and times of everything below some paths: another one where something has changed. Links to
/// folders are not followed, for they may lead in a circle.
fn state(paths: &[PathBuf]) -> String {
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    paths.iter().for_each(|path| add_state(path, 0, &mut hash));
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn add_state(path: &Path, depth: usize, hash: &mut Sha256) {
    let Ok(found) = path.metadata() else { return };
    let link = depth > 0 && path.is_symlink();
    hash.update(path.as_os_str().as_encoded_bytes());
    hash.update(found.len().to_le_bytes());
    let since = found.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    hash.update(since.unwrap_or_default().as_nanos().to_le_bytes());
    if found.is_dir() && !link {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| add_state(entry, depth + 1, hash));
    }
}

impl Request {
    /// Whether it was sent to this machine by its name.
    fn is_here(&self) -> bool {
        let name = self.host.rsplit_once(':').map_or(&*self.host, |(name, _)| name);
        ["localhost", "127.0.0.1", "[::1]"].contains(&name)
    }
}

fn respond(request: &Request, paths: &[PathBuf]) -> (&'static str, &'static str, String) {
    let plain = |status, text: &str| (status, "text/plain", format!("{text}\n"));
    if !request.is_here() {
        return plain("403 Forbidden", "expected a request to this machine");
    }
    let mut words = request.first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "GET" && method != "HEAD" {
        return plain("405 Method Not Allowed", "expected GET");
    }
    let page = || Collection::load(paths).and_then(|collection| Page::new(&collection));
    match target {
        "/" => match page() {
            Ok(page) => ("200 OK", "text/html", page.live_html("live.json", EVERY_S)),
            Err(error) => {
                let text = escape(&error.to_string());
                let page = format!(
                    "<!doctype html><meta http-equiv=\"refresh\" content=\"{EVERY_S}\">\
                     <title>strait</title><p>Nothing to show yet: {text}</p>\n"
                );
                ("200 OK", "text/html", page)
            }
        },
        "/live.json" => match page() {
            Ok(page) => ("200 OK", "application/json", page.live_json()),
            Err(error) => plain("503 Service Unavailable", &error.to_string()),
        },
        _ => plain("404 Not Found", "there is / and /live.json"),
    }
}
