//! What arrives, where it lies, and how often the server is asked.

use std::fs;

use sha2::{Digest, Sha256};
use strait_hub::{Hub, Kind, Progress, Repository, Silent};

use crate::server::{COMMIT, Served, Server, closed_port};

pub(crate) fn repository(kind: Kind) -> Repository {
    Repository { kind, name: "owner/name".to_owned(), revision: "main".to_owned() }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that a file of many kilobytes may have.
pub(crate) fn content() -> Vec<u8> {
    (0..200_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

pub(crate) fn large(bytes: &[u8]) -> Served {
    Served { bytes: bytes.to_vec(), etag: sha256(bytes), stored_apart: true, ..Served::default() }
}

/// Keeps what it is told.
#[derive(Default)]
struct Told(Vec<String>, u64);

impl Progress for Told {
    fn start(&mut self, file: &str, size: u64, done: u64) {
        self.0.push(format!("{file} {done}/{size}"));
        self.1 = done;
    }
    fn advance(&mut self, bytes: u64) {
        self.1 += bytes;
    }
    fn finish(&mut self) {
        self.0.push(format!("finished at {}", self.1));
    }
}

#[test]
fn a_large_file_comes_from_where_it_is_stored_without_the_token() {
    let (server, cache, bytes) = (Server::start(), tempfile::tempdir().unwrap(), content());
    server.serve("datasets/owner/name/resolve/main/data/a.parquet", large(&bytes));
    let hub = server.hub(cache.path());
    let mut told = Told::default();
    let path = hub.get(&repository(Kind::Dataset), "data/a.parquet", &mut told).unwrap();
    let folder = cache.path().join("datasets--owner--name");
    assert_eq!(path, folder.join("snapshots").join(COMMIT).join("data/a.parquet"));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(
        fs::canonicalize(&path).unwrap(),
        fs::canonicalize(&folder).unwrap().join("blobs").join(sha256(&bytes))
    );
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(told.0, ["data/a.parquet 0/800000", "finished at 800000"]);
    for asked in server.asked() {
        let at_hub = asked.path.starts_with("/datasets/");
        assert_eq!(asked.token.is_some(), at_hub, "{asked:?}");
    }

    // From the cache, also where nobody answers or nothing may be asked.
    server.forget();
    assert_eq!(hub.get(&repository(Kind::Dataset), "data/a.parquet", &mut Silent).unwrap(), path);
    assert_eq!(server.asked(), []);
    let offline = Hub { offline: true, endpoint: closed_port(), ..hub };
    assert_eq!(
        offline.get(&repository(Kind::Dataset), "data/a.parquet", &mut Silent).unwrap(),
        path
    );
    let commit = Repository { revision: COMMIT.to_owned(), ..repository(Kind::Dataset) };
    assert_eq!(offline.cached(&commit, "data/a.parquet"), Some(path));
    assert_eq!(offline.cached(&repository(Kind::Model), "data/a.parquet"), None);
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let (server, cache, bytes) = (Server::start(), tempfile::tempdir().unwrap(), content());
    let breaks = vec![300_000, 0, 100_000];
    server.serve("owner/name/resolve/main/w.safetensors", Served { breaks, ..large(&bytes) });
    let mut told = Told::default();
    let path =
        server.hub(cache.path()).get(&repository(Kind::Model), "w.safetensors", &mut told).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    let places = [
        "w.safetensors 0/800000",
        "w.safetensors 300000/800000",
        "w.safetensors 300000/800000",
        "w.safetensors 400000/800000",
        "finished at 800000",
    ];
    assert_eq!(told.0, places);
    let asked = server.asked();
    let ranges: Vec<&str> = asked
        .iter()
        .filter(|asked| asked.path.starts_with("/storage") && asked.range != "bytes=0-0")
        .map(|asked| asked.range.as_str())
        .collect();
    assert_eq!(ranges, ["bytes=0-", "bytes=300000-", "bytes=300000-", "bytes=400000-"]);
}

#[test]
fn another_run_goes_on_where_the_last_one_gave_up() {
    let (server, cache, bytes) = (Server::start(), tempfile::tempdir().unwrap(), content());
    let breaks = vec![100_000, 0, 0, 50_000];
    server.serve("owner/name/resolve/main/w", Served { breaks, ..large(&bytes) });
    let hub = server.hub(cache.path());
    let error = hub.get(&repository(Kind::Model), "w", &mut Silent).unwrap_err().to_string();
    let start = format!(
        "hf:owner/name@main: cannot fetch w from {}: the connection broke after 150000 of 800000 bytes in 4 attempts (",
        server.endpoint
    );
    let end = "); start it again: it goes on where it stopped";
    assert!(error.starts_with(&start) && error.ends_with(end), "{error}");
    assert_eq!(hub.cached(&repository(Kind::Model), "w"), None);

    let mut told = Told::default();
    let path = hub.get(&repository(Kind::Model), "w", &mut told).unwrap();
    assert_eq!(told.0, ["w 150000/800000", "finished at 800000"]);
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn a_part_that_does_not_fit_is_thrown_away() {
    let (server, cache, bytes) = (Server::start(), tempfile::tempdir().unwrap(), content());
    server.serve("owner/name/resolve/main/w", large(&bytes));
    let blobs = cache.path().join("models--owner--name/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.part", sha256(&bytes)));
    for damaged in [vec![7; 1000], vec![7; 800_000], vec![7; 900_000]] {
        fs::write(&part, damaged).unwrap();
        let path =
            server.hub(cache.path()).get(&repository(Kind::Model), "w", &mut Silent).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert!(!part.exists());
        fs::remove_file(fs::canonicalize(&path).unwrap()).unwrap();
    }
}

#[test]
fn a_server_without_ranges_is_asked_for_the_whole() {
    let (server, cache, bytes) = (Server::start(), tempfile::tempdir().unwrap(), content());
    let served = Served { breaks: vec![100_000], ignores_ranges: true, ..large(&bytes) };
    server.serve("owner/name/resolve/main/w", served);
    let mut told = Told::default();
    let path = server.hub(cache.path()).get(&repository(Kind::Model), "w", &mut told).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert_eq!(told.0, ["w 0/800000", "w 0/800000", "finished at 800000"]);
}

#[test]
fn a_renamed_repository_and_equal_contents() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let moved =
        Served { moved_to: Some("/new/name/resolve/main/a".to_owned()), ..Served::default() };
    server.serve("owner/name/resolve/main/a", moved).small("new/name/resolve/main/a", b"{}");
    server.small("owner/name/resolve/main/deep/er/b", b"{}");
    let hub = server.hub(cache.path());
    let a = hub.get(&repository(Kind::Model), "a", &mut Silent).unwrap();
    assert_eq!(fs::read(&a).unwrap(), b"{}");
    // The same contents under another name are not fetched again.
    let mut told = Told::default();
    let b = hub.get(&repository(Kind::Model), "deep/er/b", &mut told).unwrap();
    assert_eq!(fs::canonicalize(&a).unwrap(), fs::canonicalize(b).unwrap());
    assert_eq!(told.0, [""; 0]);
}

#[test]
fn several_processes_fetch_one_file_once() {
    let (server, cache, bytes) = (Server::start(), tempfile::tempdir().unwrap(), content());
    server.serve("owner/name/resolve/main/w", large(&bytes));
    let hub = server.hub(cache.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let path = hub.get(&repository(Kind::Model), "w", &mut Silent).unwrap();
                assert_eq!(fs::read(path).unwrap(), bytes);
            });
        }
    });
    let asked = server.asked();
    let whole = asked
        .iter()
        .filter(|asked| asked.path.starts_with("/storage") && asked.range == "bytes=0-");
    assert_eq!(whole.count(), 1);
}
