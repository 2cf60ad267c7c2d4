"""Text that requests send: which values are accepted as text, and which texts are names, ids, and paths.

With ``render_template_as_native_obj=True``, Airflow evaluates a rendered template as a Python literal:
``782149`` becomes an integer and ``1e5`` a float. An integer is sent as its digits. A float is rejected,
because the text that it was rendered from cannot be restored.

Each ``to_…`` function takes any value, returns the text to send, and raises :class:`ValueError` with the
problem and the remedy. None of them needs pydantic, so operators can use them when a DAG is parsed.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

#: Control characters (C0, DEL, C1), line and paragraph separators, and those that reverse the order of text.
_UNSAFE_CODE_POINTS = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0x2028,
    0x2029,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
]
_ESCAPES = {code: repr(chr(code))[1:-1] for code in _UNSAFE_CODE_POINTS}


def to_printable(text: str) -> str:
    r"""Escape characters that could forge a log line or control a terminal, such as a line feed as ``\n``."""
    return text if text.isprintable() else text.translate(_ESCAPES)


#: Code Ocean documents no limit. A longer display name is a mistake, such as a file rendered into the name.
MAX_NAME_CHARACTERS = 1000
#: A mount is the name of a folder, and file systems limit names to this.
MAX_FOLDER_BYTES = 255
#: Longer text is not parsed as an operator's result.
MAX_RESULT_CHARACTERS = 1_000_000
#: Hints on finding an id, by argument. Source: user guide, "Code Ocean API".
ID_HINTS = {
    "capsule_id": "Code Ocean shows the id of a capsule on its metadata page",
    "pipeline_id": "Code Ocean shows the id of a pipeline on its metadata page",
    "data_asset_id": "Code Ocean shows the id of a data asset below its title",
    "computation_id": "The id of a computation is in the result of the task that ran it",
}
#: Problems that are usually caused by a template.
EMPTY_MESSAGE = "must not be empty"
NONE_MESSAGE = "must not be None"
#: Key of a mapping that stands for a text that could not be rendered; the value is the problem.
TEMPLATE_ERROR_KEY = "template_error"
_QUOTING_HINT = (
    "render_template_as_native_obj turns text such as '1e5' or 'True' into other values, so put the template "
    "in quotes (\"'{{ params.subject }}'\") or write the value as text"
)
_INVALID_ID_CHARACTERS = re.compile(r"[\s/\\{}\[\]<>?#%'\"]")
_INVALID_FOLDER_CHARACTERS = re.compile(r"[/\\\x00-\x1f\x7f]")
_WHITESPACE = re.compile(r"\s")
_SEPARATORS = re.compile(r"[\s/\\\x00-\x1f\x7f]+")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
_MAX_DESCRIBED_CHARACTERS = 80


def describe(value: Any) -> str:
    """Describe a value for an error message: scalars by their ``repr``, containers by their type."""
    if isinstance(value, str):
        return repr(
            value if len(value) <= _MAX_DESCRIBED_CHARACTERS else f"{value[:_MAX_DESCRIBED_CHARACTERS]}…"
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple | set) else f"a value of type {type(value).__name__}"


def not_text_message(value: float | bool) -> str:
    """Return the error message for a value that a native template may have been rendered to."""
    return f"must be text, got {value!r}: {_QUOTING_HINT}"


def get_template_error(value: Any) -> str | None:
    """Return the problem if a value stands for a text that could not be rendered, else None."""
    return value.get(TEMPLATE_ERROR_KEY) if isinstance(value, Mapping) and len(value) == 1 else None


def is_blank(value: Any) -> bool:
    """Return whether a value is a text without content; as an optional argument, it counts as not given."""
    return isinstance(value, str) and not value.strip()


def to_text(value: Any) -> str:
    """Return text as it is, and an integer as its digits."""
    if isinstance(value, str):
        text = str.__str__(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"must be Unicode text, got {text[:_MAX_DESCRIBED_CHARACTERS]!a}") from None
        return text
    if isinstance(value, bool | float):
        raise ValueError(not_text_message(value))  # noqa: TRY004
    if isinstance(value, int):
        try:
            return str(value)
        except ValueError:  # more digits than Python converts
            raise ValueError(f"must be text, got {describe(value)}") from None
    problem = get_template_error(value)
    raise ValueError(problem or (NONE_MESSAGE if value is None else f"must be text, got {describe(value)}"))


def to_nonempty_text(value: Any) -> str:
    """Return text without surrounding white space, which must not be blank."""
    text = to_text(value).strip()
    if not text:
        raise ValueError(EMPTY_MESSAGE)
    return text


def to_display_name(value: Any) -> str:
    """Return a display name, which must not be blank, ``None``, or longer than 1,000 characters."""
    text = to_nonempty_text(value)
    if text == "None":
        raise ValueError(NONE_MESSAGE)
    if len(text) > MAX_NAME_CHARACTERS:
        raise ValueError(f"must have at most {MAX_NAME_CHARACTERS} characters, got {len(text)}")
    return text


def to_folder_name(value: Any) -> str:
    """Return the name of the folder below ``/data`` that a data asset is mounted at."""
    text = to_nonempty_text(value)
    if text in (".", "..") or _INVALID_FOLDER_CHARACTERS.search(text):
        raise ValueError(
            f"must be the name of one folder, without slashes: Code Ocean creates it below /data, got "
            f"{describe(text)}"
        )
    if len(text.encode()) > MAX_FOLDER_BYTES:
        raise ValueError(
            f"must have at most {MAX_FOLDER_BYTES} bytes, as names of folders, got {describe(text)}"
        )
    return text


def to_new_folder_name(value: Any) -> str:
    """Return the name of the folder that a new or changed data asset is mounted at.

    Source: user guide, "Creating a New Data Asset": spaces are not allowed in the folder name.
    """
    text = to_folder_name(value)
    if _WHITESPACE.search(text):
        raise ValueError(
            f"must not contain spaces, which Code Ocean does not allow in names of folders, got {text!r}"
        )
    return text


def derive_folder_name(display_name: str) -> str:
    """Return a display name as a folder name: spaces, slashes, and control characters become ``_``."""
    return to_new_folder_name(_SEPARATORS.sub("_", display_name))


def to_file_path(value: Any) -> str:
    """Return a path relative to the root of a data asset or of results; empty for the root."""
    text = to_text(value)
    path = "" if is_blank(text) else text.lstrip("/")
    if _CONTROL_CHARACTERS.search(path) or not {".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(
            f"must be a path below the root of the files, without '.', '..', and control characters, got "
            f"{describe(text)}"
        )
    return path


def to_bucket_prefix(value: Any) -> str:
    """Return a prefix in a bucket.

    Source: user guide, "Import From a Cloud Provider": the path must not begin with a slash.
    """
    text = to_text(value)
    if text.startswith("/"):
        raise ValueError(f"must not begin with a slash, got {describe(text)}")
    return text


def to_id(value: Any) -> str:
    """Return an id, also from an operator's result: a mapping with a text ``id``, or its text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _parse_operator_result(value)
    if isinstance(value, Mapping):
        problem = get_template_error(value)
        value = value.get("id")
        if not isinstance(value, str):
            raise ValueError(problem or "must be an id, got a mapping without a text 'id'")  # noqa: TRY004
    text = to_nonempty_text(value)
    if text == "None":
        raise ValueError(NONE_MESSAGE)
    if "://" in text:
        raise ValueError(f"must be an id, got the address {describe(text)}")
    if _INVALID_ID_CHARACTERS.search(text):
        raise ValueError(
            f"must be an id, which has no spaces, slashes, quotes, and brackets, got {describe(text)}"
        )
    return text


def to_capsule_id(value: Any) -> str:
    """Return the id of a capsule or pipeline, and not the number in the address of its page."""
    text = to_id(value)
    if text.isdecimal():
        raise ValueError(f"must be an id, got {text}, which is the number in the address of its page")
    return text


def _parse_operator_result(text: str) -> Any:
    """Parse an operator's result that a template rendered as text; return any other text as it is."""
    if len(text) <= MAX_RESULT_CHARACTERS:
        for parse in (ast.literal_eval, json.loads):
            with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
                result = parse(text.strip())
                if isinstance(result, Mapping):
                    return result
    return text
