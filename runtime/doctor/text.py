"""The report for people, and for pasting into a bug report: no lines of boxes, and readable in a narrow window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click
from rich.table import Table

from nafnet.progress import PlainConsole
from nafnet.runtime.doctor.backends import Examined, State
from nafnet.runtime.doctor.places import Place
from nafnet.runtime.doctor.report import Report
from nafnet.words import counted

_WORDS: dict[State, str] = {
    "right": "right", "wrong": "WRONG", "failed": "does not run", "crashed": "CRASHES", "hung": "HANGS",
    "absent": "not here", "untried": "ready, not tried",
}  # fmt: skip


def show(report: Report) -> None:
    """Print it to standard output, without the blanks to which tables are filled up."""
    console = PlainConsole()
    with console.capture() as captured:
        _print(report, console)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def _print(report: Report, console: PlainConsole) -> None:
    for title, rows in (
        (f"nafnet-toolchain {report.version}", _machine(report)),
        ("Backends, tried on one tile of the bundled model, against PyTorch", _backends(report.backends)),
        ("Libraries", _libraries(report)),
        ("Folders", ((place.name, _place(place)) for place in report.places)),
        ("Variables", report.variables.items()),
    ):
        if listed := list(rows):
            console.print(_section(title, listed))
            console.print()
    console.print(verdict(report), soft_wrap=True)


def verdict(report: Report) -> str:
    """The last line."""
    if report.right:
        return f"{counted(len(report.right), 'backend')} of {len(report.backends)} ready and right on this machine"
    if any(each.state not in ("absent", "untried") for each in report.backends):
        return "no backend is right on this machine; the lines above say what is wrong with each"
    return "no backend runs on this machine: pip install 'nafnet-toolchain[cpu]'"


def _section(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def _machine(report: Report) -> Iterator[tuple[str, str]]:
    system, processor, memory = report.system, report.processor, report.memory
    yield "system", f"{system['name']}: {system['release']}"
    yield "python", system["python"]
    cores = counted(processor["cores"] or 1, "core")
    ours = f", {processor['cores_for_us']} for this process" if processor["cores_for_us"] != processor["cores"] else ""
    yield "processor", f"{processor['name']}, {cores}{ours}"
    yield "instructions", ", ".join(processor["instructions"]) or "none of those that matter"
    available = "unknown" if memory["available"] is None else _gib(memory["available"])
    limits = [f"at most {_gib(most)} by {what}" for what, most in memory["limits"].items()]
    yield "memory", ", ".join([_gib(memory["machine"]), f"{available} available", *limits])
    yield from _devices(report.devices)


def _devices(devices: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "error" in devices:
        yield "devices", f"cannot be listed: {devices['error']}"
        return
    found = [*devices["adapters"], *devices["nvidia"]]
    for device in found:
        memory = f"{device['memory_mib']} MiB" if device["memory_mib"] else ""
        driver = f"driver {device['driver']}" if device["driver"] else ""
        yield "device", ", ".join(filter(None, (device["name"], driver, memory)))
    if not found:
        yield "devices", "no GPU that the system lists"
    if devices["cuda"]:
        yield "cuda", f"driver of CUDA {devices['cuda']}, {counted(devices['cuda_devices'], 'device')}"


def _backends(backends: Iterable[Examined]) -> Iterator[tuple[str, str]]:
    for each in backends:
        figures = []
        if each.psnr is not None:
            figures.append(f"{each.psnr:.1f} dB")
        if each.megapixels_per_second is not None:
            figures.append(f"{each.megapixels_per_second:g} MP/s in tiles of {each.tile}")
        told = ", ".join(figures + [text for text in (each.description, each.detail) if text])
        yield each.name, f"{_WORDS[each.state]}: {told}"


def _libraries(report: Report) -> Iterator[tuple[str, str]]:
    """Each library beside the first extra that brings it."""
    vips = report.libvips
    yield "libvips", vips.get("version") or f"DOES NOT LOAD: {vips.get('error')}"
    seen: set[str] = set()
    for extra, wanted in report.libraries.items():
        new = {name: version for name, version in wanted.items() if name not in seen}
        seen |= set(new)
        there = ", ".join(f"{name} {version}" for name, version in new.items() if version)
        missing = ", ".join(name for name, version in new.items() if not version)
        if new:
            yield extra, "; ".join(filter(None, (there, f"missing: {missing}" if missing else "")))


def _place(place: Place) -> str:
    free = "" if place.free is None else f", {_gib(place.free)} free"
    return f"{place.path or 'none'}: {f'cannot be written ({place.fault})' if place.fault else 'can be written'}{free}"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
