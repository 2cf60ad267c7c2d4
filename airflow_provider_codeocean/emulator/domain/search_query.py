"""The query language of search: `free text name:Synergy tag:"two words"`.

Terms for the same field are alternatives, terms for different fields must all match, quotes enclose a phrase,
case is ignored, and there are no wildcards. The documentation leaves the rest open; the emulator assumes:
all words of free text must match; a value of several words, quoted or joined by punctuation (`RNA-seq`),
matches these words in sequence; an unknown name before a colon is text.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_TERM_PATTERN = re.compile(r'(?:(?P<field>\w+):)?(?:"(?P<phrase>[^"]*)"?|(?P<word>\S+))')
_WORD_PATTERN = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Query:
    """A parsed query.

    :param field_values: the values for each field, of which one must match.
    :param free_text: the free text, which must match completely.
    """

    field_values: dict[str, list[str]] = field(default_factory=dict)
    free_text: list[str] = field(default_factory=list)

    def build_matcher(self, free_text_fields: Iterable[str]) -> "Matcher":
        """Compile the query for many records.

        :param free_text_fields: fields that free text is searched in.
        :returns: a predicate for records.
        """
        return Matcher(
            field_patterns={
                name: [compile_phrase(value) for value in values]
                for name, values in self.field_values.items()
            },
            free_text_patterns=[compile_phrase(value) for value in self.free_text],
            free_text_fields=tuple(free_text_fields),
        )


@dataclass(frozen=True)
class Matcher:
    """A query with compiled patterns.

    :param field_patterns: see `Query`.
    :param free_text_patterns: see `Query`.
    :param free_text_fields: fields that free text is searched in.
    """

    field_patterns: dict[str, list[re.Pattern[str]]]
    free_text_patterns: list[re.Pattern[str]]
    free_text_fields: tuple[str, ...]

    def __call__(self, get_texts: Callable[[str], Iterable[str]]) -> bool:
        """Return whether a record matches.

        :param get_texts: returns the texts of a field of the record.
        :returns: whether all conditions match.
        """
        for name, patterns in self.field_patterns.items():
            if not any(pattern.search(text) for text in get_texts(name) for pattern in patterns):
                return False
        if not self.free_text_patterns:
            return True
        everything = [text for name in self.free_text_fields for text in get_texts(name)]
        return all(any(pattern.search(text) for text in everything) for pattern in self.free_text_patterns)


def parse_query(query: str, field_names: Iterable[str]) -> Query:
    """Parse a query; any text is valid.

    :param query: the text of the query.
    :param field_names: the fields that may precede a colon.
    :returns: the parsed query.
    """
    known_fields = frozenset(field_names)
    parsed = Query()
    for term in _TERM_PATTERN.finditer(query):
        name = (term["field"] or "").lower()
        value = term["phrase"] if term["word"] is None else term["word"]
        if name in known_fields:
            parsed.field_values.setdefault(name, []).append(value)
        else:
            # `12:30` and `see:this` are text; a phrase without letters and digits is no condition.
            text = f"{term['field']}:{value}" if term["field"] else value
            parsed.free_text.extend([text] if _WORD_PATTERN.search(text) else [])
    return parsed


def compile_phrase(phrase: str) -> re.Pattern[str]:
    """Compile a pattern that matches the words of a phrase in sequence.

    :param phrase: any text; the separators between its words are ignored.
    :returns: the pattern; without a word, it matches nothing.
    """
    words = _WORD_PATTERN.findall(phrase)
    if not words:
        return re.compile(r"(?!)")
    joined = r"[\W_]+".join(re.escape(word) for word in words)
    return re.compile(rf"(?<![^\W_]){joined}(?![^\W_])", re.IGNORECASE)
