"""What surrounds the bench: the pictures and threads it takes, the commands it watches, the tables it writes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from nafnet.architecture import NAFNet
from nafnet.benchmarks.cli import main
from nafnet.benchmarks.pictures import load_pictures, side_for
from nafnet.benchmarks.report.sheet import Sheet
from nafnet.benchmarks.watched import watch
from nafnet.errors import UsageError
from nafnet.spec import Architecture
from nafnet.system import SYSTEM
from tests.processes import in_this_process


def test_pictures_too_small_for_ssim_are_refused_before_the_work(tmp_path: Path) -> None:
    Image.new("RGB", (8, 40)).save(tmp_path / "small.png")
    with pytest.raises(UsageError, match=r"small\.png has 8x40 pixels; expected at least 11 a side"):
        load_pictures(tmp_path, None, "denoise", 3, 256)


def test_memory_is_kept_where_it_can_be_and_refused_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedError(Exception):
        """Far enough."""

    told: list[str] = []

    def stopped(_: object, settings: dict[str, str], *__: object) -> None:
        told.append(settings["malloc"])
        raise StoppedError

    monkeypatch.setattr("nafnet.benchmarks.command.read_baseline", stopped)
    for can in (True, False):
        monkeypatch.setattr("nafnet.benchmarks.command.keep_memory", lambda can=can: can)
        for words in ([], ["--malloc", "keep"], ["--malloc", "default"]):
            done = CliRunner().invoke(main, words)
            assert isinstance(done.exception, StoppedError) or "--malloc keep: this system's C library" in done.output
    assert told == ["keep", "keep", "default", "default", "default"]


def test_a_model_that_restores_no_photographs_is_refused_before_the_work(tmp_path: Path) -> None:
    network = NAFNet(Architecture(channels=4, width=4, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,)))
    torch.save({"params": network.state_dict()}, tmp_path / "four.pth")
    done = in_this_process(main, "nafnet-bench", "--model", "four.pth", "--tile", "64", cwd=tmp_path)
    assert done.returncode == 2
    assert "takes 4 channels; photographs have 1 or 3" in done.stderr
    assert not done.stdout


def test_the_words_say_how_many_of_the_files_were_used(tmp_path: Path) -> None:
    for index in range(10):
        Image.new("RGB", (20, 12), (index, 0, 0)).save(tmp_path / f"{index}.png")
    found = load_pictures(tmp_path, None, "denoise", 3, 16)
    assert found.description == f"The middles, up to 16 pixels a side, of 8 of 10 files in {tmp_path.name}"
    assert [picture.degraded.shape for picture in found.pictures] == [(3, 12, 16)] * 8


def test_of_pictures_as_much_is_restored_as_fills_a_tile() -> None:
    """All of a photograph took minutes and gigabytes, and told no more of a backend."""
    assert [side_for(tile) for tile in (64, 256, 384, 1024)] == [256, 256, 384, 512]
    found = load_pictures(None, None, "denoise", 3, side_for(256))
    assert {picture.degraded.shape for picture in found.pictures} == {(3, 256, 256)}
    assert found.largest == 256


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_threads_are_as_many_as_the_cores_it_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert SYSTEM.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_a_command_that_says_much_is_watched_to_its_end() -> None:
    """More than a pipe holds."""
    seen = watch([sys.executable, "-c", "print('x' * 200_000)"], interval=0.05)
    assert (seen.code, len(seen.output)) == (0, 200_001)


def test_a_cell_of_any_characters_leaves_the_table_whole() -> None:
    sheet = Sheet(title="of a\n<b>", columns=("a", "b"), rows=(("x\r\n\ny", "1 | <2>"),))
    assert sheet.to_markdown() == "### of a &lt;b>\n\n| a | b |\n| --- | ---: |\n| x y | 1 \\| &lt;2> |\n"
