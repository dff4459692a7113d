"""`nafnet-run`: photographs in, restored photographs out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from nafnet.commandline import Command, exits

FORMAT_NAMES = ("png", "jpeg", "tiff", "webp", "avif", "jxl", "bmp", "ppm")


def _list_backends(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Every backend, and whether it can run here."""
    if asked:
        from nafnet.runtime.backends import states

        for name, entry, missing in states():
            click.echo(f"{name:17} runs {entry.reads:10} on {entry.device:4}  {missing or 'ready'}")
        context.exit()


def _doctor(context: click.Context, option: click.Parameter, asked: bool) -> None:
    """Examine the machine, once both options are known, in whichever order they stand."""
    given: dict[str | None, bool] = context.meta.setdefault(f"{__name__}.doctor", {})
    given[option.name] = asked
    if len(given) == 1 or not any(given.values()):
        return
    if not given["doctor"]:
        raise click.UsageError("--json: of --doctor alone; for what becomes of files there is --report", context)

    def examine() -> int:
        from nafnet.runtime.doctor.command import run

        return run(as_json=given["json"])

    exits(examine, interrupted="interrupted")()


_PATH = click.Path(path_type=Path)
_COUNT = click.IntRange(min=1)


class _Share(click.FloatRange):
    """A number from 0 to 1; not nan, which lies in every range."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r}: expected a number from 0 to 1", param, ctx)
        return number


_SHARE = _Share(0, 1)
_MOST_STRENGTHS = 8


class _Shares(_Share):
    """One such number, or several with commas between them."""

    name = "shares"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        numbers = tuple(_SHARE.convert(each.strip(), param, ctx) for each in str(value).split(","))
        if len(set(numbers)) < len(numbers):
            self.fail(f"{value!r}: one of them twice; expected each once", param, ctx)
        if len(numbers) > _MOST_STRENGTHS:
            self.fail(f"{value!r}: {len(numbers)} numbers; expected at most {_MOST_STRENGTHS}", param, ctx)
        return numbers


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", nargs=-1, metavar="[INPUT...]", type=_PATH)
@click.argument("output", type=_PATH)
@click.option(
    "--files-from",
    metavar="FILE",
    help="A list of INPUTs: a file, or - for standard input; one path a line, or NUL-ended.",
)
@click.option(
    "--model", help="The model: .onnx, .plan or a checkpoint (.safetensors, .pth).  [default: the bundled denoiser]"
)
@click.option("--backend", default="auto", show_default=True, help="What runs the model; see --list-backends.")
@click.option(
    "--list-backends",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_backends,
    help="List the backends: what can run here, and what the others lack.",
)
@click.option(
    "--doctor",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_doctor,
    help="Print what a bug report needs: the machine, the libraries, and whether each backend is right here.",
)
@click.option(
    "--json", is_flag=True, is_eager=True, expose_value=False, callback=_doctor, help="With --doctor: as JSON."
)
@click.option(
    "--device", help="Where the model runs: cpu, gpu, cuda:1, or several, cuda:0,cuda:1.  [default: the backend's]"
)
@click.option("--tile", type=_COUNT, help="Largest side of a tile, in pixels.  [default: the model's]")
@click.option(
    "--overlap", type=click.IntRange(min=0), help="Pixels that neighbouring tiles share.  [default: the model's]"
)
@click.option("--batch", type=_COUNT, help="Tiles to run at once.  [default: the backend's]")
@click.option("--tune", is_flag=True, help="Measure which tile and batch are fastest here; once per model and machine.")
@click.option("--whole", is_flag=True, help="Restore without tiles what fits into memory.")
@click.option("--threads", type=_COUNT, help="CPU threads.  [default: all cores]")
@click.option(
    "--format", "file_format", type=click.Choice(FORMAT_NAMES), help="Format of the results.  [default: the file's]"
)
@click.option(
    "--depth", type=click.Choice(["8", "16", "32"]), help="Bits of each value of the results.  [default: the file's]"
)
@click.option("--quality", type=click.IntRange(1, 100), help="Quality of JPEG, WebP and AVIF, 1 to 100.  [default: 95]")
@click.option(
    "--strength",
    type=_Shares(0, 1),
    default="1",
    show_default=True,
    help="How much of the model's work is taken: 0 nothing, 1 all of it. Several, as 0,0.5,1, give a file each, and a "
    "contact sheet to choose by.",
)
@click.option(
    "--chroma", type=_SHARE, help="The same for spots of colour, apart from luminance.  [default: as --strength]"
)
@click.option(
    "--detail",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="How much of the fine structure that the model took away comes back.",
)
@click.option(
    "--colour", type=click.Choice(["auto", "as-is"]), default="auto", show_default=True,
    help="Give the model colours as sRGB has them, by what a file says of its own; or its values as they are.",
)  # fmt: skip
@click.option(
    "--compare", type=_PATH, metavar="FOLDER", help="Also write original and result side by side, into this folder."
)
@click.option("--overwrite", is_flag=True, help="Start again: restore what is done already, and replace what is there.")
@click.option(
    "--keep-folders", is_flag=True, help="Keep the folders that each INPUT is named with, below OUTPUT as well."
)
@click.option(
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    help="Pass over files and folders of this name, as '*_old.jpg', or path, as 'raw/*'. May repeat.",
)
@click.option("--checksum", is_flag=True, help="Tell changed photographs by their content, not by their size and time.")
@click.option("--shard", metavar="I/N", help="Restore only part I of N of the files: for several machines at once.")
@click.option(
    "--ray",
    metavar="ADDRESS",
    is_flag=False,
    flag_value="local",
    help="Run on a Ray cluster; without ADDRESS on this machine.",
)
@click.option("--max-pixels", type=_COUNT, default=1_000_000_000, show_default=True, help="Largest image, in pixels.")
@click.option(
    "--decode-seconds", type=_COUNT, default=60, show_default=True, help="Longest time to decode a file, in seconds."
)
@click.option(
    "--decode-memory", type=_COUNT, default=4096, show_default=True, help="Most memory to decode a file, in MB."
)
@click.option("--strict", is_flag=True, help="Fail damaged files, also those that can be decoded all the same.")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write what became of each file, as JSON."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page of the pictures before and after, as one file.",
)
@click.option("--dry-run", is_flag=True, help="Print files, sizes, tiles, memory and time; restore nothing.")
@click.option("--quiet", is_flag=True, help="No progress bar and no summary; errors are still printed.")
@click.option(
    "--verbose",
    is_flag=True,
    help="Say why this backend, how much memory it takes, and what is to be noted of each file.",
)
@exits
def main(**options: Any) -> int:
    """Restore every INPUT, a photograph, a folder of them or a pattern, into the folder OUTPUT.

    Folders are walked and their structure is kept; each file keeps its format, depth, profile and metadata. For one
    INPUT, OUTPUT may be a file, or - for standard output. Run again, it does what is left.

    Exit codes: 0 all restored, 1 some files failed, 2 could not start or go on, 130 interrupted.
    """
    # Imported here, so that --help does not wait for the image and inference libraries.
    from nafnet.allocator import keep_bands
    from nafnet.errors import MissingExtraError

    try:
        from nafnet.runtime.command import run
    except ModuleNotFoundError as error:  # what reads models comes with each extra that runs them
        raise MissingExtraError.of(error, "cpu") from error
    from nafnet.runtime.options import RunOptions

    keep_bands()
    depth = options.pop("depth")
    return run(RunOptions(depth=int(depth) if depth else None, **options))
