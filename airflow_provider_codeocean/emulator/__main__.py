"""Command line of the emulator: `python -m airflow_provider_codeocean.emulator`."""

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_codeocean.emulator.domain.config import ConfigError, EmulatorConfig, load_config
from airflow_provider_codeocean.emulator.seeding.env_file import env_variables, write_env_file
from airflow_provider_codeocean.emulator.server.app import create_app
from airflow_provider_codeocean.emulator.server.server import HttpServer, listener_url, open_listener

USAGE_EXIT_CODE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    :param argv: command-line arguments; `sys.argv[1:]` by default.
    :returns: exit status: 0 after a regular stop, 2 for invalid arguments or settings.
    """
    arguments = _build_parser().parse_args(argv)
    # A process that waits for the file must not read a stale one.
    arguments.env_file.unlink(missing_ok=True)
    try:
        config = load_config(arguments.config) if arguments.config else EmulatorConfig()
        app = create_app(config, state=arguments.state)
        listener = open_listener(arguments.host, arguments.port)
    except (ConfigError, OSError, sqlite3.Error) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_EXIT_CODE
    url = listener_url(arguments.host, listener)

    def announce() -> None:
        write_env_file(arguments.env_file, env_variables(app.state.emulator, url))
        sys.stderr.write(f"Code Ocean emulator at {url}, see {arguments.env_file}\n")

    with listener:
        HttpServer(app, announce).run(sockets=[listener])
    app.state.emulator.store.close()
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_codeocean.emulator",
        description="An emulator of the Code Ocean REST API. Endpoints under /_emulator/ inject faults.",
    )
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 picks a free port")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--env-file",
        type=Path,
        required=True,
        help="file to write the URL, tokens, and ids to, once the server listens",
    )
    parser.add_argument("--state", type=Path, help="SQLite file for all state; in memory by default")
    parser.add_argument("--config", type=Path, help="JSON file with the fields of EmulatorConfig")
    return parser


if __name__ == "__main__":
    sys.exit(main())
