"""What a capture takes from the results: their name, and whether there are any."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once import runner
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator


class TaskInstance:
    """A try of a task."""

    dag_id, run_id, task_id, map_index, max_tries, start_date = "d", "r", "t", -1, 0, None

    def __init__(self, try_number):
        self.try_number = try_number

    def xcom_push(self, key, value):
        """Take an XCom."""


class State(dict):
    """A durable state."""

    def set(self, key, value):
        self[key] = value


@pytest.fixture
def capture(code_ocean, monkeypatch):
    """``capture(**arguments)`` runs a try of one task; each try goes on with what the one before has made."""
    monkeypatch.setattr(runner, "is_superseded", lambda context: False)  # there is no task to ask Airflow for
    state, tries = State(), iter(range(1, 10))

    def run(**arguments):
        known = {
            "task_id": "t",
            "computation_id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"],
            "name": "plain",
            "poll_interval": 0.01,
        }
        operator = CodeOceanCaptureResultOperator(**known | arguments)
        return operator.execute({"ti": TaskInstance(next(tries)), "task_state_store": state})

    return run


@pytest.fixture
def results(code_ocean):
    """Put a file among the results of the computation."""
    run = code_ocean.store.computations.get(code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
    return lambda path, content: code_ocean.store.files.put(run.location, path, content)


@pytest.mark.parametrize(
    ("content", "key", "name"),
    [
        (b'{"name": "sorted"}', "name", "sorted"),
        ('\ufeff{"name": " sorted "}'.encode(), "name", "sorted"),
        (b'{"asset": {"name": "deep"}}', "asset.name", "deep"),
        (b'{"asset": "flat"}', "asset.name", "plain"),
        (b'{"name": 7}', "name", "plain"),
        (b'{"name": " "}', "name", "plain"),
        (b"[]", "name", "plain"),
        (None, "name", "plain"),
    ],
)
def test_capture_with_name_file_reads_name(capture, results, content, key, name):
    if content is not None:
        results("about.json", content)
    asset = capture(name_file="about.json", name_key=key)
    assert (asset["name"], asset["mount"]) == (name, name)


def test_capture_with_name_file_and_mount_keeps_mount(capture, results):
    results("about.json", b'{"name": "sorted"}')
    assert capture(name_file="about.json", mount="m")["mount"] == "m"


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b" " * 1_100_000])
def test_capture_with_unreadable_name_file_fails_permanently(capture, results, content, code_ocean):
    results("about.json", content)
    with pytest.raises(
        AirflowFailException, match=r"name_file: 'about.json' among the results cannot be read"
    ):
        capture(name_file="about.json")
    assert [each for each in code_ocean.store.data_assets.all() if each.name == "plain"] == []


def test_capture_without_results_skips_if_requested(capture, code_ocean):
    run = code_ocean.store.computations.get(code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
    code_ocean.store.computations.put(type(run)(**vars(run) | {"has_results": False}))
    with pytest.raises(AirflowSkipException, match="has no results"):
        capture(on_no_results="skip")


def test_capture_on_retry_with_deleted_computation_adopts_data_asset(capture, results, code_ocean):
    results("about.json", json.dumps({"name": "sorted"}).encode())
    made = capture(name_file="about.json", on_no_results="skip")
    with CodeOceanHook().get_conn() as client:
        client.computations.delete(code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
    assert capture(name_file="about.json", on_no_results="skip")["id"] == made["id"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name_file": "../name.json"}, "name_file: must be a path"),
        ({"name_key": 1.5}, "name_key: must be text"),
        ({"on_no_results": "ignore"}, "on_no_results must be one of 'fail', 'skip'"),
    ],
)
def test_capture_with_invalid_arguments_raises_at_parse_time(arguments, message):
    with pytest.raises(ValueError, match=message):
        CodeOceanCaptureResultOperator(task_id="t", computation_id="c", name="n", **arguments)


@pytest.mark.fault("A10")
@pytest.mark.parametrize(
    ("content", "arguments", "prefix"),
    [
        (b'{"name": "ecephys_782149"}', {"name_file": "about.json"}, "sorted/ecephys_782149"),
        (b'{"name": "a/../b"}', {"name_file": "about.json"}, "sorted/a_.._b"),
        (b"{}", {"name_file": "about.json"}, "sorted/plain"),
        (b'{"name": "ecephys_782149"}', {}, "sorted/plain"),
    ],
)
def test_capture_prefix_with_name_uses_resulting_name(
    capture, results, code_ocean, content, arguments, prefix
):
    results("about.json", content)
    bucket = code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"]
    asset = capture(target={"bucket": bucket, "prefix": "sorted/{name}"}, **arguments)
    assert asset["source_bucket"]["prefix"].strip("/") == prefix
    if arguments and prefix == "sorted/ecephys_782149":
        assert (asset["name"], asset["mount"]) == ("ecephys_782149", "ecephys_782149")


def test_capture_prefix_with_name_does_not_change_submission(capture, results, code_ocean):
    """The key does not depend on the file: a retry recognizes the data asset if the file has changed."""
    target = {"bucket": code_ocean.env["CODEOCEAN_ARCHIVE_BUCKET"], "prefix": "{name}"}
    results("about.json", b'{"name": "first"}')
    made = capture(name_file="about.json", target=target)
    results("about.json", b'{"name": "second"}')
    assert capture(name_file="about.json", target=target)["id"] == made["id"]


@pytest.mark.parametrize("prefix", ["sorted/{nam}", "{}", "{name}/{ name }"])
def test_capture_prefix_with_unknown_placeholder_is_rejected(capture, prefix):
    with pytest.raises(ValueError, match=r"target\.prefix: unknown placeholder '\{.*\}'; use '\{name\}'"):
        CodeOceanCaptureResultOperator(
            task_id="t", computation_id="c", name="n", target={"bucket": "b", "prefix": prefix}
        )


@pytest.mark.parametrize("prefix", ["{{ ds }}", "{{ ds }}/{name}", "{name}", "plain", None, "a}b{c"])
def test_capture_prefix_with_name_or_template_is_accepted(prefix):
    CodeOceanCaptureResultOperator(
        task_id="t", computation_id="c", name="n", target={"bucket": "b", "prefix": prefix}
    )


def test_capture_with_name_file_and_metadata_opens_one_client(capture, results, monkeypatch):
    clients = []
    create_client = CodeOceanHook._create_client
    monkeypatch.setattr(
        CodeOceanHook,
        "_create_client",
        lambda *args, **options: clients.append(create_client(*args, **options)) or clients[-1],
    )
    results("about.json", b'{"name": "sorted"}')
    capture(name_file="about.json", on_no_results="skip", custom_metadata={})
    assert len(clients) == 1
