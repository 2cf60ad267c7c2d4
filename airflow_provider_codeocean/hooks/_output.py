"""Show in a task's log, and in its error, what a computation has printed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from airflow_provider_codeocean.api.errors import CodeOceanError, ComputationFailed

if TYPE_CHECKING:
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

log = logging.getLogger(__name__)

#: When the end of a computation's output is shown.
LogOutput = Literal["on_failure", "always", "never"]

#: Seconds for which each request for the output is retried: it must not delay the task for long.
_RETRY_SECONDS = 10.0
#: The part of the output that is in the error: lines, and characters.
_ERROR_LINES = 3
_ERROR_CHARACTERS = 600


def explain_failure(
    hook: CodeOceanHook,
    computation_id: str,
    error: ComputationFailed,
    log_output: LogOutput,
    url: str | None = None,
) -> ComputationFailed:
    """Log the end of the output of a computation that failed, and return an error with its last lines.

    :param hook: the hook.
    :param computation_id: id of the computation.
    :param error: the error.
    :param log_output: whether to read the output.
    :param url: address of the page to look at.
    :returns: an error of the same class, with the output and the address.
    """
    lines = [] if log_output == "never" else log_output_tail(hook, computation_id)
    message = str(error)
    if lines:
        message += f". Its output ends with: {' | '.join(lines[-_ERROR_LINES:])[-_ERROR_CHARACTERS:]}"
    if url:
        message += f" [{url}]"
    return type(error)(message)


def log_output_tail(hook: CodeOceanHook, computation_id: str) -> list[str]:
    """Log the end of what a computation has printed, and return these lines. Errors are logged."""
    from airflow_provider_codeocean.files.output import read_output_tail

    try:
        with hook.open_client(retry_budget=_RETRY_SECONDS) as client:
            lines = read_output_tail(client, computation_id)
    except CodeOceanError as error:
        log.warning("The output of computation %s could not be read: %s", computation_id, error)
        return []
    if lines:
        text = "\n".join(f"    {line}" for line in lines)
        log.info("The output of computation %s ends with:\n%s", computation_id, text)
    else:
        log.info("Computation %s has no output to show", computation_id)
    return lines
