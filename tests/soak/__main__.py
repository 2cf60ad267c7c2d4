"""Keep one triggerer busy and see that it does not grow: ``python -m tests.soak [--minutes 30] [--docs]``.

A real Airflow, with the emulator as its Code Ocean, in which a few requests of a hundred go wrong. Twenty
waits begin every ten seconds and stand for one to four minutes, in the triggerer alone; a capture begins
every ten seconds and waits deferred; two asset watchers tell of all that finishes and all that is captured.
Every ten seconds it is measured what the triggerer's processes take. When the time is over and all has ended,
it fails if something has grown (see :mod:`tests.soak.growth_check`), if a capture was lost, duplicated, or
failed, or if an event is missing or duplicated. ``build/soak`` has the samples, the plot, and all logs.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from scripts.emulator_process import EmulatorProcess
from scripts.real_airflow import RealAirflow
from tests.soak.growth_check import MIN_MINUTES_FOR_MEMORY, MIN_SAMPLES, find_growth
from tests.soak.load_generator import BATCH_SIZE, CAPTURE_POLICY, FAULTS, LoadGenerator
from tests.soak.report import page, plot, table
from tests.soak.samples import Sample, Sampler, write_csv

CHECKOUT = Path(__file__).parents[2]
DAGS = Path(__file__).parent / "dags"
BUILD = CHECKOUT / "build" / "soak"
DOCS = CHECKOUT / "docs"
SAMPLE_INTERVAL_SECONDS = 10.0
#: Seconds for what has begun to end, and for connections that nobody uses to be closed.
_DRAIN_TIMEOUT_SECONDS, _IDLE_CLOSE_SECONDS = 900.0, 60.0
_LOGGED_COMPONENTS = ("triggerer", "scheduler")


def main() -> int:
    """Run it, and say what came of it.

    :returns: the exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--docs", action="store_true", help="write docs/soak.md and its plot")
    arguments = parser.parse_args()
    return _run_soak(BUILD, arguments.minutes, docs=arguments.docs)


def _run_soak(folder: Path, minutes: float, *, docs: bool) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.json"
    config.write_text(json.dumps({"transitions": {"assets": CAPTURE_POLICY}}))
    with EmulatorProcess(folder, arguments=["--config", str(config)]) as emulator:
        airflow = RealAirflow(
            folder / "airflow",
            dags_folder=DAGS,
            connections={"codeocean_default": emulator.connection},
            env={
                "SOAK_BATCH": str(BATCH_SIZE),
                "SOAK_CAPSULE": emulator.variables["CODEOCEAN_CAPSULE_ID"],
            },
            config={
                "core.max_active_tasks_per_dag": "10000",
                "triggerer.capacity": "5000",
            },
        )
        with airflow:
            load = LoadGenerator(airflow, emulator)
            before = _warm_up(airflow, load)
            sampler = Sampler(airflow)
            for fault in FAULTS:
                emulator.call_api("POST", "/_emulator/faults", {**fault, "times": None})
            _apply_load(airflow, load, sampler, minutes)
            samples = list(sampler.samples)
            emulator.call_api("DELETE", "/_emulator/faults")
            airflow.wait_until(
                load.is_drained,
                description="the end of all",
                timeout=_DRAIN_TIMEOUT_SECONDS,
                logs=_LOGGED_COMPONENTS,
            )
            airflow.wait_until(
                load.all_events_received,
                description="all events",
                timeout=_IDLE_CLOSE_SECONDS,
                logs=_LOGGED_COMPONENTS,
            )
            after = _sample_at_rest(airflow, sampler, before)
            stats = emulator.get("/_emulator/stats")
            wrong = [*find_growth(samples, before, after), *load.find_losses()]
    return _report(load, samples, before, after, stats, wrong, docs=docs)


def _warm_up(airflow: RealAirflow, load: LoadGenerator) -> Sample:
    """Use all once, so that it is imported and connected."""
    airflow.wait_for_dag("soak_told")
    airflow.wait_until(
        load.watchers_have_baseline,
        description="the watchers",
        timeout=_IDLE_CLOSE_SECONDS,
        logs=_LOGGED_COMPONENTS,
    )
    load.start_waits({"seconds": 5.0})
    load.start_capture()
    airflow.wait_until(
        load.is_drained,
        description="the end of the warm-up",
        timeout=_DRAIN_TIMEOUT_SECONDS,
        logs=_LOGGED_COMPONENTS,
    )
    airflow.wait_until(
        load.all_events_received,
        description="the first events",
        timeout=_IDLE_CLOSE_SECONDS,
        logs=_LOGGED_COMPONENTS,
    )
    return Sampler(airflow).take_sample()


def _apply_load(airflow: RealAirflow, load: LoadGenerator, sampler: Sampler, minutes: float) -> None:
    """Keep it busy; Ctrl-C ends that early, between two steps, and what there is by then is judged."""
    end = time.monotonic() + 60 * minutes
    sample_at = time.monotonic()
    interrupted: list[int] = []

    def is_over() -> bool:
        nonlocal sample_at
        enough = len(sampler.samples) >= MIN_SAMPLES
        if interrupted and enough:
            return True
        load.start_due_work()
        if time.monotonic() >= sample_at:
            sample_at = time.monotonic() + SAMPLE_INTERVAL_SECONDS
            sample = sampler.take_sample()
            print(
                f"{sample.elapsed_seconds:5.0f} s: {sample.waits} waits, "
                f"runner {sample.runner_uss_mb:.1f} MB {sample.runner_fds} descriptors, "
                f"supervisor {sample.supervisor_uss_mb:.1f} MB {sample.supervisor_fds} descriptors",
                flush=True,
            )
        return enough and time.monotonic() >= end

    before = signal.signal(signal.SIGINT, lambda number, _frame: interrupted.append(number))
    try:
        airflow.wait_until(
            is_over,
            description="the end of the time",
            timeout=60 * minutes + _DRAIN_TIMEOUT_SECONDS,
            logs=_LOGGED_COMPONENTS,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def _sample_at_rest(airflow: RealAirflow, sampler: Sampler, before: Sample) -> Sample:
    """Take a sample once idle connections are closed, or after a minute."""
    until = time.monotonic() + _IDLE_CLOSE_SECONDS

    def is_at_rest() -> Sample | None:
        sample = sampler.take_sample()
        closed = sample.runner_fds <= before.runner_fds and sample.supervisor_fds <= before.supervisor_fds
        return sample if closed or time.monotonic() >= until else None

    return airflow.wait_until(
        is_at_rest,
        description="a triggerer at rest",
        timeout=2 * _IDLE_CLOSE_SECONDS,
        logs=_LOGGED_COMPONENTS,
    )


def _report(
    load: LoadGenerator,
    samples: list[Sample],
    before: Sample,
    after: Sample,
    stats: dict[str, int],
    problems: list[str],
    *,
    docs: bool,
) -> int:
    write_csv([before, *samples, after], BUILD / "samples.csv")
    drawn, figures = plot(samples), table(samples, before, after)
    (BUILD / "soak.svg").write_text(drawn)
    minutes = samples[-1].elapsed_seconds / 60
    standing = sum(each.waits for each in samples) / len(samples)
    summary = (
        f"{minutes:.0f} minutes, {load.waits:,} waits (about {standing:.0f} at a time), "
        f"{len(load.computations):,} captures, {stats['requests']:,} requests, "
        f"{after.cpu_seconds - before.cpu_seconds:.0f} CPU seconds of the triggerer"
    )
    print(f"\n{summary}\n\n{figures}\n")
    if docs and not problems:
        (DOCS / "soak.svg").write_text(drawn)
        (DOCS / "soak.md").write_text(page(summary, figures))
    if minutes < MIN_MINUTES_FOR_MEMORY:
        print(f"Memory was not judged: that takes {MIN_MINUTES_FOR_MEMORY:g} minutes.")
    print("\n".join(problems) or "All is flat, and nothing was lost.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
