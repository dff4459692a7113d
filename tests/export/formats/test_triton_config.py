"""The configuration in Triton's model repository: what Triton reads in it, and whose it is when there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format

from nafnet.checkpoint import Checkpoint
from nafnet.export.attempts.attempt import Exported, ExportOptions
from nafnet.export.exporter import export
from nafnet.spec import ModelSpec
from tests.export.formats.conftest import Place, another, states


@pytest.mark.parametrize("options", [{}, {"io": "uint8", "tile": 64}], ids=["dynamic", "fixed bytes"])
def test_triton_reads_it(options: dict[str, object], checkpoint: Checkpoint, place: Place) -> None:
    """By Triton's own schema, and against the graph that lies beside."""
    pb = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    exported = export(checkpoint, ExportOptions(verify=False, batch=(1, 2, 6), **options))  # type: ignore[arg-type]
    config_path, model_path = place.write(exported)
    assert (config_path, model_path) == (place.config, place.repository / "1" / "model.onnx")
    config = text_format.Parse(config_path.read_text(encoding="utf-8"), pb.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("net", "onnxruntime", 6)
    assert list(config.dynamic_batching.preferred_batch_size) == [2, 6]
    assert ModelSpec.from_json(config.parameters["nafnet.spec"].string_value) == exported.spec
    graph = onnx.load(model_path).graph
    kinds = {onnx.TensorProto.FLOAT: pb.TYPE_FP32, onnx.TensorProto.UINT8: pb.TYPE_UINT8}
    for ours, theirs in ((graph.input[0], config.input[0]), (graph.output[0], config.output[0])):
        tensor = ours.type.tensor_type
        assert (ours.name, kinds[tensor.elem_type]) == (theirs.name, theirs.data_type)
        assert [dim.dim_value or -1 for dim in tensor.shape.dim][1:] == list(theirs.dims)


def edit(config: Path) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace("2000", "500"), encoding="utf-8")


def foreign(config: Path) -> None:
    config.write_text('backend: "onnxruntime"\n', encoding="utf-8")


def link(config: Path) -> None:
    config.rename(config.parents[1] / "shared.pbtxt")
    config.symlink_to(config.parents[1] / "shared.pbtxt")


@pytest.mark.parametrize("change", [edit, foreign, link])
def test_the_users_configuration_stays(change: Callable[[Path], None], exported: Exported, place: Place) -> None:
    place.write(exported)
    change(place.config)
    before, linked = place.config.read_bytes(), place.config.is_symlink()
    config, _ = place.write(another(exported))
    assert (place.config.read_bytes(), place.config.is_symlink()) == (before, linked)
    assert config.name == "config.pbtxt.new"
    assert "another" in config.read_text(encoding="utf-8")
    (note,) = place.notes
    assert note.endswith("stays; the new one is config.pbtxt.new")
    assert place.versions().keys() == {"1", "2"}


def test_an_edit_of_this_very_configuration_is_up_to_date(exported: Exported, place: Place) -> None:
    place.write(exported)
    edit(place.config)
    before = states(place.repository)
    assert place.write(exported)[0] == place.config
    assert states(place.repository) == before


def test_a_lost_configuration_is_written_again(exported: Exported, place: Place) -> None:
    config, _ = place.write(exported)
    text = config.read_bytes()
    config.unlink()
    place.write(exported)
    assert config.read_bytes() == text
    assert place.versions().keys() == {"1"}


def test_versions_of_the_other_kind_stay_and_that_is_said(exported: Exported, place: Place) -> None:
    place.write(exported)
    place.write(exported, tensorrt=b"plan")
    assert place.versions() == {"1": {"model.onnx"}, "2": {"model.plan"}}
    assert "model.plan now; versions without one stay, but no longer load" in place.notes[0]
    place.write(exported, tensorrt=b"another plan")
    assert place.notes == []
    edit(place.config)
    place.write(exported)
    assert place.versions()["4"] == {"model.onnx"}
    assert "the new one is config.pbtxt.new; version 4 does not load before that" in place.notes[0]
