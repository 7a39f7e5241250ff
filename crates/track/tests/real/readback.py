"""Reads what a tracked run left behind with the real packages: wandb, tensorboard, mlflow.

    python readback.py RESULTS [MLFLOW_SERVER]

RESULTS is the folder of a run with `[track] wandb = {}, tensorboard = {}` and, if a server is named,
`mlflow = { server = … }`. Versions: requirements.txt beside this file. Ends with an error if a package reads
something else than the records say.
"""

import json
import math
import struct
import sys
import zlib
from pathlib import Path

NAMES = ["eval_batch/batch_ppl", "eval_total/total_avg_ppl", "traffic/bytes_per_token"]


def records(results):
    found = [json.loads(path.read_text()) for path in results.glob("*.json")]
    return {record["label"]: record for record in found if record["status"] == "finished"}


def ppl(record):
    sums = record["scores"]["sums"]
    return math.exp(sums["a"] / sums["n"])


def near(a, b, what):
    assert abs(a - b) <= 1e-5 * abs(b), f"{what}: {a} is not {b}"


def wandb_frames(path):
    """The records of a .wandb file: LevelDB's log format behind a header of seven bytes."""
    data = path.read_bytes()
    assert data[:7] == struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
    at, record = 7, b""
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        crc, length, kind = struct.unpack("<IHB", data[at : at + 7])
        body = data[at + 7 : at + 7 + length]
        assert zlib.crc32(body, zlib.crc32(bytes([kind]))) == crc, f"checksum at {at}"
        at += 7 + length
        record += body
        if kind in (1, 4):
            yield record
            record = b""


def check_wandb(results, expected):
    from google.protobuf.unknown_fields import UnknownFieldSet
    from wandb.proto import wandb_internal_pb2

    seen = set()
    for path in results.glob("wandb/offline-run-*/run-*.wandb"):
        label, history, summary, exit_code = None, [], {}, None
        for frame in wandb_frames(path):
            record = wandb_internal_pb2.Record.FromString(frame)
            kind = record.WhichOneof("record_type")
            assert len(UnknownFieldSet(record)) == 0, f"{label}: fields that wandb does not know"
            if kind == "run":
                label = record.run.display_name
                config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
                assert config["label"] == label and config["model"]["source"]
                assert path.stem == f"run-{record.run.run_id}"
            elif kind == "history":
                history.append({i.nested_key[0]: json.loads(i.value_json) for i in record.history.item})
            elif kind == "summary":
                summary |= {i.nested_key[0]: json.loads(i.value_json) for i in record.summary.update}
            elif kind == "exit":
                exit_code = record.exit.exit_code
        assert exit_code == 0, f"{label}: exit {exit_code}"
        assert all(name in history[0] for name in NAMES), history[0].keys()
        near(summary["eval/ppl_final"], ppl(expected[label]), f"wandb {label}")
        assert [point["_step"] for point in history] == sorted(point["_step"] for point in history)
        seen.add(label)
    assert seen == set(expected), f"wandb has {seen}"
    print(f"wandb: {len(seen)} runs")


def check_tensorboard(results, expected):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = sorted({path.parent for path in results.glob("tensorboard/**/events.out.tfevents.*")})
    finals = []
    for folder in folders:
        events = EventAccumulator(str(folder)).Reload()
        tags = events.Tags()
        assert all(name in tags["scalars"] for name in NAMES), tags
        assert "config" in tags["tensors"], tags
        finals.append(events.Scalars("eval/ppl_final")[-1].value)
    wanted = sorted(ppl(record) for record in expected.values())
    assert len(finals) == len(wanted)
    for found, value in zip(sorted(finals), wanted):
        near(found, value, "tensorboard")
    print(f"tensorboard: {len(finals)} runs")


def check_mlflow(server, expected):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(server)
    experiment = client.get_experiment_by_name(next(iter(expected.values()))["experiment"])
    # The newest come first; a run that was started again has older ones of the same name.
    runs = {}
    for run in client.search_runs([experiment.experiment_id]):
        runs.setdefault(run.info.run_name, run)
    for label, record in expected.items():
        run = runs[label]
        assert run.info.status == "FINISHED", run.info.status
        near(run.data.metrics["eval/ppl_final"], ppl(record), f"mlflow {label}")
        assert run.data.params["label"] == label and "model.source" in run.data.params
        points = client.get_metric_history(run.info.run_id, "eval_total/total_avg_ppl")
        assert [point.step for point in points] == sorted(point.step for point in points) and points
    print(f"mlflow: {len(expected)} runs")


def main():
    results = Path(sys.argv[1])
    expected = records(results)
    assert expected, f"no finished records in {results}"
    check_wandb(results, expected)
    check_tensorboard(results, expected)
    if len(sys.argv) > 2:
        check_mlflow(sys.argv[2], expected)


main()
