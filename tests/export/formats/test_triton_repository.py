"""The model repository for Triton: its versions, and what it is not written over."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest

from nafnet.checkpoint import Checkpoint
from nafnet.errors import UsageError
from nafnet.export.attempts.attempt import Exported, ExportOptions
from nafnet.export.exporter import export
from nafnet.export.formats import triton_repository
from tests.export.conftest import nafnet_export
from tests.export.formats.conftest import Place, another, states


def test_the_plan_is_taken_where_there_is_one(exported: Exported, place: Place) -> None:
    config, model = place.write(exported, tensorrt=b"plan", tensorrt_rtx=b"plan of RTX")
    assert model.read_bytes() == b"plan"
    assert place.versions() == {"1": {"model.plan"}}
    assert 'platform: "tensorrt_plan"' in config.read_text(encoding="utf-8")
    assert place.notes == []


def test_the_plan_of_rtx_is_not_and_that_is_said(exported: Exported, place: Place) -> None:
    _, model = place.write(exported, tensorrt_rtx=b"plan of RTX")
    assert model.name == "model.onnx"
    (note,) = place.notes
    assert "no backend for TensorRT-RTX" in note
    assert "holds the ONNX file" in note


def test_lone_requests_go_to_an_onnx_file_of_any_batch_and_to_no_plan_of_more(
    checkpoint: Checkpoint, place: Place
) -> None:
    exported = export(checkpoint, ExportOptions(verify=False, batch=(4, 4, 8)))
    with pytest.raises(UsageError, match=r"4:4:8.*lone requests"):
        place.write(exported, tensorrt=b"plan")
    assert not place.repository.exists()
    _, model = place.write(exported)
    assert onnx.load(model).graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_the_same_model_again_touches_nothing(exported: Exported, place: Place) -> None:
    files = place.write(exported)
    before = states(place.repository)
    assert place.write(exported) == files
    assert states(place.repository) == before
    (note,) = place.notes
    assert "version 1 is this very model" in note


def test_another_model_is_the_next_version(exported: Exported, place: Place) -> None:
    _, first = place.write(exported)
    before = states(first.parent)
    for name in ("3", "07", "9.partial", ".8", "notes", "1e3", "\u0665"):
        (place.repository / name).mkdir()
    config, model = place.write(another(exported))
    assert model == place.repository / "4" / "model.onnx"
    assert onnx.load(model).doc_string == "another"
    assert states(first.parent) == before
    assert (config, place.notes) == (place.config, [])
    assert '\\"task\\": \\"another\\"' in config.read_text(encoding="utf-8"), "the spec is the new model's"


def test_a_version_is_seen_whole_and_its_configuration_last(
    exported: Exported, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write(exported)
    written: list[str] = []

    def watched(path: Path, data: bytes) -> None:
        written.append(path.name)
        seen = {name for name in place.versions() if not name.startswith(".")}
        assert seen == ({"1"} if path.name == "model.onnx" else {"1", "2"})
        write_whole(path, data)

    write_whole = triton_repository.write_whole
    monkeypatch.setattr(triton_repository, "write_whole", watched)
    place.write(another(exported))
    assert written == ["model.onnx", "config.pbtxt"]
    assert place.versions().keys() == {"1", "2"}


def test_a_full_disk_leaves_it_as_it_was(exported: Exported, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(exported)
    names = {path: path.read_bytes() for path in place.repository.rglob("*") if path.is_file()}

    def full(path: Path, _: bytes) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(triton_repository, "write_whole", full)
    with pytest.raises(OSError, match="No space"):
        place.write(another(exported))
    assert {path: path.read_bytes() for path in place.repository.rglob("*") if path.is_file()} == names
    assert place.versions().keys() == {"1"}


def test_two_exports_at_once_take_two_numbers(
    exported: Exported, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have looked for the newest version before either has made the next."""
    meeting = threading.Barrier(2, timeout=60)

    def met(path: Path, data: bytes) -> None:
        write_whole(path, data)
        if path.name == "model.onnx":
            meeting.wait()

    write_whole = triton_repository.write_whole
    monkeypatch.setattr(triton_repository, "write_whole", met)
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(place.write, each) for each in (exported, another(exported))]
        texts = {onnx.load(each.result()[1]).doc_string for each in made}
    assert place.versions() == {"1": {"model.onnx"}, "2": {"model.onnx"}}
    assert texts == {exported.model.doc_string, "another"}


def file(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"of the user")


def folder(path: Path) -> None:
    path.mkdir(parents=True)


def nowhere(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("name", "make"),
    [("", file), ("", nowhere), ("1", file), ("2", nowhere), ("config.pbtxt", folder), ("config.pbtxt", nowhere),
     ("config.pbtxt.new", folder)],
)  # fmt: skip
def test_what_is_in_the_way_is_named_before_any_work(
    name: str, make: Callable[[Path], None], exported: Exported, checkpoint_path: Path, place: Place
) -> None:
    make(place.repository / name)
    before = sorted(os.walk(place.folder))
    with pytest.raises(UsageError, match=f"{(place.repository / name)} is no f"):
        place.write(exported)
    place.repository.rename(place.folder / "small")
    done = nafnet_export(checkpoint_path, "--format", "triton", "-o", ".", cwd=place.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert " is no f" in done.stderr
    place.repository.with_name("small").rename(place.repository)
    assert sorted(os.walk(place.folder)) == before


def test_the_command_adds_a_version_for_other_weights_alone(checkpoint_path: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = nafnet_export(checkpoint_path, "--format", "triton", "-o", "models", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "triton: version 1 is this very model" in done.stdout
    assert {path.name for path in (tmp_path / "models" / "small").iterdir()} == {"1", "config.pbtxt"}
