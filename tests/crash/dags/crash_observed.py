"""What the crash tests add to a task so that it can be caught at a certain point."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook


class CrashHooksMixin:
    """Mixin of an operator: tells its process ids, and asks Code Ocean something at two more points.

    The emulator can hold these requests, and with them the process.
    """

    def pre_execute(self, context):
        """Before anything else, in a worker and after a deferral."""
        super().pre_execute(context)
        run_id, try_number = context["run_id"], context["ti"].try_number
        # A task's process is a fork of the one that supervises it.
        report = Path(os.environ["CRASH_PIDS"]) / f"{run_id}.{try_number}"
        report.with_suffix(".draft").write_text(f"{os.getpid()} {os.getppid()}")
        report.with_suffix(".draft").rename(report)
        with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
            self.send_probe(client)

    def send_probe(self, client):
        """Ask something before anything else."""
        client.computations.get(self.computation_id)

    def defer(self, **arguments):
        """After everything else that happens in the worker."""
        with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
            client.custom_metadata.get()
        super().defer(**arguments)
