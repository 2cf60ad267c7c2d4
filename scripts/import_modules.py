"""Import the public modules of the installed provider, and print the result as JSON.

``make dist`` runs this file with the interpreter of a user: ``python -I import_modules.py [EXTRA ...]``. It
imports nothing else of the checkout. A module that needs an extra is imported only if the extra is given.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path

PACKAGE = "airflow_provider_codeocean"
#: Modules, including their submodules, that need an extra.
EXTRAS = {f"{PACKAGE}.emulator": "emulator", f"{PACKAGE}.lineage.openlineage": "openlineage"}


def find_public_modules() -> list[str]:
    """Return the names of all modules without a private part."""
    site_packages = Path(importlib.import_module(PACKAGE).__path__[0]).parent
    paths = [path.relative_to(site_packages) for path in site_packages.glob(f"{PACKAGE}/**/*.py")]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return sorted(name for name in names if "._" not in name)


def required_extra(name: str) -> str | None:
    """Return the extra that a module needs, or None."""
    return next((extra for module, extra in EXTRAS.items() if f"{name}.".startswith(f"{module}.")), None)


def main(extras: list[str]) -> None:
    """Import the modules, and print a JSON object.

    ``file`` is the package's path, ``imported`` counts the modules, ``errors`` has a message for each module
    that cannot be imported, and ``unwanted`` lists imported modules whose extra was not given.
    """
    names = [name for name in find_public_modules() if required_extra(name) in {None, *extras}]
    errors: dict[str, str] = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module raises is reported
            errors[name] = f"{type(error).__name__}: {error}"
    report = {
        "file": importlib.import_module(PACKAGE).__file__,
        "airflow": importlib.metadata.version("apache-airflow"),
        "imported": len(names) - len(errors),
        "errors": errors,
        "unwanted": sorted(name for name in sys.modules if required_extra(name) not in {None, *extras}),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1:])
