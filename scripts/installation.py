"""Install the provider's wheel into an empty environment, and use it as a user does."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.emulator_process import call_emulator, read_env_file
from scripts.processes import GuardedProcess
from scripts.steps import StepError
from scripts.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.steps import StepRunner

DISTRIBUTION = "airflow-provider-codeocean"
HOOK_NAME = "Code Ocean"
_IMPORT_MODULES = Path(__file__).with_name("import_modules.py")
_UV = Path(sys.executable).with_name("uv")
_VENV_TIMEOUT_SECONDS = 120.0
_INSTALL_TIMEOUT_SECONDS = 600.0
_AIRFLOW_TIMEOUT_SECONDS = 180.0  # normally 5 to 15
_EMULATOR_TIMEOUT_SECONDS = 60.0
_INSTALL_COMMANDS = {f'pip install "{name}[emulator]"' for name in (".", DISTRIBUTION)}
_PORT = "--port 8000"
#: The modules that Airflow 2 cannot import, and their message.
_NEED_AIRFLOW_3 = re.compile(r"ImportError: Asset watchers require Airflow 3\.0 or later")


@dataclass(frozen=True)
class QuickStart:
    """The quick start of the documentation.

    :param start_emulator: command that runs until it is stopped.
    :param connect: commands that define the connection.
    :param file_name: name of the DAG file.
    :param dag: content of the DAG file.
    :param run: commands that run the DAG.
    """

    start_emulator: str
    connect: str
    file_name: str
    dag: str
    run: str


def read_quick_start(page: str) -> QuickStart:
    """Read the code blocks of the quick start.

    :param page: the page in Markdown.
    :raises StepError: if they are not the expected ones.
    """
    section = page.partition("\n## Start in five minutes")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)\n```$", section, re.MULTILINE | re.DOTALL)
    file_names = re.findall(r"`(\w+\.py)`", section)
    languages = [language for language, _ in blocks]
    if languages != ["console", "console", "console", "python", "console"] or len(file_names) != 1:
        raise StepError(f"The quick start has other code blocks than expected: {', '.join(languages)}")
    install, start_emulator, connect, dag, run = (text for _, text in blocks)
    if install not in _INSTALL_COMMANDS or _PORT not in start_emulator:
        raise StepError("The quick start has other commands than expected", f"{install}\n{start_emulator}")
    return QuickStart(start_emulator, connect, file_names[0], dag, run)


class Installation:
    """The wheel in an empty environment, with an Airflow and the other versions of a lock file.

    :param python: the base interpreter.
    :param wheel: the wheel.
    :param lock: the lock file, of which only the needed packages are installed.
    :param folder: an empty folder outside of the checkout for the environment and the user's home.
    :param runner: runs the commands.
    """

    def __init__(self, python: str, wheel: Path, lock: Path, folder: Path, runner: StepRunner) -> None:
        self._base_python = python
        self._wheel = wheel
        self._lock = lock
        self._folder = folder
        self._runner = runner
        self._environment = folder / "environment"
        self._home = folder / "home"
        self.python = str(self._environment / "bin" / "python")
        self.is_airflow_2 = lock.stem.startswith("airflow-2.")

    def create(self) -> None:
        """Create the environment, and install the wheel without extras.

        :raises StepError: if that fails.
        """
        self._home.mkdir(parents=True)
        self._runner.run(
            "Create an empty environment",
            [self._base_python, "-I", "-m", "venv", str(self._environment)],
            env=self._user_environment(),
            cwd=self._folder,
            timeout=_VENV_TIMEOUT_SECONDS,
        )
        self._install("Install the wheel without extras", str(self._wheel))

    def check_provider(self) -> None:
        """Check that Airflow finds the provider and its connection type.

        :raises StepError: if it does not.
        """
        (details,) = self._query_airflow("providers", "get", DISTRIBUTION)
        listed = self._query_airflow("providers", "list")
        hooks = self._query_airflow("providers", "hooks")
        if not any(each["package_name"] == DISTRIBUTION for each in listed):
            raise StepError("airflow providers list: the provider is missing", json.dumps(listed))
        if not any(
            each["connection_type"] == "codeocean" and each["hook_name"] == HOOK_NAME for each in hooks
        ):
            raise StepError("airflow providers hooks: the connection type is missing", json.dumps(hooks))
        self._runner.print_result(f"{details['Provider']} {details['Version']}, connection type {HOOK_NAME}")

    def check_imports(self, *extras: str) -> None:
        """Import all public modules for which the environment has the extras.

        :raises StepError: if one fails, comes from the checkout, or was imported without its extra.
        """
        names = f" with {' and '.join(extras)}" if extras else " without extras"
        command = [self.python, "-I", str(_IMPORT_MODULES), *extras]
        report = json.loads(self._run_as_user(f"Import all public modules{names}", command).splitlines()[-1])
        site_packages = self._environment / "lib"
        if not Path(report["file"]).is_relative_to(site_packages):
            raise StepError(f"The package comes from {report['file']} instead of {site_packages}")
        errors = {
            name: text
            for name, text in report["errors"].items()
            if not (self.is_airflow_2 and _NEED_AIRFLOW_3.match(text))
        }
        if errors or report["unwanted"]:
            raise StepError("Modules cannot be imported, or were imported without need", json.dumps(report))
        self._runner.print_result(f"{report['imported']} modules on Airflow {report['airflow']}")

    def run_quick_start(self, page: str) -> None:
        """Run the commands of the quick start, and check that they leave one ready data asset.

        :param page: the page with the quick start.
        :raises StepError: if a command fails or has another result.
        """
        quick_start = read_quick_start(page)
        self._install("Quick start: install the wheel with the emulator", f"{self._wheel}[emulator]")
        self.check_imports("emulator")
        dags = self._home / "airflow" / "dags"
        dags.mkdir(parents=True)
        dag = quick_start.dag
        if self.is_airflow_2:  # as the page says
            dag = dag.replace("from airflow.sdk import", "from airflow.providers.common.compat.sdk import")
        (dags / quick_start.file_name).write_text(dag)
        emulator = self._start_emulator(quick_start.start_emulator)
        try:
            before = self._read_ready_data_assets()
            script = f"set -e\n{quick_start.connect}\n{quick_start.run}\n"
            output = self._run_as_user("Quick start: connect, and run the DAG", ["sh", "-c", script])
            added = self._read_ready_data_assets() - before
        finally:
            emulator.stop()
        if len(added) != 1:
            raise StepError(f"The quick start has left {len(added)} ready data assets instead of one", output)
        self._runner.print_result(f"the DAG has left the data asset {next(iter(added))}, ready")

    def check_extras(self) -> None:
        """Install the extras that users need, and import everything.

        :raises StepError: if that fails.
        """
        extras = ("emulator", "openlineage")
        self._install("Install the wheel with both extras", f"{self._wheel}[{','.join(extras)}]")
        self.check_imports(*extras)

    def _install(self, title: str, requirement: str) -> None:
        options = ["install", "--constraint", str(self._lock), requirement]
        installer_env = os.environ | {"UV_SYSTEM_CERTS": os.environ.get("UV_SYSTEM_CERTS", "1")}
        for name in ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX"):
            installer_env.pop(name, None)
        uv = [str(_UV), "pip"]
        target = ["--python", self.python]
        try:
            self._run_installer(title, [*uv, *options, *target], installer_env)
        except StepError:
            title = f"{title} (uv failed, and does not read pip's configuration: try pip)"
            self._run_installer(title, [self.python, "-m", "pip", *options], installer_env)
        self._run_installer("Check the requirements of all packages", [*uv, "check", *target], installer_env)

    def _run_installer(self, title: str, command: list[str], env: dict[str, str]) -> None:
        self._runner.run(title, command, env=env, cwd=self._folder, timeout=_INSTALL_TIMEOUT_SECONDS)

    def _user_environment(self) -> dict[str, str]:
        """Return the environment variables of a user without checkout, proxy, and settings."""
        path = os.pathsep.join([str(self._environment / "bin"), os.defpath])
        return {"HOME": str(self._home), "PATH": path, "LANG": "C.UTF-8", "TZ": "UTC"}

    def _run_as_user(self, title: str, command: Sequence[str]) -> str:
        return self._runner.run(
            title, command, env=self._user_environment(), cwd=self._home, timeout=_AIRFLOW_TIMEOUT_SECONDS
        )

    def _query_airflow(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a command of Airflow that prints a list of objects."""
        airflow = str(self._environment / "bin" / "airflow")
        title = " ".join(["airflow", *arguments])
        output = self._run_as_user(title, [airflow, *arguments, "--output", "json"])
        start = output.find("[{")  # Airflow may print warnings before and after it
        if start < 0:
            raise StepError(f"{title}: no result", output)
        found: list[dict[str, Any]] = json.JSONDecoder().raw_decode(output, start)[0]
        return found

    def _start_emulator(self, command: str) -> GuardedProcess:
        self._runner.terminal.print_line("Quick start: start the emulator")
        emulator = GuardedProcess(
            "emulator",
            ["sh", "-c", f"exec {command.replace(_PORT, '--port 0')}"],
            env=self._user_environment(),
            directory=self._folder,
            cwd=self._home,
        )

        def is_up() -> bool:
            if not emulator.is_running:
                raise StepError("The emulator has ended", emulator.describe_exit())
            return "CODEOCEAN_URL" in self._read_emulator_variables()

        emulator.start()
        try:
            wait_until(is_up, description="the emulator", timeout=_EMULATOR_TIMEOUT_SECONDS)
        except BaseException:
            emulator.stop()
            raise
        return emulator

    def _read_emulator_variables(self) -> dict[str, str]:
        return read_env_file(self._home / "code-ocean.env")

    def _read_ready_data_assets(self) -> set[str]:
        """Return the ids of all ready data assets of the emulator."""
        variables = self._read_emulator_variables()
        found = call_emulator(variables, "POST", "/api/v1/data_assets/search", {"limit": 1000})
        return {each["id"] for each in found["results"] if each["state"] == "ready"}
