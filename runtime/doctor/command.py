"""`nafnet-run --doctor`."""

from __future__ import annotations

import dataclasses
import json

import click

from nafnet.errors import NafnetError
from nafnet.runtime.doctor.report import SECONDS, examine
from nafnet.runtime.doctor.text import show
from nafnet.steps import Display


def run(*, as_json: bool, limit: float = SECONDS) -> int:
    """Print what a bug report needs; returns the exit code: 0 where at least one backend runs and is right."""
    with Display() as display:
        report = examine(limit=limit, on_step=display.step)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        show(report)
    return 0 if report.right else NafnetError.exit_code
