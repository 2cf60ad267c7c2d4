"""Keep one triggerer busy and see that it does not grow: ``python -m tests.soak [--minutes 30] [--docs]``.

A real Airflow, with the emulator as its Code Ocean, in which a few requests of a hundred go wrong. Twenty
waits begin every ten seconds and stand for one to four minutes, in the triggerer alone; a capture begins
every ten seconds and waits deferred; two asset watchers tell of all that finishes and all that is captured.
Every ten seconds it is measured what the triggerer's processes take. When the time is over and all has ended,
it fails where something has grown (:mod:`tests.soak.flat` says what that means), or a capture was lost, made
twice or has failed, or something was not told, or told twice. ``build/soak`` has the samples and the plot,
and all logs.
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
from tests.soak.flat import FEWEST, SHORTEST, what_grows
from tests.soak.load import BATCH, CAPTURED_IN, FAULTS, Load
from tests.soak.report import page, plot, table
from tests.soak.samples import Sample, Sampler, write_csv

CHECKOUT = Path(__file__).parents[2]
DAGS = Path(__file__).parent / "dags"
BUILD = CHECKOUT / "build" / "soak"
DOCS = CHECKOUT / "docs"
SAMPLE_EVERY = 10.0
#: Seconds for what has begun to end, and for connections that nobody uses to be closed.
_DRAIN, _CLOSE = 900.0, 60.0
_LOGS = ("triggerer", "scheduler")


def main() -> int:
    """Run it, and say what came of it.

    :returns: the exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--docs", action="store_true", help="write docs/soak.md and its plot")
    arguments = parser.parse_args()
    return _soak(BUILD, arguments.minutes, docs=arguments.docs)


def _soak(folder: Path, minutes: float, *, docs: bool) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.json"
    config.write_text(json.dumps({"transitions": {"assets": CAPTURED_IN}}))
    with EmulatorProcess(folder, arguments=["--config", str(config)]) as emulator:
        airflow = RealAirflow(
            folder / "airflow",
            dags_folder=DAGS,
            connections={"codeocean_default": emulator.connection},
            env={
                "SOAK_BATCH": str(BATCH),
                "SOAK_CAPSULE": emulator.variables["CODEOCEAN_CAPSULE_ID"],
            },
            config={
                "core.max_active_tasks_per_dag": "10000",
                "triggerer.capacity": "5000",
            },
        )
        with airflow:
            load = Load(airflow, emulator)
            before = _warm_up(airflow, load)
            sampler = Sampler(airflow)
            for fault in FAULTS:
                emulator.call("POST", "/_emulator/faults", {**fault, "times": None})
            _keep_busy(airflow, load, sampler, minutes)
            samples = list(sampler.taken)
            emulator.call("DELETE", "/_emulator/faults")
            airflow.wait_until(load.is_over, awaited="the end of all", timeout=_DRAIN, logs=_LOGS)
            airflow.wait_until(load.all_is_told, awaited="all events", timeout=_CLOSE, logs=_LOGS)
            after = _at_rest(airflow, sampler, before)
            stats = emulator.get("/_emulator/stats")
            wrong = [*what_grows(samples, before, after), *load.losses()]
    return _tell(load, samples, before, after, stats, wrong, docs=docs)


def _warm_up(airflow: RealAirflow, load: Load) -> Sample:
    """Use all once, so that it is imported and connected."""
    airflow.wait_for_dag("soak_told")
    airflow.wait_until(load.is_watched, awaited="the watchers", timeout=_CLOSE, logs=_LOGS)
    load.begin_waits({"seconds": 5.0})
    load.begin_capture()
    airflow.wait_until(load.is_over, awaited="the end of the warm-up", timeout=_DRAIN, logs=_LOGS)
    airflow.wait_until(load.all_is_told, awaited="the first events", timeout=_CLOSE, logs=_LOGS)
    return Sampler(airflow).take()


def _keep_busy(airflow: RealAirflow, load: Load, sampler: Sampler, minutes: float) -> None:
    """Keep it busy; Ctrl-C ends that early, between two steps, and what there is by then is judged."""
    end = time.monotonic() + 60 * minutes
    sample_at = time.monotonic()
    interrupted: list[int] = []

    def is_over() -> bool:
        nonlocal sample_at
        enough = len(sampler.taken) >= FEWEST
        if interrupted and enough:
            return True
        load.begin_what_is_due()
        if time.monotonic() >= sample_at:
            sample_at = time.monotonic() + SAMPLE_EVERY
            sample = sampler.take()
            print(
                f"{sample.seconds:5.0f} s: {sample.waits} waits, runner {sample.runner_uss:.1f} MB "
                f"{sample.runner_fds} descriptors, supervisor {sample.supervisor_uss:.1f} MB "
                f"{sample.supervisor_fds} descriptors",
                flush=True,
            )
        return enough and time.monotonic() >= end

    before = signal.signal(signal.SIGINT, lambda number, _frame: interrupted.append(number))
    try:
        airflow.wait_until(is_over, awaited="the end of the time", timeout=60 * minutes + _DRAIN, logs=_LOGS)
    finally:
        signal.signal(signal.SIGINT, before)


def _at_rest(airflow: RealAirflow, sampler: Sampler, before: Sample) -> Sample:
    """Take a sample once idle connections are closed, or after a minute."""
    until = time.monotonic() + _CLOSE

    def is_at_rest() -> Sample | None:
        sample = sampler.take()
        closed = sample.runner_fds <= before.runner_fds and sample.supervisor_fds <= before.supervisor_fds
        return sample if closed or time.monotonic() >= until else None

    return airflow.wait_until(is_at_rest, awaited="a triggerer at rest", timeout=2 * _CLOSE, logs=_LOGS)


def _tell(
    load: Load,
    samples: list[Sample],
    before: Sample,
    after: Sample,
    stats: dict[str, int],
    wrong: list[str],
    *,
    docs: bool,
) -> int:
    write_csv([before, *samples, after], BUILD / "samples.csv")
    drawn, figures = plot(samples), table(samples, before, after)
    (BUILD / "soak.svg").write_text(drawn)
    minutes = samples[-1].seconds / 60
    standing = sum(each.waits for each in samples) / len(samples)
    summary = (
        f"{minutes:.0f} minutes, {load.waits:,} waits (about {standing:.0f} at a time), "
        f"{len(load.computations):,} captures, {stats['requests']:,} requests, "
        f"{after.cpu - before.cpu:.0f} CPU seconds of the triggerer"
    )
    print(f"\n{summary}\n\n{figures}\n")
    if docs and not wrong:
        (DOCS / "soak.svg").write_text(drawn)
        (DOCS / "soak.md").write_text(page(summary, figures))
    if minutes < SHORTEST:
        print(f"Memory was not judged: that takes {SHORTEST:g} minutes.")
    print("\n".join(wrong) or "All is flat, and nothing was lost.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
