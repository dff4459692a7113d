"""Runs that are killed again and again, and power cuts: what is left of a folder of results, and of what was there.

A power cut is played after a kill: what was not flushed by then may be gone. That is the names of the last results,
the line of the journal that was being written, and any part of a temporary file.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from nafnet.commandline import exits
from nafnet.runtime.paths.journal import FOLDER

STRANGERS = 5
"""Files of somebody else under names of results."""
LATELY = 8
"""Results whose names may not be on the disk yet."""


def write_photographs(folder: Path, count: int) -> None:
    """Small ones of many sizes, no two alike."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    for index in range(count):
        height, width = generator.integers(40, 200, 2)
        pixels = generator.integers(0, 255, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:04}.{'jpg' if index % 3 else 'png'}")


def results(out: Path) -> dict[str, bytes]:
    """All files but the journal, temporary ones included."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def cut_power(out: Path, strangers: set[str], chance: random.Random) -> int:
    """Take away what was not flushed; returns how many results lost their names."""
    named = sorted(
        (path for path in out.iterdir() if path.is_file() and not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime_ns,
    )
    recent = [path for path in named if path.name not in strangers][-LATELY:]
    lost = chance.sample(recent, chance.randint(0, len(recent)))
    for path in lost:
        path.unlink()
    for path in out.glob(".*.partial"):
        with path.open("rb+") as file:
            file.truncate(chance.randint(0, path.stat().st_size))
    journal = out / FOLDER / "1-of-1.jsonl"
    if not journal.exists():
        return len(lost)
    lines = journal.read_bytes().splitlines(keepends=True)
    # A line is flushed before its file is renamed, so only what follows the last named file may be torn.
    last = max((n for n, line in enumerate(lines) if (out / _output(line)).exists()), default=-1)
    rest = b"".join(lines[last + 1 :])
    journal.write_bytes(b"".join(lines[: last + 1]) + rest[: chance.randint(0, len(rest))])
    return len(lost)


def _output(line: bytes) -> str:
    try:
        return str(json.loads(line)["output"])
    except (ValueError, KeyError):
        return "torn"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--files", default=500, show_default=True, type=click.IntRange(min=20), help="Photographs in the folder.")
@click.option("--kills", default=20, show_default=True, type=click.IntRange(min=0))
@click.option("--cuts", default=5, show_default=True, type=click.IntRange(min=0), help="Kills that are power cuts too.")
@click.option("--seed", default=0, show_default=True)
@exits
def main(files: int, kills: int, cuts: int, seed: int) -> int:
    """Print what became of the results and of the files of others; exit with 1 if anything is wrong."""
    chance = random.Random(seed)
    program = [str(Path(sys.executable).with_name("nafnet-run")), "--threads", "1", "--quiet"]
    with tempfile.TemporaryDirectory() as place:
        folder, out, undisturbed = (Path(place, name) for name in ("in", "out", "undisturbed"))
        write_photographs(folder, files)
        started = time.perf_counter()
        subprocess.run([*program, folder, undisturbed], check=True)
        seconds = time.perf_counter() - started
        expected = results(undisturbed)
        out.mkdir()
        strangers = set(chance.sample(sorted(expected), STRANGERS))
        for name in strangers:
            (out / name).write_bytes(b"somebody's")
        lost, powerless = 0, set(chance.sample(range(kills + cuts), cuts))
        for kill in range(kills + cuts):
            with subprocess.Popen([*program, folder, out], stderr=subprocess.DEVNULL) as process:
                time.sleep(chance.uniform(0.3, 1.2) * max(seconds / (kills + cuts), 1.5))
                process.kill()
            if kill in powerless:
                lost += cut_power(out, strangers, chance)
        done = subprocess.run([*program, folder, out], check=False, capture_output=True, text=True)
        found = results(out)
        wrong = [name for name in expected if name not in strangers and found.get(name) != expected[name]]
        touched = [name for name in strangers if found[name] != b"somebody's"]
        left = sorted(set(found) - set(expected))
        lines = (out / FOLDER / "1-of-1.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    click.echo(
        f"{files} files, {kills} kills, {cuts} power cuts that took the names of {lost} results: "
        f"{len(expected) - STRANGERS - len(wrong)} whole and right, {len(wrong)} wrong or missing; files of others: "
        f"{STRANGERS - len(touched)} as they were, {len(touched)} touched; {len(left)} temporary files left; "
        f"{len(lines)} lines in the journal; the last run exited with {done.returncode} and refused "
        f"{done.stderr.count('was not written from here')} files"
    )
    return 1 if wrong or touched or left or done.returncode != 1 else 0


if __name__ == "__main__":
    main()
