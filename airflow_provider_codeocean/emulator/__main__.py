"""`python -m airflow_provider_codeocean.emulator`: the emulator as a program."""

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_codeocean.emulator.domain.config import ConfigError, EmulatorConfig, load_config
from airflow_provider_codeocean.emulator.seeding.env_file import environment, write_env_file
from airflow_provider_codeocean.emulator.server.app import create_app
from airflow_provider_codeocean.emulator.server.server import HttpServer, listen, url_of

USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    :param argv: arguments; those of the process if not given.
    :returns: exit status: 0 after a regular stop, 2 for what cannot be used.
    """
    arguments = _parser().parse_args(argv)
    # Who waits for the file must not find the one of the last time.
    arguments.env_file.unlink(missing_ok=True)
    try:
        config = load_config(arguments.config) if arguments.config else EmulatorConfig()
        app = create_app(config, state=arguments.state)
        listener = listen(arguments.host, arguments.port)
    except (ConfigError, OSError, sqlite3.Error) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_ERROR
    url = url_of(arguments.host, listener)

    def tell() -> None:
        write_env_file(arguments.env_file, environment(app.state.emulator, url))
        sys.stderr.write(f"Code Ocean emulator at {url}, see {arguments.env_file}\n")

    with listener:
        HttpServer(app, tell).run(sockets=[listener])
    app.state.emulator.store.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_codeocean.emulator",
        description="An emulator of the Code Ocean REST API. Endpoints under /_emulator/ make trouble.",
    )
    parser.add_argument("--port", type=int, required=True, help="where to listen; 0 picks a free port")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--env-file", type=Path, required=True, help="written once it listens: URL, tokens, ids"
    )
    parser.add_argument("--state", type=Path, help="SQLite file that keeps everything; in memory without")
    parser.add_argument("--config", type=Path, help="JSON file with the fields of EmulatorConfig")
    return parser


if __name__ == "__main__":
    sys.exit(main())
