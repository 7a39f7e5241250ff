//! MLflow through its REST API 2.0 (<https://mlflow.org/docs/latest/rest-api.html>): one run per cell.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{Event, Point, TrackError, Tracker, batch_metrics, final_metrics};

/// How long a call may take before the tracker is dropped.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most metrics in one call of `runs/log-batch`.
const MOST_METRICS: usize = 1000;

/// A client of an MLflow tracking server.
#[derive(Debug)]
pub struct Mlflow {
    server: String,
    token: Option<String>,
    agent: ureq::Agent,
    every: usize,
    experiment_id: String,
    config: Map<String, Value>,
    runs: Vec<Option<Run>>,
}

#[derive(Debug)]
struct Run {
    label: String,
    codec: String,
    id: Option<String>,
    before: Option<Point>,
}

impl Mlflow {
    /// A client for the server at `address` (`http://127.0.0.1:5000`), with a point every `every` windows.
    /// `token` is sent as a bearer token.
    #[must_use]
    pub fn new(address: &str, token: Option<String>, every: usize) -> Self {
        let agent = ureq::AgentBuilder::new().timeout(PATIENCE).build();
        Self {
            server: address.trim_end_matches('/').to_owned(),
            token,
            agent,
            every: every.max(1),
            experiment_id: String::new(),
            config: Map::new(),
            runs: Vec::new(),
        }
    }

    fn error(&self, call: &str, reason: impl Into<String>) -> TrackError {
        TrackError::Server {
            call: call.to_owned(),
            server: self.server.clone(),
            reason: reason.into(),
        }
    }

    fn request(&self, method: &str, call: &str) -> ureq::Request {
        let request = self.agent.request(method, &format!("{}/api/2.0/mlflow/{call}", self.server));
        match &self.token {
            Some(token) => request.set("Authorization", &format!("Bearer {token}")),
            None => request,
        }
    }

    fn answer(
        &self,
        call: &str,
        response: Result<ureq::Response, ureq::Error>,
    ) -> Result<Value, TrackError> {
        let reason = |error: ureq::Error| match error {
            ureq::Error::Status(code, response) => {
                let text = response.into_string().unwrap_or_default();
                format!("{code} {}", text.chars().take(200).collect::<String>())
            }
            error => error.to_string(),
        };
        let response = response.map_err(|error| self.error(call, reason(error)))?;
        let text = response.into_string().map_err(|error| self.error(call, error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| self.error(call, error.to_string()))
    }

    fn post(&self, call: &str, body: &Value) -> Result<Value, TrackError> {
        let request = self.request("POST", call).set("Content-Type", "application/json");
        self.answer(call, request.send_string(&body.to_string()))
    }

    /// The id of the experiment with this name, which is created if needed.
    fn experiment(&self, name: &str) -> Result<String, TrackError> {
        let call = "experiments/get-by-name";
        let response = self.request("GET", call).query("experiment_name", name).call();
        let found = match response {
            Err(ureq::Error::Status(404, _)) => {
                self.post("experiments/create", &json!({ "name": name }))?["experiment_id"].clone()
            }
            response => self.answer(call, response)?["experiment"]["experiment_id"].clone(),
        };
        found
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| self.error(call, "no experiment_id in the answer"))
    }

    /// The id of a cell's run, which is created if needed.
    fn run(&mut self, cell: usize, time_s: f64) -> Result<Option<String>, TrackError> {
        let Some(Some(run)) = self.runs.get(cell) else { return Ok(None) };
        if let Some(id) = &run.id {
            return Ok(Some(id.clone()));
        }
        let answer = self.post(
            "runs/create",
            &json!({
                "experiment_id": self.experiment_id,
                "run_name": run.label,
                "start_time": millis(time_s),
                "tags": [{"key": "strait.label", "value": run.label}],
            }),
        )?;
        let id = answer["run"]["info"]["run_id"].as_str();
        let id = id.ok_or_else(|| self.error("runs/create", "no run_id in the answer"))?.to_owned();
        let mut params: Vec<Value> =
            vec![param("label", &run.label), param("compressor", &run.codec)];
        // The cell's own two parameters replace the file's list of all codecs, because MLflow rejects
        // duplicate keys.
        let mut config = self.config.clone();
        config.retain(|key, _| key != "label" && key != "compressor");
        flatten("", &Value::Object(config), &mut params);
        params.truncate(100);
        self.post("runs/log-batch", &json!({ "run_id": id, "params": params }))?;
        if let Some(Some(run)) = self.runs.get_mut(cell) {
            run.id = Some(id.clone());
        }
        Ok(Some(id))
    }

    fn log(
        &self,
        id: &str,
        step: usize,
        metrics: &[(&str, f64)],
        time_s: f64,
    ) -> Result<(), TrackError> {
        let metrics: Vec<Value> = metrics
            .iter()
            .take(MOST_METRICS)
            .map(|(name, value)| {
                json!({"key": name, "value": value, "timestamp": millis(time_s), "step": step})
            })
            .collect();
        self.post("runs/log-batch", &json!({ "run_id": id, "metrics": metrics })).map(drop)
    }

    fn end(&self, id: &str, status: &str, time_s: f64) -> Result<(), TrackError> {
        let body = json!({ "run_id": id, "status": status, "end_time": millis(time_s) });
        self.post("runs/update", &body).map(drop)
    }
}

impl Tracker for Mlflow {
    fn name(&self) -> &'static str {
        "MLflow"
    }

    fn event(&mut self, event: &Event, time_s: f64) -> Result<(), TrackError> {
        match event {
            Event::Start(start) => {
                self.experiment_id = self.experiment(&start.experiment)?;
                self.config.clone_from(&start.config);
                let open = |cell: &crate::CellStart| {
                    (!cell.finished).then(|| Run {
                        label: cell.label.clone(),
                        codec: cell.codec.clone(),
                        id: None,
                        before: None,
                    })
                };
                self.runs = start.cells.iter().map(open).collect();
            }
            Event::Window { cell, point, .. } if point.windows_done.is_multiple_of(self.every) => {
                if let Some(id) = self.run(*cell, time_s)? {
                    let before = self.runs[*cell].as_ref().and_then(|run| run.before);
                    let metrics = batch_metrics(point, before.as_ref());
                    self.log(&id, point.windows_done - 1, &metrics, time_s)?;
                    if let Some(run) = self.runs[*cell].as_mut() {
                        run.before = Some(*point);
                    }
                }
            }
            Event::Failed { cell, reason } => {
                if let Some(id) = self.run(*cell, time_s)? {
                    let reason: String = reason.chars().take(2000).collect();
                    let tag = json!({ "run_id": id, "key": "strait.reason", "value": reason });
                    self.post("runs/set-tag", &tag)?;
                    self.end(&id, "FAILED", time_s)?;
                    self.runs[*cell] = None;
                }
            }
            Event::End(records) => {
                for cell in 0..self.runs.len() {
                    let label = self.runs[cell].as_ref().map(|run| run.label.clone());
                    let record =
                        records.iter().find(|record| Some(&record.label) == label.as_ref());
                    match record.filter(|record| record.is_finished()) {
                        Some(record) => {
                            if let Some(id) = self.run(cell, time_s)? {
                                self.log(
                                    &id,
                                    record.windows.len(),
                                    &final_metrics(record),
                                    time_s,
                                )?;
                                self.end(&id, "FINISHED", time_s)?;
                            }
                        }
                        None => {
                            let open = self.runs[cell].as_ref().and_then(|run| run.id.clone());
                            if let Some(id) = open {
                                self.end(&id, "KILLED", time_s)?;
                            }
                        }
                    }
                }
                self.runs.clear();
            }
            _ => {}
        }
        Ok(())
    }
}

fn millis(time_s: f64) -> i64 {
    (1e3 * time_s) as i64
}

fn param(key: &str, value: &str) -> Value {
    let value: String = value.chars().take(500).collect();
    json!({ "key": key, "value": value })
}

/// Flattens nested tables to keys such as `model.source`, with the characters that MLflow accepts.
fn flatten(prefix: &str, value: &Value, out: &mut Vec<Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, out);
            }
        }
        Value::Null => {}
        Value::String(text) => out.push(param(prefix, text)),
        other => out.push(param(prefix, &other.to_string())),
    }
}
