"""nafnet-bench: rows, their order, what is refused a speed, and the files it writes."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch.utils.flop_counter import FlopCounterMode

from nafnet.architecture import NAFNet
from nafnet.benchmarks.cli import main
from nafnet.benchmarks.measure.case import Opened, Shape, check, inputs, run_case
from nafnet.benchmarks.measure.cold_start import cold_start
from nafnet.benchmarks.measure.roofline import Rates, count, floor
from nafnet.benchmarks.measure.scores import accuracy, restore_all
from nafnet.benchmarks.pictures import Picture, Pictures
from nafnet.benchmarks.report.tables import speed_sheet
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.exports import Exports
from nafnet.errors import BackendError
from nafnet.export.network.graph import to_onnx
from tests.processes import in_this_process

from .conftest import shown_times


@pytest.fixture(scope="module")
def result(benched: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((benched / "result.json").read_text(encoding="utf-8"))
    return loaded


def test_every_backend_is_compared(result: dict[str, Any]) -> None:
    (model,) = result["models"]
    assert [(case["batch"], case["tile"]) for case in model["cases"]] == [(1, 64), (1, 96)]
    for case in model["cases"]:
        names = [row["name"] for row in case["rows"]]
        assert names[:2] == ["torch eager", "torch channels-last"]
        exports = ("naive", "naive, fixed", "ours")
        assert set(names[2:]) == {f"{b} {e}" for b in ("openvino", "onnxruntime") for e in exports}
        for row in case["rows"]:
            assert row["refused"] is None
            assert row["speed"]["minimum"] <= row["speed"]["median"] <= row["speed"]["p90"] <= row["speed"]["p99"]
            assert row["megapixels_per_second"] == pytest.approx(case["tile"] ** 2 / 1e6 / row["speed"]["minimum"])
        assert all(row["parity"]["psnr"] > 90 for row in case["rows"][1:])
        lengths = {len(row["speed"]["seconds"]) for row in case["rows"]} | {
            len(stick["seconds"]) for stick in case["yardsticks"].values()
        }
        assert len(lengths) == 1, "not all took part in every round"
    free = {name for name in names if not name.endswith("fixed")}
    assert {start["name"] for start in model["starts"]} == {row["name"] for row in model["accuracy"]["rows"]} == free
    assert {row["name"] for row in model["paths"]["rows"]} == set(names)
    by_name = {start["name"]: start for start in model["starts"]}
    assert by_name["onnxruntime ours"]["host_mb"] < by_name["torch eager"]["host_mb"]
    assert result["machine"]["versions"]["torch"]


def test_what_is_printed_and_the_markdown_are_of_the_json(benched: Path, result: dict[str, Any]) -> None:
    printed, markdown = ((benched / name).read_text(encoding="utf-8") for name in ("out.txt", "result.md"))
    assert printed.index("Parity with PyTorch") < printed.index("matrix product")
    for case in result["models"][0]["cases"]:
        for row in case["rows"]:
            wanted = [
                row["name"],
                *shown_times(row),
                f"{row['megapixels_per_second']:.3f}",
                f"{row['times_reference']:.2f}",
            ]
            for text in (printed, markdown):
                assert any(all(word in line for word in wanted) for line in text.splitlines()), wanted


def test_a_backend_with_one_wrong_pixel_is_refused_a_speed(candidates: list[Candidate]) -> None:
    opened = [Opened(candidate=each, backend=each.open(1)) for each in candidates]
    spoilt = opened[-1].backend
    assert spoilt is not None
    right = type(spoilt)._run

    def wrong(self: Any, batch: np.ndarray) -> np.ndarray:
        restored = right(self, batch).copy()
        restored[0, 1, 40, 7] += 2e-4  # five hundredths of a step of 8 bits
        return restored

    spoilt._run = wrong.__get__(spoilt)  # type: ignore[method-assign]
    shape = Shape(batch=1, channels=3, tile=64)
    work = count(candidates[1].model.path, shape.sizes)
    case = run_case(opened, shape, work, seconds=0, device="cpu")
    refused = {row["name"]: row["refused"] for row in case["rows"] if "speed" not in row}
    assert set(refused) == {candidates[-1].name}
    assert "not equal to PyTorch" in str(refused[candidates[-1].name])
    assert all("speed" in row for row in case["rows"][:-1])


def test_a_backend_that_fails_is_refused_with_its_words(candidates: list[Candidate]) -> None:
    opened = [Opened(candidate=each, backend=each.open(1)) for each in candidates]
    broken = opened[-1].backend
    assert broken is not None

    def fail(_: np.ndarray) -> np.ndarray:
        raise BackendError("no such kernel")

    broken._run = fail  # type: ignore[method-assign]
    shape = Shape(batch=1, channels=3, tile=64)
    assert check(opened, shape, inputs(shape))[-1]["refused"] == "no such kernel"


def test_a_candidate_starts_in_a_process_of_its_own(candidates: list[Candidate]) -> None:
    start = cold_start(candidates[-1].to_dict(), 1, (1, 3, 32, 32))
    assert 0 < start.loading + start.first_tile < start.total
    assert 20 < start.host_mb < 2000
    broken = {**candidates[-1].to_dict(), "target": "nafnet.runtime.backends.onnxruntime_cpu:Absent"}
    with pytest.raises(BackendError, match="Absent"):
        cold_start(broken, 1, (1, 3, 32, 32))


def test_the_work_is_what_pytorch_counts(tiny_network: NAFNet, tmp_path: Path) -> None:
    onnx.save(to_onnx(tiny_network, 3, 4), tmp_path / "network.onnx")
    work = count(tmp_path / "network.onnx", (2, 3, 64, 48))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        tiny_network(torch.zeros(2, 3, 64, 48))
    assert work.flops == counter.get_total_flops()
    assert work.bytes > sum(layer.bytes for layer in work.layers) > 0
    rates = Rates(flops={"fp32": 1e9}, bytes=1e30)
    assert floor(work, rates, "fp32") == pytest.approx(work.flops / 1e9)
    rates = Rates(flops={"fp32": 1e30}, bytes=1e9)
    assert floor(work, rates, "fp32") == pytest.approx(sum(layer.bytes for layer in work.layers) / 1e9)


def test_accuracy_is_what_scikit_image_says(candidates: list[Candidate]) -> None:
    generator = np.random.default_rng(0)
    clean = generator.random((3, 48, 64), np.float32)
    noisy = np.clip(clean + generator.normal(0, 0.1, clean.shape), 0, 1).astype(np.float32)
    pictures = Pictures(description="", pictures=[Picture(name="a", degraded=noisy, clean=clean)])
    reference, other = candidates[0].open(1), candidates[-1].open(1)
    restored = restore_all([("reference", reference), ("other", other)], pictures, 32, 8)
    found = accuracy(restored, reference, tile=32, overlap=8, grids=[(32, 0), (64, 8)])
    image, expected = restored.images["other"][0], restored.images["reference"][0]
    row = found["rows"][1]
    assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(expected, image, data_range=1.0), abs=0.01)
    assert row["max_abs"] == np.abs(image - expected).max()
    truth, clipped = clean.transpose(1, 2, 0), np.clip(image, 0, 1)
    assert row["truth_psnr"] == pytest.approx(peak_signal_noise_ratio(truth, clipped, data_range=1.0), abs=1e-4)
    ssim = structural_similarity(
        truth, clipped, data_range=1.0, channel_axis=2, gaussian_weights=True, use_sample_covariance=False
    )
    assert row["truth_ssim"] == pytest.approx(ssim, abs=2e-3)
    assert row["lost"] == pytest.approx(found["rows"][0]["truth_psnr"] - row["truth_psnr"])
    (tiled,) = found["tiling"]  # one tile that covers the picture is no tiling
    assert (tiled["tile"], tiled["overlap"]) == (32, 0)
    assert tiled["psnr"] < 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tile", "65"], "multiple of 2"),
        (["--tile", "64,x"], "whole numbers"),
        (["--backend", "caffe"], "no such backend; expected torch-eager, torch, torch-compile, tensorrt"),
        (["--truth", "."], "--images, which was not given"),
        (["--images", "nowhere"], "not a folder"),
        (["--json", "no/where.json"], "cannot be written"),
        (["--seconds", "nan"], "expected seconds"),
        (["--seconds", "inf"], "not in the range"),
        (["--baseline", "none.json"], "cannot be read"),
        (["--model", "other.onnx"], "no such file"),
    ],
)
def test_wrong_options_are_refused_in_a_line(words: list[str], message: str, small: Path, tmp_path: Path) -> None:
    done = in_this_process(main, "nafnet-bench", "--model", small, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


ROW, FIGURES = 0.4, {"copy": 0.006, "multiply": 0.2}
"""Seconds that each call is said to take: of a row, and of the yardsticks by the names of their functions."""


def baseline_of(benched: Path, other: dict[str, float]) -> dict[str, Any]:
    """A result of 20 rounds with the same figures, but for `other` ones by the name of the row or yardstick."""
    old: dict[str, Any] = json.loads((benched / "result.json").read_text(encoding="utf-8"))
    case = old["models"][0]["cases"][0]
    speeds = {**case["yardsticks"], **{row["name"]: row["speed"] for row in case["rows"]}}
    for name, speed in speeds.items():
        usual = {"copy": FIGURES["copy"], "matrix product fp32": FIGURES["multiply"]}.get(name, ROW)
        speed["seconds"] = [other.get(name, usual)] * 20
    old["settings"]["malloc"] = "default"
    return old


@pytest.mark.parametrize(
    ("other", "code", "said"),
    [({}, 0, "Against the baseline"), ({"onnxruntime ours": 0.3}, 3, "slower"), ({"copy": 0.012}, 4, "undecided")],
    ids=["as fast", "a row was faster", "a machine in another state"],
)
def test_the_exit_code_follows_from_the_figures(
    other: dict[str, float], code: int, said: str, small: Path, benched: Path, exports: Exports, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The baseline's against those of the clock, which are given: the work itself takes whatever it takes."""

    def told(function: Any) -> float:
        function()
        return FIGURES.get(getattr(function, "__name__", "a row"), ROW)

    monkeypatch.setattr("nafnet.benchmarks.timing.timed", told)
    (tmp_path / "old.json").write_text(json.dumps(baseline_of(benched, other)), encoding="utf-8")
    artefact = tmp_path / "mine.onnx"
    shutil.copy(exports.ours("fp32").path, artefact)
    words = ["--model", small, "--model", artefact, "--backend", "onnxruntime", "--tile", "64", "--seconds", "0"]
    words += ["--threads", "1"]
    places = ["--images", benched / "images", "--baseline", tmp_path / "old.json", "--malloc", "default", "--no-cold"]
    done = CliRunner().invoke(main, [str(word) for word in (*words, *places)])
    assert done.exit_code == code, done.output
    assert said in done.stdout
    assert "onnxruntime mine.onnx" in done.stdout, "an export is a row"


def test_a_row_that_is_refused_stays_in_its_table(result: dict[str, Any]) -> None:
    case = copy.deepcopy(result["models"][0]["cases"][0])
    del case["rows"][2]["speed"]
    case["rows"][2]["refused"] = "not equal\nto | PyTorch <b>"
    shown = speed_sheet(case).to_markdown()
    assert f"| {case['rows'][2]['name']} | refused: not equal to \\| PyTorch &lt;b> |" in shown
    assert f"{len(case['rows'][0]['speed']['seconds'])} rounds" in shown
    assert {line.count(" | ") for line in shown.splitlines() if line.startswith("| ")} == {
        len(speed_sheet(case).columns) - 1
    }


def test_a_picture_restored_to_the_bit_has_a_finite_psnr(candidates: list[Candidate]) -> None:
    """Infinity is no JSON: it would end the bench when all is measured."""
    backend = candidates[0].open(1)
    given = np.random.default_rng(0).random((3, 32, 32), np.float32)
    pictures = Pictures(description="", pictures=[Picture(name="a", degraded=given, clean=None)])
    restored = restore_all([("reference", backend)], pictures, 32, 8).images["reference"]
    clean = np.clip(restored[0], 0, 1).transpose(2, 0, 1)
    pictures = Pictures(description="", pictures=[Picture(name="a", degraded=given, clean=clean)])
    found = accuracy(
        restore_all([("reference", backend)], pictures, 32, 8), backend, tile=32, overlap=8, grids=[(32, 8)]
    )
    json.dumps(found, allow_nan=False)
    assert found["rows"][0]["truth_psnr"] > 100


def test_a_result_that_is_not_finite_is_the_backends_own(
    candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restoration would run the tile once more elsewhere, and its accuracy would be that of elsewhere."""
    pictures = Pictures(
        description="", pictures=[Picture(name="a", degraded=np.zeros((3, 48, 48), np.float32), clean=None)]
    )
    backends = [(name, candidates[-1].open(1)) for name in ("reference", "far", "broken")]
    monkeypatch.setattr(backends[1][1], "_run", lambda batch: batch + 7)
    monkeypatch.setattr(backends[2][1], "_run", lambda batch: batch * np.nan)
    restored = restore_all(backends, pictures, 32, 8)
    assert float(restored.images["far"][0].min()) == pytest.approx(7)
    assert restored.failed == {"broken": "what it makes of 'a' is not finite"}
    with pytest.raises(BackendError, match="not finite"):
        restore_all(backends[2:], pictures, 32, 8)
