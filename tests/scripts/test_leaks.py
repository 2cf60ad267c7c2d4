"""What searches for tokens finds them wherever they are planted, and nothing where there are none."""

from __future__ import annotations

import base64
import sqlite3
import subprocess
import sys
from contextlib import closing

import psutil
import pytest
from cryptography.fernet import Fernet

from scripts.leaks import Leaks, forms_of

TOKEN = "cop_Zm9vYmFy-0123456789_abcdefghij"
KEY = Fernet.generate_key().decode()
SIGNED = "https://files.test/f?expires=1&signature=0123456789abcdef0123"


@pytest.fixture
def leaks():
    return Leaks([TOKEN], KEY)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


PLANTED = [
    TOKEN,
    f"Authorization: Basic {encoded(f'{TOKEN}:')}",
    *(encoded(f"{before}{TOKEN}{after}") for before in ("", "u", "us", "use") for after in ("", ":", "::")),
    SIGNED,
    SIGNED.replace("=", "%3D"),
    SIGNED.replace("=", "\\u003d"),
]


@pytest.mark.parametrize("text", PLANTED)
def test_each_form_is_found(leaks, text):
    (found, *_) = leaks.in_text(f"… {text} …", "here")
    assert found.endswith(": here")
    assert TOKEN not in found


def test_a_token_is_found_as_urls_have_it():
    assert Leaks(["cop_a/b+c=d"]).in_text("?t=cop_a%2Fb%2Bc%3Dd", "here") == ["the URL form of token 1: here"]


@pytest.mark.parametrize("text", ["", TOKEN[:-1], "signature=", "cop_", "Basic ***", encoded("cop_")])
def test_nothing_is_found_where_there_is_none(leaks, text):
    assert leaks.in_text(text, "here") == []


def test_forms_of_base64_are_long_enough_not_to_be_met_by_chance():
    assert min(map(len, forms_of(TOKEN).values())) > 30


def test_files_and_their_names(leaks, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "some.log").write_bytes(b"\xff\0" * 10 + TOKEN.encode())
    (tmp_path / f"x{TOKEN}").touch()
    (tmp_path / "clean.log").write_text("nothing")
    places = {found.split(": ")[1] for found in leaks.in_files(tmp_path)}
    assert places == {"a/b/some.log", f"the name of x{TOKEN}"}


def test_one_over_the_border_of_two_pieces(leaks, tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.leaks._PIECE", 64)
    monkeypatch.setattr("scripts.leaks._OVERLAP", 48)
    for position in range(30, 64):
        (tmp_path / "log").write_bytes(b"." * position + TOKEN.encode() + b"." * 100)
        assert leaks.in_files(tmp_path)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (TOKEN, "table t, column c"),
        (TOKEN.encode() + b"\xff", "table t, column c"),
        (f'{{"a": ["{TOKEN}"]}}', "table t, column c"),
        (Fernet(KEY).encrypt(TOKEN.encode()).decode(), "table t, column c, decrypted"),
    ],
)
def test_databases_and_what_is_encrypted_in_them(leaks, tmp_path, value, place):
    path = tmp_path / "airflow.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE empty (c)")
        database.execute("CREATE TABLE t (other, c)")
        database.execute("INSERT INTO t VALUES (1, ?), (2, NULL)", (value,))
        database.execute("CREATE TABLE connection (password)")
        database.execute("INSERT INTO connection VALUES (?)", (Fernet(KEY).encrypt(TOKEN.encode()).decode(),))
    assert {found.split(": ")[1] for found in leaks.in_database(path)} == {place}
    assert Leaks(["cop_another_token_of_that_length"], KEY).in_database(path) == []


def test_arguments_of_processes(leaks):
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", f"--token={TOKEN}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        found = leaks.in_arguments([psutil.Process(process.pid), psutil.Process()])
    assert len(found) == 2  # as it is, and as a URL has it: the same with this one
    assert all("the arguments of" in each and TOKEN not in each for each in found)


def test_answers(leaks):
    assert leaks.in_answers({"/a": {"b": [TOKEN]}, "/c": {"d": SIGNED}, "/e": None}) == [
        "plain text of token 1: /a",
        "the URL form of token 1: /a",
        "a signature: /c",
    ]
