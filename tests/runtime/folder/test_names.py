"""Names in other scripts, on every system: found, listed, told, restored under the same name, and known again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.runtime.conftest import nafnet_run

NAMES = ("Просмотр.png", "Ελλάδα ✓.png", "写真 東京.png", "صورة.png")


@pytest.fixture
def album(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    """A folder of such a name, with a picture of each."""
    folder = tmp_path / "アルバム"
    folder.mkdir()
    for name in NAMES:
        Image.fromarray(photograph[:40, :60]).save(folder / name)
    return folder


def test_names_in_four_scripts(album: Path, identity_onnx: Path) -> None:
    here, out = album.parent, album.parent / "вывод"
    (album / "плохой.png").write_bytes(b"no picture")
    words = ("--model", identity_onnx, "--report", here / "報告.json", album, out)
    done = nafnet_run(here, "--verbose", *words)
    assert done.returncode == 1, done.stderr.decode()
    assert {path.name for path in out.glob("*.png")} == set(NAMES)
    said = done.stderr.decode()
    assert "плохой.png" in said
    assert "Traceback" not in said
    assert "вывод" in done.stdout.decode()
    rows = json.loads((here / "報告.json").read_text(encoding="utf-8"))["files"]
    assert {Path(row["output"]).name for row in rows if row["status"] == "restored"} == set(NAMES)
    assert f"{len(NAMES)} done before" in nafnet_run(here, *words).stdout.decode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_names_them(encoding: str, album: Path, identity_onnx: Path) -> None:
    here = album.parent
    lines = "".join(f"{album.name}/{name}\r\n" for name in NAMES)
    done = nafnet_run(here, "--model", identity_onnx, "--files-from", "-", "out", given=lines.encode(encoding))
    assert done.returncode == 0, done.stderr.decode()
    assert {path.name for path in (here / "out").rglob("*.png")} == set(NAMES)
