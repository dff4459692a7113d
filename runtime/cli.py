"""`nafnet-run`: photographs in, restored photographs out."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nafnet.commandline import exits
from nafnet.errors import UsageError

if TYPE_CHECKING:
    from nafnet.runtime.restorer import Restorer


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--model", help="An .onnx file or a checkpoint (.safetensors, .pth).  [default: the bundled denoiser]")
@click.option("--backend", default="auto", show_default=True, help="auto, openvino, onnxruntime or torch.")
@click.option("--tile", type=click.IntRange(min=1), help="Largest side of a tile, in pixels.  [default: the model's]")
@click.option("--overlap", type=click.IntRange(min=0), help="Pixels that tiles share.  [default: the model's]")
@click.option("--batch", type=click.IntRange(min=1), help="Tiles to run at once.  [default: the backend's]")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all cores]")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write what became of each file, as JSON."
)
@click.option("--quiet", is_flag=True, help="No progress bar and no summary; errors are still printed.")
@exits
def main(
    inputs: tuple[Path, ...],
    output: Path,
    model: str | None,
    backend: str,
    tile: int | None,
    overlap: int | None,
    batch: int | None,
    threads: int | None,
    report: Path | None,
    quiet: bool,
) -> int:
    """Restore every INPUT, a photograph or a folder of them, into the folder OUTPUT.

    Folders are walked and their structure is kept; each file keeps its format, depth, profile and metadata.

    Exit codes: 0 all restored, 1 some files failed, 2 could not start, 130 interrupted.
    """
    # Imported here, so that --help does not wait for the image and inference libraries.
    from nafnet.runtime.discovery import find_jobs, prepare_output
    from nafnet.runtime.pipeline import Pipeline
    from nafnet.runtime.progress import RunProgress
    from nafnet.runtime.report import totals, write_report
    from nafnet.runtime.restorer import Restorer

    if report:
        _check_report(report, output)
    jobs = find_jobs(inputs, output)
    with Restorer.load(model, backend=backend, tile=tile, overlap=overlap, batch=batch, threads=threads) as restorer:
        prepare_output(jobs)
        if not quiet:
            click.echo(_opening(restorer, len(jobs)))
        started = time.perf_counter()
        with RunProgress(jobs, quiet=quiet) as bar:
            pipeline = Pipeline(restorer, jobs, on_pixels=bar.advance, on_done=bar.done)
            try:
                rows = pipeline.run()
            finally:
                seconds = time.perf_counter() - started
                if report:
                    write_report(report, pipeline.reports, _settings(restorer), seconds)
    if not quiet:
        click.echo(_summary(totals(rows, seconds), output))
    return 1 if any(row.status == "failed" for row in rows) else 0


def _check_report(path: Path, output: Path) -> None:
    """Whether it can be written is to be known before the work, not after it."""
    folder = path.absolute().parent
    if folder == output.absolute() and not folder.exists():
        return  # it will be made
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"--report {path}: cannot be written ({error.strerror or error}); choose another") from error


def _settings(restorer: Restorer) -> dict[str, Any]:
    """What the report says of how the files were restored."""
    return {
        "model": str(restorer.backend.model.path),
        "spec": json.loads(restorer.spec.to_json()),
        "backend": restorer.backend.description,
        "tile": restorer.tile,
        "overlap": restorer.overlap,
        "batch": restorer.batch,
    }


def _opening(restorer: Restorer, count: int) -> str:
    """One line on what is about to happen; an artefact that was never compared with PyTorch says so."""
    spec, path = restorer.spec, restorer.backend.model.path
    if restorer.backend.name == "torch":
        parity = "the reference itself"
    elif spec.parity:
        parity = f"{spec.precision}, {spec.parity.psnr:.0f} dB from PyTorch"
    else:
        parity = f"{spec.precision}, not verified against PyTorch"
    tiles = f"tiles of {restorer.tile}, overlap {restorer.overlap}"
    return f"{count} files, {path.name} ({spec.task}, {parity}) on {restorer.backend.description}, {tiles}"


def _summary(sums: dict[str, Any], output: Path) -> str:
    failed = f", {sums['failed']} failed" if sums["failed"] else ""
    return (
        f"{sums['restored']} restored{failed} in {sums['seconds']['wall']:.1f} s: "
        f"{sums['megapixels']:.2f} MP, {sums['megapixels_per_second']:.2f} MP/s -> {output}"
    )
