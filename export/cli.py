"""`nafnet-export`: a checkpoint in; ONNX, TensorRT plans or a Triton repository out, refused unless they match."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from nafnet.commandline import Command, exits
from nafnet.errors import MissingExtraError

NORMS = ("rms", "conv", "fused", "fused-fp32", "manual")
FORMAT_NAMES = ("onnx", "tensorrt", "tensorrt-rtx", "triton", "web")
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


class BatchRange(click.ParamType[tuple[int, int, int]]):
    """MIN:OPT:MAX, or one number for all three."""

    name = "MIN:OPT:MAX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, int]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(":")
        try:
            numbers = [int(part) for part in parts]
        except ValueError:
            self.fail(f"{value!r} is not MIN:OPT:MAX, such as 1:4:8", param, ctx)
        if len(numbers) not in (1, 3) or not 1 <= numbers[0] <= numbers[len(numbers) // 2] <= numbers[-1]:
            self.fail(f"{value!r}: expected MIN:OPT:MAX in ascending order from 1, such as 1:4:8", param, ctx)
        return numbers[0], numbers[len(numbers) // 2], numbers[-1]


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("checkpoint", required=False, type=FILE)
@click.option("-o", "--output", default=".", show_default=True, type=FOLDER, help="Folder to write to.")
@click.option("--fp16", is_flag=True, help="Write it in fp16, half precision; statistics stay in fp32.")
@click.option("--bf16", is_flag=True, help="Write it in bf16, half precision with the range of fp32.")
@click.option("--int8", is_flag=True, help="Write it with convolutions in 8 bits, calibrated on --images.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMAT_NAMES),
    help="What to write; repeat for several. tensorrt and tensorrt-rtx are engines, web is a page.  [default: onnx]",
)
@click.option("--tile", type=click.IntRange(min=1), help="Fix height and width to this.  [default: any size]")
@click.option("--batch", type=BatchRange(), help="Batch sizes that an engine takes.  [default: 1:4:8]")
@click.option("--images", type=FOLDER, help="Folder of photographs to compare on as well; the first 8 are taken.")
@click.option(
    "--truth", type=FOLDER, help="Folder of their clean versions, same names: --int8 must not lose against them."
)
@click.option(
    "--local-pooling",
    type=click.Choice(["on", "off"]),
    help="Whether attention averages over a box of 1.5 training patches (TLC).  [default: as the checkpoint says]",
)
@click.option(
    "--io",
    type=click.Choice(["float32", "float16", "uint8"]),
    default="float32",
    show_default=True,
    help="Type of input and output; uint8 is [N,H,W,C].",
)
@click.option("--norm", type=click.Choice(NORMS), help="Form of LayerNorm.  [default: the first that passes]")
@click.option("--pad", is_flag=True, help="Pad and crop inside the graph, so that it takes any height and width.")
@click.option(
    "--opset",
    type=click.IntRange(18, 24),
    help="Version of ONNX's operators, for older or newer readers.  [default: 20; 22 with --bf16]",
)
@click.option("--overwrite", is_flag=True, help="Replace an export of this name that has other weights.")
@click.option("--report", type=FILE, help="Write every comparison to this file as JSON, and the worst error as PNG.")
@click.option("--no-verify", is_flag=True, help="Do not compare with PyTorch; the file says so ever after.")
@click.option("--workspace", "workspace_mib", type=click.IntRange(min=1), help="Engine: scratch memory, in MiB.")
@click.option("--optimization-level", type=click.IntRange(0, 5), help="Engine: how long to look for fast kernels.")
@click.option("--version-compatible", is_flag=True, help="Engine: make it load in later minor versions; slower.")
@click.option("--hardware-compatible", is_flag=True, help="Engine: make it run on all GPUs from Ampere on; slower.")
@click.option(
    "--compute-capability",
    "compute_capabilities",
    multiple=True,
    help="Engine of TensorRT-RTX: GPU to build for, such as SM89; repeat for several.  [default: all]",
)
@click.option("--builder-log", "log", type=FILE, help="Engine: write what the builder says to this file.")
@click.option("--serve", is_flag=True, help="Web: serve the page to this machine's browser until Ctrl-C.")
@click.option("--port", type=click.IntRange(1, 65535), help="Web: where --serve does.  [default: 8000, or a free one]")
@click.option(
    "--onnxruntime-web",
    type=click.Path(path_type=Path, exists=True),
    help="Web: npm's package of ONNX Runtime Web, as .tgz or as a folder.  [default: fetched by npm, once]",
)
@click.option("--inspect", "inspected", type=FILE, help="Say what a checkpoint, ONNX file or plan is, and stop.")
@functools.partial(exits, interrupted="interrupted; nothing half-done was written, the next run begins again")
def main(**options: Any) -> int:
    """Export CHECKPOINT (.safetensors, .pth; the bundled denoiser by default) to the folder OUTPUT.

    Every artefact is compared with PyTorch before it is written: does it give what PyTorch gives? One that does not
    is refused with exit code 3. How good the pictures are is another question, which nafnet-bench answers.
    """
    from nafnet.steps import Display

    with Display() as display:
        display.step("loading PyTorch", 0, 0)
        try:
            from nafnet.export.command import run
            from nafnet.export.options import CommandOptions
            from nafnet.export.web.server import serve
        except ImportError as error:
            raise MissingExtraError.of(error, "export") from error
        chosen = CommandOptions(**options)
        code = run(chosen, display)
    return serve(chosen.page, chosen.port, click.echo) if chosen.serve and not chosen.inspected else code
