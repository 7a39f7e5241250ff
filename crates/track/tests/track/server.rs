//! MLflow's REST API, as far as the tracker uses it, on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use strait_track::Mlflow;

use crate::run::{record, tell};

type Calls = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A server that knows no experiment at first and answers `fail_from`-th calls and later with 500.
fn server(fail_from: usize) -> (String, Calls) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let calls: Calls = Arc::default();
    let seen = Arc::clone(&calls);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut reader = BufReader::new(&stream);
            let (mut first, mut token, mut length) = (String::new(), String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 || line.trim().is_empty() {
                    break;
                }
                let (name, value) = line.trim().split_once(": ").unwrap();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "authorization" => value.clone_into(&mut token),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let call = first.split_whitespace().nth(1).unwrap_or_default().to_owned();
            let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let mut calls = seen.lock().unwrap();
            let run = calls.iter().filter(|call| call.0.ends_with("runs/create")).count();
            let (status, answer) = match call.rsplit_once("mlflow/").map_or("", |(_, call)| call) {
                _ if calls.len() >= fail_from => ("500 Oops", json!({"message": "out of order"})),
                call if call.starts_with("experiments/get-by-name?experiment_name=demo") => {
                    ("404 Not Found", json!({"error_code": "RESOURCE_DOES_NOT_EXIST"}))
                }
                "experiments/create" => ("200 OK", json!({"experiment_id": "17"})),
                "runs/create" => {
                    ("200 OK", json!({"run": {"info": {"run_id": format!("r{run}")}}}))
                }
                "runs/log-batch" | "runs/update" | "runs/set-tag" => ("200 OK", json!({})),
                _ => ("400 Bad Request", json!({})),
            };
            calls.push((call, token, body));
            drop(calls);
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            let _ = (&stream).write_all((head + &answer).as_bytes());
        }
    });
    (address, calls)
}

#[test]
fn a_run_arrives() {
    let (address, calls) = server(usize::MAX);
    tell(&mut Mlflow::new(&address, Some("secret".to_owned()), 3)).unwrap();
    let calls = calls.lock().unwrap();
    assert!(calls.iter().all(|call| call.1 == "Bearer secret"));
    let of = |name: &str| -> Vec<&Value> {
        calls.iter().filter(|call| call.0.ends_with(name)).map(|call| &call.2).collect()
    };
    assert_eq!(of("experiments/create")[0]["name"], "demo");
    let created = of("runs/create");
    let names: Vec<&Value> = created.iter().map(|run| &run["run_name"]).collect();
    assert_eq!(names, ["baseline", "int4 g64", "bad/one"]);
    assert!(created.iter().all(|run| run["experiment_id"] == "17"));
    let batches = of("runs/log-batch");
    let params = batches.iter().find(|batch| batch["run_id"] == "r1").unwrap();
    let params = params["params"].as_array().unwrap();
    assert!(params.contains(&json!({"key": "model.source", "value": "m"})), "{params:?}");
    let mut keys: Vec<&str> = params.iter().filter_map(|param| param["key"].as_str()).collect();
    keys.sort_unstable();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "MLflow refuses a key twice: {keys:?}");
    let mut steps = Vec::new();
    for batch in batches.iter().filter(|batch| batch["run_id"] == "r1") {
        for metric in batch["metrics"].as_array().into_iter().flatten() {
            assert!(metric["value"].is_number() && metric["timestamp"].is_i64());
            if metric["key"] == "eval_total/total_tokens" {
                steps.push((metric["step"].as_u64().unwrap(), metric["value"].as_f64().unwrap()));
            }
        }
    }
    assert_eq!(steps, [(2, 768.0), (5, 1536.0)]);
    let last = batches.iter().rfind(|batch| batch["run_id"] == "r1").unwrap();
    let ppl = record("x").scores.unwrap().sums.summary().ppl;
    assert_eq!(
        (&last["metrics"][0]["key"], &last["metrics"][0]["value"]),
        (&"eval/ppl_final".into(), &ppl.into())
    );
    let ends: Vec<(&Value, &Value)> =
        of("runs/update").iter().map(|end| (&end["run_id"], &end["status"])).collect();
    let expected = [("r2", "FAILED"), ("r0", "FINISHED"), ("r1", "FINISHED")];
    assert_eq!(
        ends,
        expected
            .map(|(id, status)| (json!(id), json!(status)))
            .iter()
            .map(|(a, b)| (a, b))
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_server_that_breaks_or_is_not_there_is_one_error() {
    let (address, _) = server(4);
    let error = tell(&mut Mlflow::new(&address, None, 1)).unwrap_err().to_string();
    assert!(
        error.contains("runs/") && error.contains("500") && error.contains("out of order"),
        "{error}"
    );
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = tell(&mut Mlflow::new(&format!("http://{free}"), None, 1)).unwrap_err().to_string();
    assert!(error.contains("experiments/get-by-name"), "{error}");
}
