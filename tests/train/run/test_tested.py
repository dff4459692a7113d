"""`nafnet-train test`: which pictures, by which rules, what it gives, and when the authors' figure stands beside it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nafnet.architecture import NAFNet
from nafnet.checkpoint import load_checkpoint, save_checkpoint
from nafnet.metrics import PROTOCOLS
from nafnet.spec import Architecture, ModelSpec
from nafnet.train.run import published
from nafnet.train.run.published import PUBLISHED
from tests.processes import Ended
from tests.train.conftest import Train, rows, trained_here
from tests.train.make_data import arrays, blocks, gopro, noise

SMALL = Architecture(width=4, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,))


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GoPro as it is handed out: three sequences for training, three for the test, of two and four pictures each."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    gopro(tmp_path / "gopro", noise(40, 56), 18)
    return tmp_path / "gopro"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A checkpoint of a small network with random weights, which says nothing but its architecture."""
    torch.manual_seed(0)
    network = NAFNet(SMALL)
    for name, parameter in network.named_parameters():
        if name.endswith(("beta", "gamma")):
            torch.nn.init.normal_(parameter, std=0.1)
    torch.save({"params": network.state_dict()}, tmp_path / "small.pth")
    return tmp_path / "small.pth"


def printed(*words: str | Path) -> Ended:
    ended = trained_here("test", *words, "--device", "cpu", "--threads", "1")
    assert ended.returncode == 0, ended.stderr
    return ended


def refused(*words: str | Path) -> str:
    ended = trained_here("test", *words, "--device", "cpu")
    assert ended.returncode == 2, ended.stdout
    assert len(ended.stderr.splitlines()) == 1
    return ended.stderr


def test_a_checkpoint_is_tested_on_the_whole_test_part_by_protocol(clips: Path, weights: Path, tmp_path: Path) -> None:
    ended = printed(weights, "--data", clips, "--set", "evaluation.protocol=gopro", "--csv", tmp_path / "scores.csv")
    assert "gopro, test: 6 pictures, by the defaults: protocol gopro, global pooling" in ended.stdout
    network = load_checkpoint(weights).build()
    scored = rows(tmp_path / "scores.csv")
    assert len(scored) == 6
    for row in scored:
        home, number = row["picture"].split("/")
        degraded, clean = (
            np.asarray(Image.open(clips / "test" / home / side / f"{number}.png")) / np.float32(255)
            for side in ("blur", "sharp")
        )
        with torch.inference_mode():
            restored = network(torch.from_numpy(degraded).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        expected = PROTOCOLS["gopro"](restored, clean)
        assert (float(row["psnr"]), float(row["ssim"])) == pytest.approx(expected, rel=1e-4)
    means = [np.mean([float(row[column]) for row in scored]) for column in ("psnr", "ssim")]
    assert f"{means[0]:.2f}" in ended.stdout
    assert f"{means[1]:.4f}" in ended.stdout


def test_the_authors_figure_stands_beside_it_where_the_set_is_whole(
    clips: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = next(each for each in PUBLISHED if "gopro" in each.layouts and each.architecture.width == 32)
    small = dataclasses.replace(theirs, architecture=SMALL, pictures=6, what="6 pictures")
    monkeypatch.setattr(published, "PUBLISHED", (small,))
    rules = ["--set", "evaluation.protocol=gopro", "--set"]
    ended = printed(weights, "--data", clips, *rules, "evaluation.local_pooling=true")
    assert any("the authors' network" in line and "32.87" in line for line in ended.stdout.splitlines())
    assert "not comparable" not in ended.stdout
    ended = printed(weights, "--data", clips, *rules, "evaluation.local_pooling=false")
    assert "not comparable with the 32.87 dB / 0.9606 of the authors' network: with local pooling" in ended.stdout
    ended = printed(weights, "--data", clips, *rules, "evaluation.local_pooling=true", "--set", "evaluation.tile=32")
    assert "of whole pictures, not of tiles" in ended.stdout
    monkeypatch.setattr(published, "PUBLISHED", (theirs, dataclasses.replace(theirs, architecture=SMALL)))
    ended = printed(weights, "--data", clips, *rules, "evaluation.local_pooling=true")
    assert "it is of GoPro's 1,111 test pictures, not of 6" in ended.stdout
    assert "the authors' network │" not in ended.stdout


def test_a_run_is_tested_on_what_it_held_out(train: Train, pairs: Path) -> None:
    _, run, _ = train("loop.steps=4", "evaluation.local_pooling=true")
    sides = ("--input", pairs / "input", "--target", pairs / "target")
    ended = printed(run, *sides)
    assert "two folders, test: 2 pictures, as its run was evaluated: protocol plain, local pooling" in ended.stdout
    by_name = {row["picture"]: row for row in rows(run / "test.csv")}
    parts = json.loads((run / "run.json").read_text(encoding="utf-8"))["data"]["parts"]
    assert sorted(by_name) == parts["test"]["names"]
    same = printed(run / "last.safetensors", *sides, "--set", "evaluation.protocol=sidd")
    assert "test: 2 pictures, as its run was evaluated: protocol sidd" in same.stdout, "a run's checkpoint is the run's"
    assert "no whole test part" in refused(run, *sides, "--whole")


def test_half_of_the_makers_test_is_held_out_and_the_whole_is_another_matter(
    recipe: Path, clips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = trained_here(recipe, "--data", clips, "-o", run, "--steps", "2", "--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    held_out = printed(run, "--data", clips).stdout
    count = len(rows(run / "test.csv"))
    assert f"gopro, test: {count} pictures" in held_out
    assert 0 < count < 6
    whole = printed(run, "--data", clips, "--whole").stdout
    assert "gopro, test: 6 pictures" in whole
    assert f"by {6 - count} of these 6 pictures the weights were chosen" in whole


def test_other_data_than_the_runs_is_taken_whole(train: Train, clips: Path) -> None:
    _, run, _ = train("loop.steps=2")
    ended = printed(run, "--data", clips)
    assert "gopro, test: 6 pictures" in ended.stdout
    assert "other data than the run's" in ended.stdout


def test_blocks_and_arrays_are_tested_as_they_are(tmp_path: Path, weights: Path) -> None:
    blocks(tmp_path, noise(16, 16), 32)
    ended = printed(weights, "--data", tmp_path)
    assert "sidd-validation, validation: 32 pictures" in ended.stdout
    arrays(tmp_path / "more", noise(16, 16), 4)
    ended = printed(weights, "--data", tmp_path / "more")
    assert "sidd-arrays, all: 4 pictures" in ended.stdout
    assert "whatever these weights were trained on" in ended.stdout


def test_the_recipe_of_the_data_set_and_the_network_says_how(clips: Path, tmp_path: Path) -> None:
    """The authors' GoPro network is evaluated as they do; one that says that it pools globally is, too."""
    network = NAFNet(PUBLISHED[2].architecture)
    torch.save({"params": network.state_dict()}, tmp_path / "theirs.pth")
    ended = printed(tmp_path / "theirs.pth", "--data", clips)
    assert "6 pictures, as upstream/gopro-width32 evaluates: protocol gopro, local pooling" in ended.stdout
    spec = ModelSpec(architecture=network.architecture, multiple=16)
    save_checkpoint(tmp_path / "ours.safetensors", dict(network.state_dict()), spec)
    ended = printed(tmp_path / "ours.safetensors", "--data", clips)
    assert "protocol gopro, global pooling" in ended.stdout


def test_what_cannot_be_tested_is_one_line(clips: Path, weights: Path, tmp_path: Path, train: Train) -> None:
    assert "give --data FOLDER" in refused(weights)
    assert "no such file" in refused(tmp_path / "nothing.pth", "--data", clips)
    assert "no run of nafnet-train" in refused(tmp_path, "--data", clips)
    damaged = clips / "test" / "GOPR0000_11_00" / "blur" / "000002.png"
    damaged.write_bytes(b"no picture")
    assert "leave them out with --skip-bad" in refused(weights, "--data", clips)
    assert "left out: " in printed(weights, "--data", clips, "--skip-bad").stdout
    _, run, _ = train("loop.steps=1")
    (run / "best.safetensors").unlink()
    assert "has no best.safetensors yet" in refused(run, "--data", clips)


def test_the_table_is_all_that_a_quiet_test_prints(clips: Path, weights: Path) -> None:
    lines = printed(weights, "--data", clips, "--quiet").stdout.splitlines()
    assert len(lines) == 5
    assert "small.pth" in lines[3]
