"""Whether the parity gate finds faults: ``python -m nafnet.benchmarks.studies.gate``.

A graph is given one fault at a time, of hundreds, and put to the gate, see `trial`. None that is seen in photographs
may pass.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.table import Table

from nafnet.benchmarks.studies.mutations import KINDS, mutations
from nafnet.benchmarks.studies.trial import FORMS, Judged, Trial
from nafnet.commandline import exits
from nafnet.files import write_whole
from nafnet.progress import PlainConsole
from nafnet.steps import Display, OnStep, unwatched

PASSED_BY_GATE = 3


def judged(trial: Trial, count: int, only: Sequence[str] = (), on_step: OnStep = unwatched) -> Iterator[Judged | None]:
    """So many faults of a form that can be run, of each kind in turn, fewer where there are no more; None for each that
    cannot."""
    done = 0
    for mutation in mutations(trial.graph.content, only):
        if done == count:
            return
        on_step(f"{trial.name}, fault {done + 1} of {count}: {mutation.kind}, {mutation.name}", done, count)
        found = trial.judge(mutation)
        done += found is not None
        yield found


def table(found: Sequence[Judged]) -> Table:
    """A row for each kind."""
    made = Table("kind", title="Faults in exported graphs, and what the gate made of them")
    for heading in ("faults", "seen", "refused", "by pictures alone", "not seen", "refused"):
        made.add_column(heading, justify="right")
    for kind in KINDS:
        if alike := [each for each in found if each.kind == kind]:
            made.add_row(kind, *map(str, _figures(alike)))
    made.add_section()
    made.add_row("all", *map(str, _figures(found)))
    return made


def _figures(found: Sequence[Judged]) -> tuple[int, ...]:
    seen, others = [each for each in found if each.seen], [each for each in found if not each.seen]
    refused = [sum(each.refused is not None for each in part) for part in (seen, others)]
    return len(found), len(seen), refused[0], sum(bool(each.by_pictures) for each in seen), len(others), refused[1]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--count", default=60, show_default=True, type=click.IntRange(min=1), help="Faults in each form.")
@click.option("--only", multiple=True, type=click.Choice(list(KINDS)), help="Faults of this kind.  [default: all]")
@click.option("--form", "forms", multiple=True, type=click.Choice(list(FORMS)), help="[default: all]")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Keep what was found of each fault here.")
@exits
def main(count: int, only: tuple[str, ...], forms: tuple[str, ...], json_file: Path | None) -> int:
    """Print how many faults the gate refuses; exit with 3 if one that is seen passes."""
    found: list[Judged] = []
    not_runnable = 0
    with Display() as display:
        for name in forms or FORMS:
            for each in judged(Trial(name, display.step), count, only, display.step):
                not_runnable += each is None
                found += [each] if each else []
    if json_file is not None:
        facts = [dataclasses.asdict(each) | {"seen": each.seen} for each in found]
        write_whole(json_file, json.dumps(facts, indent=1).encode())
    PlainConsole().print(table(found))
    passed = [each for each in found if each.seen and each.refused is None]
    click.echo(f"{len(found)} faults; {not_runnable} more changed nothing or could not be run")
    for each in passed:
        click.echo(f"passes the gate: {each.form}, {each.kind}, {each.name}: {each.share:.1%} of the values are off")
    return PASSED_BY_GATE if passed else 0


if __name__ == "__main__":
    main()
