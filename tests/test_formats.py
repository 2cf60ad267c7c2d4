"""Values that the package stores outside its own processes: read from stored samples, and written like them.

``tests/golden/`` holds the samples. Users' databases, folders, and dashboards contain such values, also while
the package is upgraded. So a released sample never changes: a new form is added, and the code reads both.
"""

from __future__ import annotations

import inspect
import json
import re
import threading
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args

import pytest
from airflow.providers.common.compat.sdk import DAG, Connection, TaskDeferred

import airflow_provider_codeocean
from airflow_provider_codeocean import assets, links, outcomes, provider_info
from airflow_provider_codeocean.api.models.computation import Computation
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.compat import state as compat_state
from airflow_provider_codeocean.emulator import Policy, Transitions
from airflow_provider_codeocean.emulator.state.store import SCHEMA
from airflow_provider_codeocean.events.claims import ClaimLedger
from airflow_provider_codeocean.events.seen_set import BASELINE_KEY, CLAIMS_KEY, SEEN_KEY, SeenSet, id_digest
from airflow_provider_codeocean.files.local import LocalTarget
from airflow_provider_codeocean.files.object_store import ObjectStoreTarget
from airflow_provider_codeocean.files.source import FileSource, ListedFile
from airflow_provider_codeocean.hooks._connection import parse_client_options
from airflow_provider_codeocean.metrics import ALL_METRICS, WAITS, connection_gauge_name
from airflow_provider_codeocean.operators._submit_once import runner
from airflow_provider_codeocean.operators._submit_once.runner import STATE_KEY
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator
from airflow_provider_codeocean.submission.commands import SubmissionRecord
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, TaskAttempt, append_key, extract_key

AIRFLOW_2 = version("apache-airflow").startswith("2.")
GOLDEN = Path(__file__).parent / "golden"
PACKAGE = Path(airflow_provider_codeocean.__file__).parent
PAGE = (Path(__file__).parent.parent / "docs" / "formats.md").read_text()
DEPLOYMENT = "https://codeocean.example.com"
if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_TYPES = (
    outcomes.WaitEvent,
    outcomes.DataAssetEvent,
    outcomes.TransferEvent,
    outcomes.ComputationEvent,
)


def golden(name: str) -> Any:
    """Return a stored sample."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


def load(path: str) -> Any:
    """Return the class at an import path."""
    if AIRFLOW_2 and ".triggers.events." in path:
        pytest.skip("Airflow 2 has no asset watchers")
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


class State(dict):
    """State of a task or an asset."""

    def get(self, key):
        return dict.get(self, key)

    def set(self, key, value):
        self[key] = json.loads(json.dumps(value))

    def delete(self, key):
        del self[key]


# Triggers, and the tasks that wait for them


@pytest.mark.parametrize("stored", golden("triggers"), ids=lambda each: each["classpath"].rpartition(".")[2])
def test_trigger_kwargs_match_sample(stored):
    trigger = load(stored["classpath"])(**stored["kwargs"])
    classpath, kwargs = trigger.serialize()
    assert classpath == stored["classpath"]
    assert {name: kwargs[name] for name in stored["kwargs"]} == stored["kwargs"]
    assert json.loads(json.dumps(kwargs)) == kwargs


@pytest.mark.parametrize("classpath", sorted({each["classpath"] for each in golden("triggers")}))
def test_trigger_latest_sample_contains_all_kwargs(classpath):
    latest = [each for each in golden("triggers") if each["classpath"] == classpath][-1]
    assert load(classpath)(**latest["kwargs"]).serialize()[1] == latest["kwargs"]


def test_triggers_all_have_a_sample():
    defined = {
        f"airflow_provider_codeocean.triggers.{path.stem}.{name}"
        for path in (PACKAGE / "triggers").glob("*.py")
        for name in re.findall(r"^class (CodeOcean\w+Trigger)\(", path.read_text(), re.MULTILINE)
    }
    assert defined == {each["classpath"] for each in golden("triggers")}


@pytest.mark.parametrize(
    "stored", golden("execute_complete"), ids=lambda each: each["class"].rpartition(".")[2]
)
def test_execute_complete_accepts_stored_kwargs_and_event(stored):
    inspect.signature(load(stored["class"]).execute_complete).bind(
        None, {}, stored["event"], **stored["kwargs"]
    )
    assert stored["event"]["status"] in get_args(outcomes.WaitStatus)


class TaskInstance:
    dag_id, run_id, task_id, map_index, try_number, max_tries, start_date = "d", "r", "t", -1, 1, 0, None

    def xcom_push(self, key: str, value: Any) -> None:
        """Drop an XCom."""


def defer(path: str, env: Mapping[str, str]) -> None:
    """Let an operator wait in the triggerer."""
    arguments = {
        "CodeOceanCaptureResultOperator": {"computation_id": env["CODEOCEAN_COMPUTATION_ID"], "name": "n"},
        "CodeOceanRunCapsuleOperator": {"capsule_id": env["CODEOCEAN_CAPSULE_ID"]},
        "CodeOceanTransferDataAssetOperator": {
            "data_asset_id": env["CODEOCEAN_DATA_ASSET_ID"],
            "target": {"bucket": env["CODEOCEAN_RESULTS_BUCKET"]},
        },
    }[path.rpartition(".")[2]]
    load(path)(task_id="t", deferrable=True, **arguments).execute({"ti": TaskInstance()})


@pytest.mark.parametrize(
    "stored",
    [each for each in golden("execute_complete") if each["kwargs"]],
    ids=lambda each: each["class"].rpartition(".")[2],
)
def test_defer_writes_kwargs_of_sample(stored, code_ocean, monkeypatch):
    monkeypatch.setattr(runner, "is_superseded", lambda _context: False)
    pending = Policy(reads=9)
    code_ocean.emulator.transitions = Transitions(assets=pending, computations=pending, transfers=pending)
    with pytest.raises(TaskDeferred) as deferred:
        defer(stored["class"], code_ocean.env)
    assert deferred.value.method_name == "execute_complete"
    assert (deferred.value.kwargs or {}).keys() == stored["kwargs"].keys()


def test_trigger_event_fields_match_samples():
    stored = [set(each["event"]) for each in golden("execute_complete")]
    for event_type in EVENT_TYPES:
        assert set(event_type.__annotations__) in stored
    for sample in golden("triggers"):
        if "end_from_trigger" in sample["kwargs"]:
            own = load(sample["classpath"])(**sample["kwargs"]).event_fields()
            assert {*outcomes.WaitEvent.__annotations__, *own} in stored


# State of tasks


@pytest.mark.parametrize("stored", golden("task_state")["codeocean_submission"])
def test_submission_record_is_read_and_written(stored):
    record = SubmissionRecord.from_json(stored)
    assert record is not None
    assert record.to_json() == stored
    assert STATE_KEY in golden("task_state")


def test_submission_record_of_other_format_raises():
    stored = golden("task_state")["codeocean_submission"][0]
    with pytest.raises(ValueError, match="format 2, expected 1"):
        SubmissionRecord.from_json({**stored, "format": 2})


def transfer(state: State) -> list[Any]:
    """Run a transfer up to the wait, and return the requests to transfer."""
    requests: list[Any] = []
    client: Any = SimpleNamespace(
        data_assets=SimpleNamespace(
            get=lambda data_asset_id: DataAsset.model_validate({"id": data_asset_id, "state": "ready"}),
            transfer=lambda *values: requests.append((dict(state), values)),
        )
    )
    operator = CodeOceanTransferDataAssetOperator(
        task_id="t", data_asset_id="a1", target={"bucket": "lab-archive", "prefix": "2026"}
    )
    context: Any = {"task_state_store": state}
    operator._submit(context, client, operator.transfer_params())
    return requests


def test_transfer_state_is_written_before_and_after_request():
    stored, state = golden("task_state")["codeocean_transfer"], State()
    (request,) = transfer(state)
    assert request[0] == {"codeocean_transfer": stored["before_request"]}
    assert state == {"codeocean_transfer": stored["after_request"]}


@pytest.mark.parametrize(
    ("sample", "requests"), [("before_request", 1), ("after_request", 0), ("finished", 1)]
)
def test_transfer_on_retry_follows_stored_state(sample, requests):
    stored = golden("task_state")["codeocean_transfer"][sample]
    assert len(transfer(State(codeocean_transfer=stored))) == requests


def test_transfer_state_of_other_format_is_ignored():
    stored = golden("task_state")["codeocean_transfer"]["after_request"]
    assert len(transfer(State(codeocean_transfer={**stored, "format": 2}))) == 1


# State of assets


@pytest.mark.parametrize(
    ("key", "kind"), [(BASELINE_KEY, SeenSet), (SEEN_KEY, SeenSet), (CLAIMS_KEY, ClaimLedger)]
)
def test_asset_state_is_read_and_written(key, kind):
    stored = golden("asset_state")[key]
    assert kind.from_json(stored).to_json() == stored
    with pytest.raises(ValueError, match="format 2, expected 1"):
        kind.from_json({**stored, "format": 2})


def test_asset_state_sample_contains_its_ids():
    assert all(each in SeenSet.from_json(golden("asset_state")[SEEN_KEY]) for each in ("r1", "r2", "r3"))
    ledger = ClaimLedger.from_json(golden("asset_state")[CLAIMS_KEY])
    assert ledger.claim("run 3", ["r1", "r2", "r3", "r4"], limit=10) == (["r4"], False)
    assert ledger.expired_runs == (id_digest("run 0"),)


def test_asset_state_pages_are_read_and_written(monkeypatch):
    stored, state = golden("asset_state_pages"), State()
    assert compat_state._PagedState(State(stored)).get(SEEN_KEY) == golden("asset_state")[SEEN_KEY]
    monkeypatch.setattr(compat_state, "_MAX_PAGE_CHARACTERS", 40)
    compat_state._PagedState(state).set(SEEN_KEY, golden("asset_state")[SEEN_KEY])
    assert state == stored


def test_variable_before_airflow_3_3_keeps_its_key():
    stored = golden("dag_names")["variable"]
    assert compat_state._VariableState(stored["asset"])._variable_key(CLAIMS_KEY) == stored["key"]


# Events


def test_watcher_payloads_match_samples():
    stored = golden("asset_events")
    for kind, sample, model in (
        ("CodeOceanComputationsFinishedTrigger", "computations", Computation),
        ("CodeOceanDataAssetsReadyTrigger", "data_assets", DataAsset),
    ):
        trigger = load(f"airflow_provider_codeocean.triggers.events.{kind}")(**stored[sample]["kwargs"])
        items = [model.model_validate(each) for each in stored[sample]["responses"]]
        assert trigger.build_payload(items) == stored[sample]["payload"]


def test_outlet_event_matches_sample():
    stored = golden("asset_events")["outlet"]
    asset = DataAsset.model_validate(stored["response"])
    assert assets.asset_event_extra(asset, url=stored["extra"]["url"]) == stored["extra"]


@pytest.mark.parametrize("uri", golden("asset_events")["uris"])
def test_asset_uri_matches_sample(uri):
    kind, _, name = uri.removeprefix("codeocean://codeocean.example.com/").partition("/")
    asset = assets.create_asset(host=DEPLOYMENT, **{f"{kind.removesuffix('s')}_id": name})
    assert asset.uri == uri


def test_openlineage_names_match_sample():
    pytest.importorskip("airflow.providers.openlineage")
    from airflow_provider_codeocean.lineage.model import creation_lineage
    from airflow_provider_codeocean.lineage.openlineage import operator_lineage

    stored = golden("asset_events")
    asset = DataAsset.model_validate(stored["outlet"]["response"])
    told = operator_lineage(creation_lineage(DEPLOYMENT, asset))
    written = {
        "inputs": [f"{each.namespace}/{each.name}" for each in told.inputs],
        "outputs": [f"{each.namespace}/{each.name}" for each in told.outputs],
        "tags": {each.key: each.value for each in told.run_facets["tags"].tags},
    }
    assert written == stored["openlineage"]


# Names that users' DAGs, dashboards, and databases contain


def test_xcom_keys_match_sample():
    keys = {"return_value", links.CodeOceanDataAssetLink().xcom_key, links.CodeOceanCapsuleLink().xcom_key}
    for path in (PACKAGE / "operators").glob("_*_base.py"):
        keys |= set(re.findall(r'external_id_key = "(\w+)"', path.read_text()))
    assert keys == golden("xcoms").keys()


def test_link_classes_keep_their_paths():
    assert provider_info.get_provider_info()["extra-links"] == [
        "airflow_provider_codeocean.links.CodeOceanCapsuleLink",
        "airflow_provider_codeocean.links.CodeOceanDataAssetLink",
    ]


def test_metrics_match_sample():
    declared = [
        {
            "name": each.name,
            "kind": each.kind,
            "tags": {"connection": None, **{tag: list(values) for tag, values in each.tags}},
        }
        for each in ALL_METRICS
    ]
    assert declared == golden("metrics")["metrics"]


@pytest.mark.parametrize(("connection", "name"), golden("metrics")["gauges_by_connection"].items())
def test_connection_gauge_keeps_its_name(connection, name):
    assert connection_gauge_name(WAITS, connection) == name


def test_connection_extras_are_read():
    stored = golden("connection")
    connection = Connection(
        conn_id="lab",
        conn_type=stored["conn_type"],
        host=DEPLOYMENT,
        password="cop_token",
        extra=json.dumps(stored["extra"]),
    )
    options = parse_client_options(connection, stored["extra"])
    assert {name: options[name] for name in stored["options"]} == stored["options"]
    assert provider_info.CONNECTION_FIELDS.keys() == stored["extra"].keys()
    prefixed = {f"extra__codeocean__{name}": value for name, value in stored["extra"].items()}
    assert parse_client_options(connection, prefixed) == options


def test_config_options_match_sample():
    assert {section: [*of["options"]] for section, of in provider_info.CONFIG.items()} == golden(
        "connection"
    )["config"]


@pytest.mark.parametrize("stored", golden("idempotency_keys"), ids=lambda each: each["idempotency_key"])
def test_idempotency_key_matches_sample(stored):
    operator = load(stored["class"])(task_id="t", **stored["arguments"])
    identity = operator.job_identity(operator.build_params())
    assert identity == stored["job_identity"]
    keys = IdempotencyKeys.derive(TaskAttempt(**stored["attempt"]), identity, stored["on_existing"])
    assert keys.current == stored["idempotency_key"]
    assert extract_key(append_key("my run", keys.current)) == keys.current
    assert append_key("my run", keys.current) == f"my run {keys.current}"


@pytest.mark.skipif(AIRFLOW_2, reason="Airflow 2 has no asset watchers")
def test_capture_on_completion_names_match_sample():
    from airflow_provider_codeocean.dags.capture_on_completion import capture_on_completion

    stored = golden("dag_names")["capture_on_completion"]
    dag = capture_on_completion(
        capsule_id="c1",
        name="n",
        since="2026-01-01T00:00:00Z",
        share_with={"everyone": "viewer"},
        transfer={"target": {"bucket": "b"}},
    )
    claim = dag.get_task("claim")
    (watcher,) = claim.asset.watchers
    assert {
        "dag_id": dag.dag_id,
        "asset": claim.asset.name,
        "watcher": watcher.name,
        "alias": claim._asset_alias.name,
        "task_ids": sorted(dag.task_ids),
    } == stored


def test_run_and_capture_task_ids_match_sample():
    from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup

    with DAG("d", schedule=None) as dag:
        CodeOceanRunAndCaptureTaskGroup(
            capsule_id="c1",
            name="n",
            share_with={"everyone": "viewer"},
            transfer={"target": {"bucket": "b"}},
        )
    assert sorted(dag.task_ids) == golden("dag_names")["run_and_capture"]["task_ids"]


# Files


def write_file(root: Path, content: bytes, *, finish: bool) -> int | None:
    """Write the file of the sample, and return the bytes that were there; None if it is complete."""
    stored = golden("downloads")
    file, target = ListedFile(**stored["file"]), LocalTarget(str(root))
    target.prepare(stored["source"], [file], overwrite=True)
    with target.open(file, threading.Event(), 60) as writer:
        if writer is None:
            return None
        position = writer.position
        if not position:
            writer.restart(stored["checkpoint"]["validator"])
        writer.write(content[position:])
        if finish:
            writer.finish()
    return position


def test_download_files_match_sample(tmp_path):
    stored = golden("downloads")
    client: Any = SimpleNamespace(
        url=DEPLOYMENT,
        computations=SimpleNamespace(list_results=0, get_result_urls=0, get_result_download_url=0),
    )
    assert FileSource(client, computation_id="r1").identity == stored["source"]
    write_file(tmp_path, b"012", finish=False)
    assert {path.name for path in tmp_path.iterdir()} == {stored["part_name"], stored["checkpoint_name"]}
    assert json.loads((tmp_path / stored["checkpoint_name"]).read_text()) == stored["checkpoint"]
    write_file(tmp_path, b"0123456789", finish=True)
    assert {path.name for path in tmp_path.iterdir()} == {"f.txt", stored["record_name"]}
    *line, fingerprint = json.loads((tmp_path / stored["record_name"]).read_text())
    assert [*line, "FINGERPRINT"] == stored["record_line"]
    assert re.fullmatch(r"\d+-\d+-10", fingerprint)
    target = ObjectStoreTarget("s3://bucket/results", None, "bucket/results")
    target._source_identity = stored["source"]
    assert target._marker_name("f.txt") == stored["marker_name"]


@pytest.mark.parametrize(("number", "position"), [(1, 3), (2, 0)])
def test_checkpoint_of_other_format_is_ignored(tmp_path, number, position):
    stored = golden("downloads")
    (tmp_path / stored["part_name"]).write_bytes(b"012")
    (tmp_path / stored["checkpoint_name"]).write_text(json.dumps({**stored["checkpoint"], "format": number}))
    assert write_file(tmp_path, b"0123456789", finish=True) == position


@pytest.mark.parametrize("extra", [[], ["an element of another format"]])
def test_download_record_of_other_format_is_ignored(tmp_path, extra):
    stored = golden("downloads")
    (tmp_path / "f.txt").write_bytes(b"0123456789")
    status = (tmp_path / "f.txt").stat()
    line = [*stored["record_line"][:-1], f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}", *extra]
    (tmp_path / stored["record_name"]).write_text(f"\n{json.dumps(line)}")
    assert write_file(tmp_path, b"0123456789", finish=True) == (0 if extra else None)


# The page


def listed_names() -> set[str]:
    """Return the names that the page must list."""
    names = {each["classpath"].removeprefix("airflow_provider_codeocean.") for each in golden("triggers")}
    names |= {name for each in golden("triggers") for name in each["kwargs"]}
    names |= {name for each in golden("execute_complete") for name in (*each["kwargs"], *each["event"])}
    names |= set(get_args(outcomes.WaitStatus))
    names |= golden("task_state").keys() | golden("asset_state").keys() | golden("xcoms").keys()
    names |= {name for each in golden("task_state")["codeocean_submission"] for name in each}
    names |= golden("task_state")["codeocean_transfer"]["after_request"].keys()
    names |= golden("asset_state")[CLAIMS_KEY].keys() | golden("asset_state")[SEEN_KEY].keys()
    for sample in ("computations", "data_assets"):
        payload = golden("asset_events")[sample]["payload"]
        names |= payload.keys() | payload[sample][0].keys()
    names |= (
        golden("asset_events")["outlet"]["extra"].keys()
        | golden("asset_events")["openlineage"]["tags"].keys()
    )
    for metric in golden("metrics")["metrics"]:
        names |= {metric["name"], *metric["tags"]}
    names |= golden("connection")["extra"].keys() | {*golden("connection")["config"]["codeocean"]}
    names |= golden("downloads")["checkpoint"].keys()
    names |= set(golden("dag_names")["capture_on_completion"]["task_ids"])
    return names | set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", SCHEMA))


def test_formats_page_lists_all_names():
    code = " ".join(re.findall(r"```.*?```|`[^`\n]+`", PAGE, re.DOTALL))
    assert listed_names() - set(re.findall(r"[\w.]+", code)) == set()
