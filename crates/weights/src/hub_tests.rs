//! Tests which files of a model are fetched, with a small server on this machine. Failures of a single file
//! are tested in crates/hub.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use strait_hub::Silent;

use super::*;

/// Serves the files of `owner/name` at revision `main` as the hub does, and records its requests.
struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(files: &[(&str, &str)]) -> Self {
        let files: BTreeMap<String, String> = files
            .iter()
            .map(|(name, text)| (format!("/owner/name/resolve/main/{name}"), text.to_string()))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        // The thread ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &files, &seen);
            }
        });
        Self { endpoint, requests }
    }

    fn settings(&self, cache: &Path) -> Hub {
        Hub {
            endpoint: format!("{}/", self.endpoint),
            cache: cache.to_path_buf(),
            token: Some("secret".to_owned()),
            ..Hub::from_environment(|_| None)
        }
    }
}

fn fetch(hub: &Hub, name: &str) -> Result<PathBuf, WeightsError> {
    HubModel::parse(name).unwrap().fetch(hub, &mut Silent)
}

fn answer(mut stream: TcpStream, files: &BTreeMap<String, String>, seen: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let request: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let path = request[0].split(' ').nth(1).unwrap().to_owned();
    let header = |name: &str| {
        request.iter().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    assert_eq!(header("authorization").as_deref(), Some("Bearer secret"));
    let range = header("range").unwrap();
    let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let response = match files.get(&path) {
        None => {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        }
        Some(text) => {
            let start: usize = start.parse().unwrap();
            let end = end.parse().map_or(text.len(), |end: usize| (end + 1).min(text.len()));
            let part = &text[start..end];
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{end}/{}\r\n\
                 ETag: \"{}\"\r\nX-Repo-Commit: 0123abcd\r\nConnection: close\r\n\r\n{part}",
                part.len(),
                text.len(),
                path.replace(|byte: char| !byte.is_ascii_alphanumeric(), "-"),
            )
        }
    };
    seen.lock().unwrap().push(path);
    stream.write_all(response.as_bytes()).unwrap();
}

fn message(result: Result<PathBuf, WeightsError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_single_file_model_is_fetched_once() {
    let server = Server::start(&[
        ("config.json", "{\"model_type\": \"llama\"}"),
        ("model.safetensors", "\u{2}\0\0\0\0\0\0\0{}"),
        ("tokenizer.json", "{}"),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let wanted = "owner/name";
    let directory = fetch(&server.settings(cache.path()), wanted).unwrap();
    assert_eq!(directory, cache.path().join("models--owner--name/snapshots/0123abcd"));
    let checkpoint = crate::Checkpoint::open(&directory).unwrap();
    assert_eq!(checkpoint.config()["model_type"], "llama");
    assert!(checkpoint.tokenizer().is_ok());

    // With everything cached, weights and tokenizer need no request; absent files may be requested again.
    server.requests.lock().unwrap().clear();
    assert_eq!(fetch(&server.settings(cache.path()), wanted).unwrap(), directory);
    let again = server.requests.lock().unwrap();
    assert!(again.iter().all(|path| path.ends_with("_config.json")), "{again:?}");

    // The same without a server.
    let offline = Hub { endpoint: closed_port(), ..server.settings(cache.path()) };
    assert_eq!(fetch(&offline, wanted).unwrap(), directory);
}

#[test]
fn a_quantization_configuration_beside_is_fetched() {
    let files = [
        ("config.json", "{\"model_type\": \"llama\"}"),
        ("model.safetensors", "\u{2}\0\0\0\0\0\0\0{}"),
        ("quantize_config.json", "{\"bits\": 4, \"group_size\": 128}"),
    ];
    let server = Server::start(&files);
    let cache = tempfile::tempdir().unwrap();
    let directory = fetch(&server.settings(cache.path()), "owner/name").unwrap();
    let checkpoint = crate::Checkpoint::open(&directory).unwrap();
    assert_eq!(checkpoint.config()["quantization_config"]["quant_method"], "gptq");
    let requests = server.requests.lock().unwrap();
    let asked = |name: &str| requests.iter().any(|path| path.ends_with(name));
    assert!(asked("/hf_quant_config.json") && !asked("/quant_config.json"), "{requests:?}");

    // A configuration that describes the quantization itself has no files beside it.
    let config = "{\"quantization_config\": {\"quant_method\": \"fp8\"}}";
    let server = Server::start(&[("config.json", config), files[1]]);
    let cache = tempfile::tempdir().unwrap();
    fetch(&server.settings(cache.path()), "owner/name").unwrap();
    let requests = server.requests.lock().unwrap();
    assert!(!requests.iter().any(|path| path.contains("quant")), "{requests:?}");
}

#[test]
fn shards_are_fetched_by_the_index() {
    let server = Server::start(&[
        ("config.json", "{}"),
        (INDEX_NAME, "{\"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}}"),
        ("one.safetensors", "first"),
        ("two.safetensors", "second"),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let wanted = "owner/name@main";
    let directory = fetch(&server.settings(cache.path()), wanted).unwrap();
    assert_eq!(std::fs::read(directory.join("two.safetensors")).unwrap(), b"second");
    let offline = Hub { endpoint: closed_port(), ..server.settings(cache.path()) };
    assert_eq!(fetch(&offline, wanted).unwrap(), directory);
}

#[test]
fn one_gguf_file_is_fetched_alone() {
    let server = Server::start(&[("q4/model.gguf", "GGUF")]);
    let cache = tempfile::tempdir().unwrap();
    let wanted = "owner/name/q4/model.gguf";
    let path = fetch(&server.settings(cache.path()), wanted).unwrap();
    assert!(path.ends_with("snapshots/0123abcd/q4/model.gguf"), "{}", path.display());
    assert_eq!(std::fs::read(path).unwrap(), b"GGUF");
}

#[test]
fn what_the_hub_does_not_have_is_one_clear_error() {
    let server = Server::start(&[("config.json", "{}")]);
    let cache = tempfile::tempdir().unwrap();
    let fetch = |name: &str| fetch(&server.settings(cache.path()), name);
    let endpoint = &server.endpoint;
    assert_eq!(
        message(fetch("owner/other@v1")),
        format!(
            "hf:owner/other@v1: cannot fetch config.json from {endpoint}/: it answers 404; \
             check repository, revision and file name; a private repository needs HF_TOKEN"
        )
    );
    let no_weights = message(fetch("owner/name"));
    assert!(no_weights.contains("cannot fetch model.safetensors.index.json"), "{no_weights}");
}

#[test]
fn an_unreachable_hub_is_one_clear_error() {
    let cache = tempfile::tempdir().unwrap();
    let endpoint = closed_port();
    let hub = Hub::from_environment(|name| match name {
        "HF_ENDPOINT" => Some(endpoint.clone()),
        "HF_HOME" => Some(cache.path().display().to_string()),
        _ => None,
    });
    let error = message(fetch(&hub, "owner/name"));
    let start = format!("hf:owner/name@main: cannot fetch config.json from {endpoint}: ");
    let end = "; check the network, or fetch it elsewhere and give its path";
    assert!(error.starts_with(&start) && error.ends_with(end), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn names_are_taken_apart() {
    let model = |name: &str, revision: &str, file: Option<&str>| HubModel {
        repository: Repository {
            kind: Kind::Model,
            name: name.to_owned(),
            revision: revision.to_owned(),
        },
        file: file.map(str::to_owned),
    };
    assert_eq!(HubModel::parse("a/b").unwrap(), model("a/b", "main", None));
    assert_eq!(HubModel::parse("a/b/c/d.gguf@v1").unwrap(), model("a/b", "v1", Some("c/d.gguf")));
    assert!(HubModel::parse("a/b/c.safetensors").is_err());
}

/// An address on this machine at which nothing listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
