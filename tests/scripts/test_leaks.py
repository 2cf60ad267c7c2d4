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

from scripts.leaks import LeakSearch, token_forms

TOKEN = "cop_Zm9vYmFy-0123456789_abcdefghij"
KEY = Fernet.generate_key().decode()
SIGNED = "https://files.test/f?expires=1&signature=0123456789abcdef0123"


@pytest.fixture
def leaks():
    return LeakSearch([TOKEN], KEY)


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
def test_leak_search_finds_each_form_of_the_token(leaks, text):
    (found, *_) = leaks.search_text(f"… {text} …", "here")
    assert found.endswith(": here")
    assert TOKEN not in found


def test_leak_search_finds_the_url_form():
    assert LeakSearch(["cop_a/b+c=d"]).search_text("?t=cop_a%2Fb%2Bc%3Dd", "here") == [
        "the URL form of token 1: here"
    ]


@pytest.mark.parametrize("text", ["", TOKEN[:-1], "signature=", "cop_", "Basic ***", encoded("cop_")])
def test_leak_search_of_clean_text_finds_nothing(leaks, text):
    assert leaks.search_text(text, "here") == []


def test_token_forms_are_longer_than_30_characters():
    assert min(map(len, token_forms(TOKEN).values())) > 30


def test_search_files_finds_tokens_in_contents_and_names(leaks, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "some.log").write_bytes(b"\xff\0" * 10 + TOKEN.encode())
    (tmp_path / f"x{TOKEN}").touch()
    (tmp_path / "clean.log").write_text("nothing")
    places = {found.split(": ")[1] for found in leaks.search_files(tmp_path)}
    assert places == {"a/b/some.log", f"the name of x{TOKEN}"}


def test_search_files_finds_token_across_two_pieces(leaks, tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.leaks._PIECE_BYTES", 64)
    monkeypatch.setattr("scripts.leaks._OVERLAP_BYTES", 48)
    for position in range(30, 64):
        (tmp_path / "log").write_bytes(b"." * position + TOKEN.encode() + b"." * 100)
        assert leaks.search_files(tmp_path)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (TOKEN, "table t, column c"),
        (TOKEN.encode() + b"\xff", "table t, column c"),
        (f'{{"a": ["{TOKEN}"]}}', "table t, column c"),
        (Fernet(KEY).encrypt(TOKEN.encode()).decode(), "table t, column c, decrypted"),
    ],
)
def test_search_database_finds_plain_and_encrypted_tokens(leaks, tmp_path, value, place):
    path = tmp_path / "airflow.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE empty (c)")
        database.execute("CREATE TABLE t (other, c)")
        database.execute("INSERT INTO t VALUES (1, ?), (2, NULL)", (value,))
        database.execute("CREATE TABLE connection (password)")
        database.execute("INSERT INTO connection VALUES (?)", (Fernet(KEY).encrypt(TOKEN.encode()).decode(),))
    assert {found.split(": ")[1] for found in leaks.search_database(path)} == {place}
    assert LeakSearch(["cop_another_token_of_that_length"], KEY).search_database(path) == []


def test_search_arguments_finds_token_of_a_process(leaks):
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", f"--token={TOKEN}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        found = leaks.search_arguments([psutil.Process(process.pid), psutil.Process()])
    assert len(found) == 2  # as it is, and as a URL has it: the same with this one
    assert all("the arguments of" in each and TOKEN not in each for each in found)


def test_search_responses_finds_tokens_and_signatures(leaks):
    assert leaks.search_responses({"/a": {"b": [TOKEN]}, "/c": {"d": SIGNED}, "/e": None}) == [
        "plain text of token 1: /a",
        "the URL form of token 1: /a",
        "a signature: /c",
    ]
