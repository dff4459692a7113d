"""A backend that computes wrong is found when a model is loaded, and not used."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nafnet.onnxfile import inspect_onnx
from nafnet.runtime import Restorer
from nafnet.runtime.backends import onnxruntime_cpu, openvino_cpu, presence
from nafnet.runtime.backends.lanes import SeveralDevices
from nafnet.runtime.backends.model import Model
from nafnet.runtime.cli import main
from nafnet.runtime.engine.load_check import WrongResultError, check_backends, try_out
from tests.processes import in_this_process

from .conftest import Device, spoil

pytest.importorskip("openvino")
WRONG = "gives another result than PyTorch for model.onnx"


@pytest.fixture
def _openvino_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(openvino_cpu.OpenVinoBackend, monkeypatch)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.usefixtures("_openvino_is_wrong")
def test_auto_goes_on_to_the_next_and_says_so(darkening: Path) -> None:
    said: list[str] = []
    with Restorer.load(darkening, device="cpu", say=said.append) as restorer:
        assert restorer.backend.name == "onnxruntime"
        assert restorer.restore(np.full((20, 30, 3), 200, np.uint8)).max() == 150
    (line,) = said
    assert line.startswith("OpenVINO ")
    assert WRONG in line
    assert line.endswith("; going on with onnxruntime")
    assert restorer.reason.startswith("the fastest that runs here")
    assert WRONG in restorer.reason


@pytest.mark.usefixtures("_openvino_is_wrong")
def test_nafnet_run_says_it_or_refuses(darkening: Path, picture: Path, tmp_path: Path) -> None:
    run = functools.partial(in_this_process, main, "nafnet-run", "--model", darkening, "--device", "cpu", cwd=tmp_path)
    done = run(picture, tmp_path / "out")
    assert done.returncode == 0
    assert f"{WRONG} (" in done.stderr
    assert "going on with onnxruntime" in done.stderr
    assert "on ONNX Runtime" in done.stdout
    assert np.asarray(Image.open(tmp_path / "out" / "a.png")).max() == 150
    done = run("--backend", "openvino", picture, tmp_path / "named")
    assert (done.returncode, done.stdout) == (2, "")
    assert WRONG in done.stderr
    assert "choose another --backend" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "named").exists()


def test_where_all_are_wrong_nothing_runs(darkening: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(openvino_cpu.OpenVinoBackend, monkeypatch)
    spoil(onnxruntime_cpu.OnnxRuntimeBackend, monkeypatch)
    with pytest.raises(WrongResultError, match=f"ONNX Runtime .*{WRONG}"):
        Restorer.load(darkening, device="cpu")


@pytest.mark.parametrize("by", [np.nan, np.inf, 2e-4])
def test_no_number_and_a_little_too_much_are_wrong(by: float, darkening: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(openvino_cpu.OpenVinoBackend, monkeypatch, by)
    with pytest.raises(WrongResultError, match=WRONG):
        Restorer.load(darkening, backend="openvino")


def test_of_several_devices_the_wrong_one_is_named(darkening: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "cuda_driver", lambda: "999.1")
    model = Model(path=darkening, spec=inspect_onnx(darkening))
    with SeveralDevices([Device(model, None, f"cuda:{number}") for number in (0, 2)]) as backend:
        assert check_backends(backend.parts)
    with (
        SeveralDevices([Device(model, None, f"cuda:{number}") for number in (0, 1)]) as backend,
        pytest.raises(WrongResultError, match=f"lanes on cuda:1: {WRONG}"),
    ):
        try_out(backend, 1, 64)


def test_what_an_actor_of_ray_had_to_change_is_told_with_its_first_file(
    darkening: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    from nafnet.runtime.folder.ray_run import RestoringActor, ray_plan
    from nafnet.runtime.folder.settings import Encoding, Limits
    from nafnet.runtime.paths.job import Job
    from nafnet.runtime.paths.journal import Journal
    from nafnet.runtime.paths.outputs import Outputs
    from nafnet.runtime.paths.shard import Shard

    spoil(openvino_cpu.OpenVinoBackend, monkeypatch)
    (tmp_path / "out").mkdir()
    jobs = []
    for name in "abc":
        Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(tmp_path / f"{name}.png")
        jobs.append(Job(source=tmp_path / f"{name}.png", target=tmp_path / "out" / f"{name}.png"))
    journal = Journal(tmp_path / "out", "key", Shard())
    options = {"model": darkening, "backend": "auto", "device": "cpu"}
    outputs = Outputs(folder=tmp_path / "out")
    plan = ray_plan(
        options, Encoding(), Limits(), outputs, [tmp_path / "out"], journal, overwrite=False, checksum=False
    )
    actor = RestoringActor()
    first = actor({"index": [0, 1], "job": [pickle.dumps((plan, job)) for job in jobs[:2]]})["row"]
    second = actor({"index": [2], "job": [pickle.dumps((plan, jobs[2]))]})["row"]
    assert [row["status"] for row in (*first, *second)] == ["restored"] * 3
    (note,) = first[0]["notes"]
    assert WRONG in note
    assert note.endswith("going on with onnxruntime")
    assert [first[1]["notes"], second[0]["notes"]] == [[], []]
