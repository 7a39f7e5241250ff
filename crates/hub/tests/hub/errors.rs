//! What is said of a file that cannot be had.

use std::fs;

use strait_hub::{Hub, Kind, Silent};

use crate::download::{content, large, repository, sha256};
use crate::server::{Served, Server, closed_port};

fn message(hub: &Hub, file: &str) -> String {
    let error = hub.get(&repository(Kind::Model), file, &mut Silent).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error.replace(&hub.endpoint, "HUB")
}

#[test]
fn a_wrong_checksum_leaves_nothing_in_the_cache() {
    let (server, cache, bytes) = (Server::start(), tempfile::tempdir().unwrap(), content());
    let announced = sha256(b"another file");
    let served = Served { etag: announced.clone(), ..large(&bytes) };
    server.serve("owner/name/resolve/main/w", served);
    let hub = server.hub(cache.path());
    assert_eq!(
        message(&hub, "w"),
        format!(
            "hf:owner/name@main: cannot fetch w from HUB: what arrived is damaged: expected SHA-256 {announced}, \
             found {}; it was deleted: try again, and look at what stands between here and the hub if it happens again",
            sha256(&bytes)
        )
    );
    let names = fs::read_dir(cache.path().join("models--owner--name/blobs")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name.to_str().unwrap().ends_with(".lock")), "{names:?}");
    // The right file afterwards is not taken for the wrong one.
    server.serve("owner/name/resolve/main/w", large(&bytes));
    assert_eq!(
        fs::read(hub.get(&repository(Kind::Model), "w", &mut Silent).unwrap()).unwrap(),
        bytes
    );
}

#[test]
fn refusals() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    let answer = |status| Served { status: Some(status), ..Served::default() };
    server.serve("owner/name/resolve/main/private", answer(401));
    server.serve("owner/name/resolve/main/gated", answer(403));
    server.serve("owner/name/resolve/main/broken", answer(500));
    let start =
        |file: &str| format!("hf:owner/name@main: cannot fetch {file} from HUB: it answers");
    let token = "the repository does not exist or needs a token: check the name and set HF_TOKEN";
    assert_eq!(message(&hub, "private"), format!("{} 401; {token}", start("private")));
    assert_eq!(message(&hub, "gated"), format!("{} 403; {token}", start("gated")));
    assert_eq!(message(&hub, "broken"), format!("{} 500; try again later", start("broken")));
    assert_eq!(
        message(&hub, "none"),
        format!(
            "{} 404; check repository, revision and file name; a private repository needs HF_TOKEN",
            start("none")
        )
    );
    let optional = |file: &str| hub.get_optional(&repository(Kind::Model), file, &mut Silent);
    assert_eq!(optional("none").unwrap(), None);
    assert!(optional("private").is_err());
    // What was refused is not asked for again and again.
    assert_eq!(server.asked().len(), 6);
}

#[test]
fn nobody_there_and_nobody_to_be_asked() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let hub = Hub { endpoint: closed_port(), ..server.hub(cache.path()) };
    let error = message(&hub, "w");
    let end = "; check the network, or fetch it elsewhere and give its path";
    assert!(
        error.starts_with("hf:owner/name@main: cannot fetch w from HUB: ") && error.ends_with(end),
        "{error}"
    );
    let hub = Hub { offline: true, ..server.hub(cache.path()) };
    assert_eq!(
        message(&hub, "w"),
        "hf:owner/name@main: cannot fetch w from HUB: HF_HUB_OFFLINE is set and it is not in the cache; \
         unset HF_HUB_OFFLINE, or fetch it where there is a network"
    );
    assert_eq!(server.asked(), []);
}

#[test]
fn answers_that_are_not_the_hubs() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    for etag in ["../../outside", "", ".."] {
        let served = Served { bytes: b"x".to_vec(), etag: etag.to_owned(), ..Served::default() };
        server.serve("owner/name/resolve/main/w", served);
        let error = message(&hub, "w");
        assert!(
            error.contains(&format!(
                "expected an answer of the hub, found one with the etag {etag:?}"
            )),
            "{error}"
        );
    }
    assert!(!cache.path().join("models--owner--name").exists());
}

#[test]
fn a_cache_that_cannot_be_written() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    server.small("owner/name/resolve/main/w", b"x");
    let file = cache.path().join("file");
    fs::write(&file, "").unwrap();
    let error = message(&server.hub(&file), "w");
    assert!(
        error.contains("cannot create ")
            && error.ends_with("set HF_HOME to a folder that can be written"),
        "{error}"
    );
}
