"""The query language of search: `free text name:Synergy tag:"two words"`.

The same field twice means or, different fields mean and, quotes make a phrase, case is ignored, there are no
wildcards. Documented no further, and decided here: words of free text must all be found; a value of several
words, quoted or joined by punctuation (`RNA-seq`), is found as those words in a row; a name before a colon
that is no field is text.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_TERM = re.compile(r'(?:(?P<field>\w+):)?(?:"(?P<phrase>[^"]*)"?|(?P<word>\S+))')
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Query:
    """A parsed query.

    :param fields: the values wanted for each field, one of which must be found.
    :param text: the free text, all of which must be found.
    """

    fields: dict[str, list[str]] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)

    def matcher(self, free_fields: Iterable[str]) -> "Matcher":
        """Prepare the query for many records.

        :param free_fields: where free text is looked for.
        :returns: what tells whether a record is found.
        """
        return Matcher(
            fields={
                name: [phrase_pattern(value) for value in values] for name, values in self.fields.items()
            },
            text=[phrase_pattern(value) for value in self.text],
            free_fields=tuple(free_fields),
        )


@dataclass(frozen=True)
class Matcher:
    """A query whose phrases are patterns.

    :param fields: see `Query`.
    :param text: see `Query`.
    :param free_fields: where free text is looked for.
    """

    fields: dict[str, list[re.Pattern[str]]]
    text: list[re.Pattern[str]]
    free_fields: tuple[str, ...]

    def __call__(self, texts: Callable[[str], Iterable[str]]) -> bool:
        """Tell whether a record is found.

        :param texts: gives the texts of a field of the record.
        :returns: whether all that is asked for is there.
        """
        for name, patterns in self.fields.items():
            if not any(pattern.search(text) for text in texts(name) for pattern in patterns):
                return False
        if not self.text:
            return True
        everything = [text for name in self.free_fields for text in texts(name)]
        return all(any(pattern.search(text) for text in everything) for pattern in self.text)


def parse_query(query: str, fields: Iterable[str]) -> Query:
    """Parse a query; anything is a query.

    :param query: what was typed.
    :param fields: the fields that may stand before a colon.
    :returns: the parsed query.
    """
    known = frozenset(fields)
    parsed = Query()
    for term in _TERM.finditer(query):
        name = (term["field"] or "").lower()
        value = term["phrase"] if term["word"] is None else term["word"]
        if name in known:
            parsed.fields.setdefault(name, []).append(value)
        else:
            # `12:30` and `see:this` are text; a phrase without a letter or digit asks for nothing.
            text = f"{term['field']}:{value}" if term["field"] else value
            parsed.text.extend([text] if _WORD.search(text) else [])
    return parsed


def phrase_pattern(phrase: str) -> re.Pattern[str]:
    """Make a pattern that finds the words of a phrase in a row.

    :param phrase: any text; what separates its words does not matter.
    :returns: the pattern; one that finds nothing if there is no word.
    """
    words = _WORD.findall(phrase)
    if not words:
        return re.compile(r"(?!)")
    joined = r"[\W_]+".join(re.escape(word) for word in words)
    return re.compile(rf"(?<![^\W_]){joined}(?![^\W_])", re.IGNORECASE)
