//! The live page on loopback: a server of three paths that reads the results afresh for each answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::escape;
use crate::{Collection, Page};

/// Seconds between two questions of the page.
const EVERY_S: u32 = 2;
/// A request that is larger is none of ours.
const MOST_REQUEST_BYTES: u64 = 16 << 10;

/// Answers until `stop` is set: `/` the page, `/live.json` its figures. It listens where the caller bound
/// it, and answers only requests that name this machine, so that no other site can read results through
/// a browser.
///
/// # Errors
/// If the listener breaks.
pub fn serve(listener: &TcpListener, paths: &[PathBuf], stop: &AtomicBool) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            // A visitor who breaks off costs the others nothing.
            Ok((stream, _)) => drop(answer(stream, paths)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(40));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn answer(stream: TcpStream, paths: &[PathBuf]) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new((&stream).take(MOST_REQUEST_BYTES)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut host = String::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("host")
        {
            value.trim().clone_into(&mut host);
        }
    }
    let (status, kind, body) = respond(&first, &host, paths);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (&stream).write_all(head.as_bytes())?;
    if !first.starts_with("HEAD ") {
        (&stream).write_all(body.as_bytes())?;
    }
    Ok(())
}

fn respond(first: &str, host: &str, paths: &[PathBuf]) -> (&'static str, &'static str, String) {
    let plain = |status, text: &str| (status, "text/plain", format!("{text}\n"));
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !["localhost", "127.0.0.1", "[::1]"].contains(&name) {
        return plain("403 Forbidden", "expected a request to this machine");
    }
    let mut words = first.split_whitespace();
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
