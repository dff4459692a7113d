"""The options of `nafnet-run`, each as a user would give it."""

from __future__ import annotations

import io
import json
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import ImageError, UsageError
from nafnet.runtime import Restorer, restore_file
from nafnet.runtime.folder.ray_run import share_of
from tests.platforms import posix_alone, with_slashes
from tests.runtime.conftest import PROGRAM, find_jobs, nafnet_run


def test_patterns_that_no_shell_expanded(here: Path, identity_onnx: Path) -> None:
    done = nafnet_run(here, "--model", identity_onnx, "photos/**/*.tif", "photos/?.png", "out")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (here / "out").iterdir()} == {"below", "a.png", ".nafnet-run"}
    assert (here / "out" / "below" / "c.tif").exists(), "folders that a pattern stands for are kept"
    with pytest.raises(UsageError, match="nothing matches"):
        find_jobs([here / "*.gif"], here / "out")


@pytest.mark.parametrize("end", [b"\n", b"\0"])
def test_list_on_standard_input(end: bytes, here: Path, identity_onnx: Path) -> None:
    named = end.join([b"photos/a.png", b"photos/below/c.tif", b""])
    done = nafnet_run(here, "--model", identity_onnx, "--files-from", "-", "out", given=named)
    assert done.returncode == 0, done.stderr
    assert (here / "out" / "photos" / "a.png").exists()
    assert (here / "out" / "photos" / "below" / "c.tif").exists()


def test_listed_files_stay_inside_the_output(here: Path) -> None:
    (job,) = find_jobs([], here / "out", listed=[Path("../photos/a.png")])
    assert job.target == here / "out" / "a.png"
    done = nafnet_run(here, "--files-from", "-", "out", given=b"\n")
    assert (done.returncode, b"names no file" in done.stderr) == (2, True)


def test_one_picture_to_standard_output(here: Path, identity_onnx: Path, photograph: NDArray[np.uint8]) -> None:
    done = nafnet_run(here, "--model", identity_onnx, "photos/a.png", "-")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(done.stdout))), photograph)
    done = nafnet_run(here, "--model", identity_onnx, "--format", "webp", "photos/a.png", "-")
    assert Image.open(io.BytesIO(done.stdout)).format == "WEBP"
    done = nafnet_run(here, "photos", "-")
    assert (done.returncode, done.stdout) == (2, b"")


def test_format_and_depth_of_the_results(here: Path, identity_onnx: Path, photograph: NDArray[np.uint8]) -> None:
    done = nafnet_run(here, "--model", identity_onnx, "--format", "tiff", "--depth", "16", "photos", "out")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(tifffile.imread(here / "out" / "a.tif"), photograph.astype(np.uint16) * 257)
    done = nafnet_run(here, "--model", identity_onnx, "--format", "jpeg", "--quality", "70", "photos", "jpegs")
    assert done.returncode == 0, done.stderr
    with Image.open(here / "jpegs" / "below" / "c.jpg") as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - photograph).mean() < 6
    size = (here / "jpegs" / "b.jpg").stat().st_size
    assert size < (here / "photos" / "b.jpg").stat().st_size


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--format", "jpeg", "--depth", "16"), "jpeg cannot hold 16 bits"),
        (("--format", "png", "--quality", "80"), "png has no quality"),
    ],
)
def test_what_a_format_cannot_do_is_said_for_each_file(
    options: tuple[str, ...], reason: str, here: Path, identity_onnx: Path
) -> None:
    done = nafnet_run(here, "--model", identity_onnx, "--quiet", *options, "photos", "out")
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 3
    assert all(reason in line and "photos" in line for line in lines), lines


def test_names_that_a_format_makes_equal_are_refused(here: Path, photograph: NDArray[np.uint8]) -> None:
    Image.fromarray(photograph).save(here / "photos" / "a.bmp")
    with pytest.raises(UsageError, match=r"would both be written to .*a\.webp"):
        find_jobs([here / "photos"], here / "out", file_format="webp")


def test_alpha_that_a_format_cannot_hold_is_refused(here: Path, identity_onnx: Path) -> None:
    Image.new("RGBA", (20, 20)).save(here / "photos" / "clear.png")
    done = nafnet_run(here, "--model", identity_onnx, "--quiet", "--format", "jpeg", "photos", "out")
    assert done.returncode == 1
    assert b"clear.png: jpeg cannot hold its alpha channel" in done.stderr


@pytest.mark.parametrize("option", ["--verbose", "--dry-run"])
def test_standard_output_is_for_the_picture_alone(option: str, here: Path, identity_onnx: Path) -> None:
    done = nafnet_run(here, "--model", identity_onnx, option, "photos/a.png", "-")
    assert done.returncode == 0, done.stderr
    if option == "--dry-run":
        assert done.stdout == b""
    else:
        assert np.asarray(Image.open(io.BytesIO(done.stdout))).shape == (120, 180, 3)
    assert b"a.png" in done.stderr


def test_a_kind_of_picture_that_is_not_written_is_no_folder(here: Path) -> None:
    with pytest.raises(UsageError, match=r"y\.gif: \.gif is not written"):
        find_jobs([here / "photos" / "a.png"], here / "y.gif")


@posix_alone
def test_a_run_without_standard_error(here: Path, identity_onnx: Path) -> None:
    """As services have none."""
    words = f'exec "{PROGRAM}" --model "{identity_onnx}" photos out 2>&-'
    done = subprocess.run(["sh", "-c", words], cwd=here, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0
    assert b"3 restored" in done.stdout


def test_dry_run_says_what_would_be_done(here: Path) -> None:
    (here / "photos" / "text.png").write_text("hello", encoding="utf-8")
    done = nafnet_run(here, "--dry-run", "photos", "out")
    assert done.returncode == 1
    assert b"text.png" in done.stderr
    lines = with_slashes(done.stdout).decode().splitlines()
    assert len(lines) == 4
    assert "a.png -> out/a.png: 180x120 png uint8 -> png uint8, 1 tile of 192x128" in lines[0]
    assert lines[-1].startswith("3 files, 0.1 MP, 3 tiles, about ")
    assert "1 would fail" in lines[-1]
    assert not (here / "out").exists()


def test_tuning_is_measured_once(here: Path) -> None:
    first = nafnet_run(here, "--tune", "--batch", "1", "photos", "out")
    assert first.returncode == 0, first.stderr
    assert b"tuned: tiles of " in first.stderr
    (remembered,) = (here / "cache" / "tune").iterdir()
    written = remembered.stat().st_mtime_ns
    best = json.loads(remembered.read_text(encoding="utf-8"))
    assert best["tile"] <= 1.5 * 192, "the bundled model was trained on patches of 192 towards its end"
    second = nafnet_run(here, "--tune", "--batch", "1", "photos", "again")
    assert f"tiles of {best['tile']}" in second.stdout.decode()
    assert remembered.stat().st_mtime_ns == written


def test_whole_image_has_one_tile(here: Path) -> None:
    Image.new("RGB", (500, 400), "grey").save(here / "photos" / "large.png")
    done = nafnet_run(here, "--whole", "--report", "report.json", "photos/large.png", "photos/a.png", "out")
    assert done.returncode == 0, done.stderr
    rows = json.loads((here / "report.json").read_text(encoding="utf-8"))["files"]
    assert [row["tiles"] for row in rows] == [1, 1]


def test_backends_are_listed(here: Path) -> None:
    done = nafnet_run(here, "--list-backends")
    assert done.returncode == 0
    listed = dict(line.split(maxsplit=1) for line in done.stdout.decode().splitlines())
    assert listed["onnxruntime"].endswith("ready")
    assert {"tensorrt", "tensorrt-rtx", "onnxruntime-cuda", "torch-cuda", "openvino-gpu", "openvino-bf16"} <= set(
        listed
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--device", "tpu"), "--device tpu"),
        (("--device", "cuda:0,cpu"), "several of a kind"),
        (("--device", "cuda", "--backend", "openvino"), "runs on cpu"),
        (("--max-pixels", "0"), "--max-pixels"),
        (("--shard", "3/2"), "--shard 3/2"),
        (("--model", "absent.plan"), "absent.plan"),
        (("--model", "absent.plan", "--backend", "openvino"), "does not run plans"),
    ],
)
def test_options_that_cannot_be_met(options: tuple[str, ...], reason: str, here: Path) -> None:
    done = nafnet_run(here, *options, "photos", "out")
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr.decode()
    assert not (here / "out").exists()


def test_pixels_are_limited_by_the_header(here: Path, identity_onnx: Path) -> None:
    done = nafnet_run(here, "--model", identity_onnx, "--max-pixels", "20000", "--quiet", "photos", "out")
    assert done.returncode == 1
    assert done.stderr.count(b"180x120 pixels; at most 0.02 megapixels") == 3


def test_one_restorer_for_many_threads(here: Path, identity_onnx: Path) -> None:
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 255, (40 + index, 70, 3), np.uint8) for index in range(8)]
    with Restorer.load(identity_onnx) as restorer:
        results: dict[int, NDArray[np.uint8]] = {}

        def work(index: int) -> None:
            results[index] = restorer.restore(pictures[index])

        threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        many = list(restorer.restore_many(pictures))
        row = restore_file(restorer, here / "photos" / "a.png", here / "a.webp")
        with pytest.raises(ImageError, match="absent"):
            restore_file(restorer, here / "absent.png", here / "b.png")
    assert all(np.array_equal(results[index], picture) for index, picture in enumerate(pictures))
    assert all(np.array_equal(one, picture) for one, picture in zip(many, pictures, strict=True))
    assert (row.status, Image.open(here / "a.webp").format) == ("restored", "WEBP")


def test_ray_gives_each_worker_a_gpu_where_there_are_some() -> None:
    def of(resources: dict[str, float], **given: object) -> tuple[int, int, int | None]:
        share = share_of(resources, {"backend": "auto", "device": None, "threads": None, **given})
        return share.actors, share.cpus, share.gpus

    assert of({"CPU": 20.0}) == (2, 8, None)
    assert of({"CPU": 20.0}, threads=4) == (5, 4, None)
    assert of({"CPU": 20.0, "GPU": 4.0}) == (4, 5, 1)
    assert of({"CPU": 20.0, "GPU": 4.0}, backend="tensorrt", device="cuda") == (4, 5, 1)
    assert (
        of({"CPU": 20.0, "GPU": 4.0}, device="cpu") == of({"CPU": 20.0, "GPU": 4.0}, backend="openvino") == (2, 8, None)
    )
    assert of({"CPU": 1.0, "GPU": 2.0}) == (2, 1, 1)
    with pytest.raises(UsageError, match="a GPU of its own"):
        of({"CPU": 20.0, "GPU": 4.0}, device="cuda:1")
