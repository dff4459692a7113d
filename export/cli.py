"""`nafnet-export`: a checkpoint in, an ONNX file out, refused unless it matches PyTorch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import click

from nafnet.commandline import exits
from nafnet.errors import MissingExtraError, UsageError
from nafnet.pretrained import bundled_model


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("checkpoint", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", default=".", show_default=True, type=click.Path(path_type=Path), help="Folder to write to."
)
@click.option(
    "--norm", type=click.Choice(["conv", "fused"]), default="conv", show_default=True,
    help="LayerNorm as two 1x1 convolutions (fastest on a CPU) or as one LayerNormalization.",
)  # fmt: skip
@exits
def main(checkpoint: Path | None, output: Path, norm: Literal["conv", "fused"]) -> int:
    """Export CHECKPOINT (.safetensors, .pth; the bundled denoiser by default) to DIR/NAME.onnx.

    The graph is compared with PyTorch before it is written; one that differs is refused with exit code 3.
    """
    try:
        from nafnet.export.exporter import export_onnx

        from nafnet.checkpoint import load_checkpoint
    except ImportError as error:
        raise MissingExtraError(str(error.name), "export") from error

    source = checkpoint or bundled_model(".safetensors")
    loaded = load_checkpoint(source)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{output}: cannot be made ({error.strerror or error}); choose another folder with -o"
        ) from error
    target = output / f"{source.stem}.onnx"
    click.echo(f"{source.name}: {loaded.spec.architecture}, exporting with --norm {norm}")
    started = time.perf_counter()
    spec = export_onnx(loaded, target, norm=norm)
    assert spec.parity is not None
    click.echo(
        f"parity with PyTorch over {spec.parity.cases} inputs: at least {spec.parity.psnr:.1f} dB, "
        f"largest difference {spec.parity.max_abs:.1e}: passed"
    )
    megabytes = target.stat().st_size / 1e6
    click.echo(f"{target}: {megabytes:.1f} MB, fp32, any size that is a multiple of {spec.multiple}, "
               f"in {time.perf_counter() - started:.0f} s")  # fmt: skip
    return 0
