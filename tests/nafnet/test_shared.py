"""Metrics against scikit-image, the spec's JSON, and files that are whole or not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nafnet.errors import SpecError
from nafnet.files import file_sha256, whole_file, write_whole
from nafnet.parity import Parity
from nafnet.spec import Architecture, ModelSpec


def test_spec_comes_back_from_json() -> None:
    spec = ModelSpec(
        architecture=Architecture(width=16, encoder_blocks=(1, 2), middle_blocks=3, decoder_blocks=(2, 1)),
        task="deblur",
        multiple=4,
        norm="fused",
        parity=Parity(psnr=120.5, max_abs=1e-6, cases=7, passed=True),
    )
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert "\n" not in spec.to_json()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "object"),
        ('{"format_version": 99}', "99"),
        ('{"format_version": 1, "tile": "large"}', "tile"),
        ('{"format_version": 1, "architecture": {"width": 0}}', "width"),
        ('{"format_version": 1, "architecture": {"encoder_blocks": [1]}}', "levels"),
    ],
)
def test_wrong_specs_are_refused_in_words(text: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        ModelSpec.from_json(text)


def test_what_is_assumed_says_so_until_somebody_states_it() -> None:
    spec = ModelSpec.from_json(ModelSpec(assumed=("tile", "overlap")).to_json())
    assert spec.doubt("tile") == spec.doubt("multiple", "overlap") == " (a guess: the file does not say)"
    assert spec.doubt("multiple") == ""
    stated = spec.replace(tile=spec.tile)
    assert (stated.doubt("tile"), stated.assumed) == ("", ("overlap",))
    with pytest.raises(SpecError, match="assumed names colour, expected fields of a spec"):
        ModelSpec(assumed=("colour",))


def test_spec_json_names_every_field() -> None:
    written = json.loads(ModelSpec(changed=True).to_json()).keys()
    assert written == set(ModelSpec.__dataclass_fields__) - {"changed"}, "which is found out, and never claimed"


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail() -> None:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_killed_writer_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    script = (
        "import psutil, sys; from pathlib import Path; from nafnet.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'new')\n"
        "    psutil.Process().kill()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode
    assert path.read_bytes() == b"old"
    assert {entry.suffix for entry in tmp_path.iterdir()} == {"", ".partial"}


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    write_whole(tmp_path / "ours", b"x")
    (tmp_path / "usual").write_bytes(b"x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert file_sha256(tmp_path / "ours") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
