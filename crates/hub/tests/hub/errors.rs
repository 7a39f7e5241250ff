//! What is said of a file that cannot be had.

use std::fs;

use strait_hub::{Hub, Kind, Repository, Silent};

use crate::download::{content, large, repository, sha256};
use crate::server::{COMMIT, Served, Server, closed_port};

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
fn gated_told_from_missing() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    let hub = server.hub(cache.path());
    let answer =
        |status, code| Served { status: Some(status), code: Some(code), ..Served::default() };
    server.serve("owner/name/resolve/main/gated", answer(401, "GatedRepo"));
    server.serve("owner/name/resolve/main/none", answer(401, "RepoNotFound"));
    server.serve("owner/name/resolve/main/revision", answer(404, "RevisionNotFound"));
    server.serve("owner/name/resolve/main/entry", answer(404, "EntryNotFound"));
    let start = |file: &str| format!("hf:owner/name@main: cannot fetch {file} from HUB: ");
    assert_eq!(
        message(&hub, "gated"),
        format!(
            "{}the repository is gated: accept its licence at HUB/owner/name; and set HF_TOKEN to a token of the \
             account that accepted it",
            start("gated")
        )
    );
    assert!(message(&hub, "none").contains("no repository of this name can be seen"));
    assert!(message(&hub, "revision").contains("a commit with all of its 40 digits"));
    let optional = |file: &str| hub.get_optional(&repository(Kind::Model), file, &mut Silent);
    assert_eq!(optional("entry").unwrap(), None);
    assert!(optional("revision").is_err() && optional("gated").is_err());
}

#[test]
fn the_token_stays_with_the_hub() {
    let (server, cache, bytes) = (Server::start(), tempfile::tempdir().unwrap(), content());
    // The same host, another port: another server.
    let other = Server::start();
    let stored_at = Some(format!("{}/w", other.endpoint));
    server.serve("owner/name/resolve/main/w", Served { stored_at, ..large(&bytes) });
    other.serve("w", Served { stored_apart: false, ..large(&bytes) });
    let path = server.hub(cache.path()).get(&repository(Kind::Model), "w", &mut Silent).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert!(server.asked().iter().all(|asked| asked.token.is_some()));
    let asked = other.asked();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.token.is_none()), "{asked:?}");

    let stored_at = Some("ftp://127.0.0.1/w".to_owned());
    server.serve("owner/name/resolve/main/elsewhere", Served { stored_at, ..large(b"other") });
    let error = message(&server.hub(cache.path()), "elsewhere");
    assert!(error.contains("with a redirect to \"ftp://127.0.0.1/w\""), "{error}");
}

#[test]
fn a_shortened_commit_is_found_in_the_cache() {
    let (server, cache) = (Server::start(), tempfile::tempdir().unwrap());
    server.small("owner/name/resolve/main/w", b"x");
    let hub = server.hub(cache.path());
    let whole = hub.get(&repository(Kind::Model), "w", &mut Silent).unwrap();
    let at = |revision: &str| {
        let revision = revision.to_owned();
        hub.cached(&Repository { revision, ..repository(Kind::Model) }, "w")
    };
    assert_eq!(at(&COMMIT[..7]), Some(whole.clone()));
    assert_eq!(at(COMMIT), Some(whole));
    assert_eq!((at(&COMMIT[..6]), at("0123457")), (None, None));
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
