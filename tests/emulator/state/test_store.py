from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.emulator.domain.clock import ManualClock, Work
from airflow_provider_codeocean.emulator.domain.config import MAX_SEARCH_LAG_SECONDS
from airflow_provider_codeocean.emulator.domain.permissions import Permissions
from airflow_provider_codeocean.emulator.domain.records import DataAsset, Transfer
from airflow_provider_codeocean.emulator.state.store import Store


def asset(asset_id: str, created: float = 0.0, name: str = "", **fields: object) -> DataAsset:
    return DataAsset(
        id=asset_id,
        created=created,
        name=name,
        mount="m",
        owner="o",
        type="dataset",
        work=Work(started_at=created),
        location="x",
        **fields,
    )


@pytest.fixture
def clock():
    return ManualClock(1000)


@pytest.fixture
def store(clock):
    store = Store(None, clock.now)
    yield store
    store.close()


def names_as_of(store: Store, moment: float) -> list[str]:
    return [record.name for record in store.data_assets.iter_as_of(moment)]


def test_store_returns_record_until_deleted(store):
    store.data_assets.put(asset("a"))
    assert store.data_assets.get("a") == asset("a")
    assert len(store.data_assets) == 1
    store.data_assets.delete("a")
    assert store.data_assets.get("a") is None
    assert store.data_assets.all() == []


def test_store_returns_records_newest_first(store):
    for number in (2, 1, 3):
        store.data_assets.put(asset(f"id{number}", created=number, name=str(number)))
    assert names_as_of(store, 1000) == ["3", "2", "1"]
    below = store.data_assets.iter_as_of(1000, before=(3, "id3"))
    assert [record.name for record in below] == ["2", "1"]


def test_store_as_of_a_time_returns_past_records(store, clock):
    store.data_assets.put(asset("a", name="first"))
    clock.advance(10)
    store.data_assets.put(asset("a", name="second"))
    clock.advance(10)
    store.data_assets.delete("a")
    assert [names_as_of(store, moment) for moment in (999, 1000, 1010, 1019, 1020)] == [
        [],
        ["first"],
        ["second"],
        ["second"],
        [],
    ]


def test_store_history_beyond_maximum_lag_is_removed(store, clock):
    store.data_assets.put(asset("a", name="first"))
    clock.advance(1)
    store.data_assets.put(asset("a", name="second"))
    clock.advance(MAX_SEARCH_LAG_SECONDS + 1)
    store.data_assets.put(asset("a", name="third"))
    assert names_as_of(store, 1000) == []
    assert names_as_of(store, clock.now() - 1) == ["second"]


def test_store_put_with_earlier_time_is_visible_from_it(store):
    store.data_assets.put(asset("a", name="old"), written_at=5)
    assert names_as_of(store, 5) == ["old"]


def test_transaction_that_fails_writes_nothing(tmp_path, clock):
    store = Store(tmp_path / "state", clock.now)

    def fail() -> None:
        with store.transaction():
            store.files.put("x", "file", b"1")
            with store.transaction():
                store.set_meta("n", 1)
                raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.get_meta("n") is None
    assert store.files.list_files("x", "") == []
    store.close()


def test_store_reopened_returns_the_same_content(tmp_path, clock):
    path = tmp_path / "state"
    store = Store(path, clock.now)
    transfer = Transfer(work=Work(started_at=1, required_reads=2), bucket="b", prefix="p", location="l")
    kept = asset("a", transfer=transfer, permissions=Permissions(users={"u": "owner"}), tags=["t"])
    store.data_assets.put(kept)
    store.data_assets.put(asset("gone"))
    store.data_assets.delete("gone")
    store.files.put("x", "folder/file", b"\x00\xff")
    store.set_meta("n", {"a": [1]})
    store.close()

    again = Store(path, clock.now)
    assert again.data_assets.all() == [kept]
    assert again.files.read("x", "folder/file") == b"\x00\xff"
    assert again.get_meta("n") == {"a": [1]}
    again.close()
    with pytest.raises(sqlite3.ProgrammingError):
        again.get_meta("n")


def test_store_file_in_use_is_locked(tmp_path, clock, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, timeout=0, **options))
    first = Store(tmp_path / "state", clock.now)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        Store(tmp_path / "state", clock.now)
    first.close()
    Store(tmp_path / "state", clock.now).close()


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "delete"]), st.floats(0, 50)), max_size=20
    ),
    st.floats(0, 1000),
)
def test_store_as_of_any_time_matches_its_snapshot(steps: list[tuple[str, str, float]], back: float):
    clock = ManualClock(1000)
    store = Store(None, clock.now)
    snapshots = [(1000.0, set())]
    for number, (asset_id, step, pause) in enumerate(steps):
        clock.advance(pause)
        if step == "put":
            store.data_assets.put(asset(asset_id, name=str(number)))
        elif store.data_assets.get(asset_id):
            store.data_assets.delete(asset_id)
        snapshots.append((clock.now(), {record.name for record in store.data_assets.all()}))
    moment = max(clock.now() - min(back, MAX_SEARCH_LAG_SECONDS), 1000.0)
    expected = next(state for when, state in reversed(snapshots) if when <= moment)
    assert set(names_as_of(store, moment)) == expected
    store.close()
