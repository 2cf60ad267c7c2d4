"""Let the package's reST docstrings read well in the documentation: an extension of griffe."""

from __future__ import annotations

import ast
import re
from typing import Any

from griffe import Attribute, Class, ExprCall, Extension, Function, GriffeLoader, Object

PACKAGE = "airflow_provider_codeocean"
#: What has an entry in the reference, and so can be linked to.
DOCUMENTED = re.compile(
    rf"{PACKAGE}\.(operators|sensors|triggers|hooks\.codeocean|outcomes|polling\.waits|deletion|assets"
    r"|api\.(client|errors|endpoints|models))\b"
)
#: Pydantic models, whose fields are their arguments.
MODELS = f"{PACKAGE}.api.models."
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)([\w.]+)`")
_LITERAL_BLOCK = re.compile(r"^::\n", re.MULTILINE)


class ReadableDocstrings(Extension):
    """Turn reST roles into links, and say of each endpoint's method what it sends and what is answered."""

    def on_object(self, *, obj: Object, loader: GriffeLoader, **kwargs: Any) -> None:  # noqa: ARG002
        """Rewrite the docstring of an object."""
        if obj.docstring is None:
            return
        if isinstance(obj, Function):
            _describe_endpoint(obj)
        text = _LITERAL_BLOCK.sub("", obj.docstring.value)
        if isinstance(obj, Class) and obj.path.startswith(MODELS):
            text = _with_fields(obj, text)
        obj.docstring.value = _ROLE.sub(lambda match: _link(obj, match[1], match[2]), text)


def _with_fields(model: Class, text: str) -> str:
    """List the fields of a model, which are its arguments, or the values of an enumeration."""
    text = text.replace(":param ", ":ivar ")
    documented = set(re.findall(r"^:ivar (\w+):", text, re.MULTILINE))
    lines = []
    for name, field in model.members.items():
        if not isinstance(field, Attribute) or name in documented or name.startswith("_"):
            continue
        if name.isupper():
            lines.append(f":ivar {name}: ``{field.value}``.")
        elif field.annotation is not None and "ClassVar" not in str(field.annotation):
            lines.append(f":ivar {name}: as the API names it.")
    return "\n".join([text, "", *lines]) if lines else text


def _link(obj: Object, short: str, target: str) -> str:
    """Return a link to what a role names, or its name alone where it has no entry."""
    name = target.rsplit(".", 1)[-1] if short else target
    where: Object | None = obj
    while where is not None:
        path = target if target.startswith(PACKAGE) else f"{where.path}.{target}"
        if DOCUMENTED.match(path) and (where is obj.package or target in where.members or path == target):
            return f"[`{name}`][{path}]"
        where = where.parent
    return f"`{name}`"


def _describe_endpoint(method: Function) -> None:
    """Say what ``@endpoint(...)`` declares; as it is written, the method returns parts of the request."""
    for decorator in method.decorators:
        call = decorator.value
        owner = method.parent
        if (
            not isinstance(call, ExprCall)
            or str(call.function) != "endpoint"
            or not isinstance(owner, Class)
            or method.docstring is None
        ):
            continue
        verb, path, answers = call.arguments[:3]
        root = ast.literal_eval(str(owner["root"].value))
        method.docstring.value += f"\n\n`{ast.literal_eval(str(verb))} {root}{ast.literal_eval(str(path))}`"
        method.returns = "None" if str(answers) == "NoneType" else answers
