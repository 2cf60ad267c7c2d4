"""Convert the package's reST docstrings for the documentation (extension of griffe)."""

from __future__ import annotations

import ast
import re
from typing import Any

from griffe import Attribute, Class, ExprCall, Extension, Function, GriffeLoader, Object

PACKAGE = "airflow_provider_codeocean"
#: Objects with an entry in the reference, so that links can lead to them.
DOCUMENTED_PATHS = re.compile(
    rf"{PACKAGE}\.(operators|sensors|triggers|hooks\.codeocean|outcomes|polling\.waits|deletion|assets"
    r"|api\.(client|errors|endpoints|models))\b"
)
#: Modules of pydantic models, whose fields are their arguments.
MODELS_PREFIX = f"{PACKAGE}.api.models."
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)([\w.]+)`")
_LITERAL_BLOCK = re.compile(r"^::\n", re.MULTILINE)


class ReadableDocstrings(Extension):
    """Convert reST roles to links, and add request and response to methods of endpoints."""

    def on_object(self, *, obj: Object, loader: GriffeLoader, **kwargs: Any) -> None:  # noqa: ARG002
        """Rewrite the docstring of an object."""
        if obj.docstring is None:
            return
        if isinstance(obj, Function):
            _describe_endpoint(obj)
        text = _LITERAL_BLOCK.sub("", obj.docstring.value)
        if isinstance(obj, Class) and obj.path.startswith(MODELS_PREFIX):
            text = _add_model_fields(obj, text)
        obj.docstring.value = _ROLE.sub(lambda match: _to_link(obj, match[1], match[2]), text)


def _add_model_fields(model: Class, text: str) -> str:
    """Add the fields of a model, or the values of an enumeration, to its docstring."""
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


def _to_link(obj: Object, is_short: str, target: str) -> str:
    """Return a link to the target of a role, or only its name if it has no entry."""
    name = target.rsplit(".", 1)[-1] if is_short else target
    scope: Object | None = obj
    while scope is not None:
        path = target if target.startswith(PACKAGE) else f"{scope.path}.{target}"
        if DOCUMENTED_PATHS.match(path) and (
            scope is obj.package or target in scope.members or path == target
        ):
            return f"[`{name}`][{path}]"
        scope = scope.parent
    return f"`{name}`"


def _describe_endpoint(method: Function) -> None:
    """Add the request and response that ``@endpoint(...)`` declares to the method."""
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
        verb, path, response = call.arguments[:3]
        root = ast.literal_eval(str(owner["path_prefix"].value))
        method.docstring.value += f"\n\n`{ast.literal_eval(str(verb))} {root}{ast.literal_eval(str(path))}`"
        method.returns = "None" if str(response) == "NoneType" else response
