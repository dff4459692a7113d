"""Training: recipes, generated images, noise, and a run that is killed and goes on."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from nafnet.train.dead_leaves import DeadLeaves, DeadLeavesConfig
from nafnet.train.loop import learning_rate, psnr_loss
from nafnet.train.noise import NoiseConfig, add_noise
from nafnet.train.recipe import LoopConfig, bundled_recipes, load_recipe
from nafnet.train.textures import power_law_field, texture_bank
from safetensors.torch import load_file

from nafnet.checkpoint import load_checkpoint
from nafnet.errors import RecipeError

TINY = DeadLeavesConfig(size=64, max_radius=60.0, textures=4)
RECIPE = """
task = "denoise"
[architecture]
width = 4
encoder_blocks = [1]
middle_blocks = 1
decoder_blocks = [1]
[data]
images = 3
held_out = 1
patch = 32
[generator]
size = 256
textures = 2
[loop]
steps = {steps}
batch = 2
checkpoint_every = 5
validate_every = {steps}
"""


def test_images_repeat_with_the_seed_and_differ_without() -> None:
    first, again = DeadLeaves(TINY, 1), DeadLeaves(TINY, 1)
    assert np.array_equal(first.image(3), again.image(3))
    assert not np.array_equal(first.image(3), first.image(4))
    assert not np.array_equal(first.image(3), DeadLeaves(TINY, 2).image(3))


def test_images_fill_the_range_and_no_more() -> None:
    generator = DeadLeaves(TINY, 0)
    pictures = np.stack([generator.image(index) for index in range(12)])
    assert pictures.shape == (12, 64, 64, 3)
    assert pictures.dtype == np.float32
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert pictures.max() > 0.9
    assert pictures.std((1, 2)).min() > 0.01, "no picture is empty"


def test_radii_follow_the_power_law() -> None:
    """The count of radii above r falls as r to 1 - exponent; a straight line in logarithms, of that slope."""
    config = DeadLeavesConfig(size=512, exponents=(3.0, 3.0), coverage=50.0)
    radii = DeadLeaves(config, 0)._radii(np.random.default_rng(0))
    at = np.array([6.0, 10.0, 20.0, 40.0])
    above = np.array([(radii > r).sum() for r in at])
    slope = np.polyfit(np.log(at), np.log(above), 1)[0]
    assert slope == pytest.approx(-2.0, abs=0.15)


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_fields_have_the_spectrum_asked_for(slope: float) -> None:
    field = power_law_field(np.random.default_rng(0), 256, slope)
    power = np.abs(np.fft.fft2(field)) ** 2
    radius = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(256) * 256, np.fft.fftfreq(256) * 256))).astype(int)
    mean = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    fitted = np.polyfit(np.log(np.arange(4, 100)), np.log(mean[4:100]), 1)[0]
    assert fitted == pytest.approx(-2 * slope, abs=0.15)


def test_textures_are_standardised() -> None:
    bank = texture_bank(np.random.default_rng(0), 12, 64).astype(np.float64)
    np.testing.assert_allclose(bank.mean((1, 2)), 0, atol=2e-3)
    np.testing.assert_allclose(bank.std((1, 2)), 1, atol=1e-2)


def test_noise_has_the_strength_asked_for() -> None:
    config = NoiseConfig(max_sigma=50, shot_share=0, chroma_share=0, clean_share=0, quantised_share=0)
    clean = torch.full((400, 3, 16, 16), 0.5)
    sigma = (add_noise(clean, config, torch.Generator().manual_seed(0)) - clean).std((1, 2, 3)) * 255
    assert sigma.min() < 3
    assert 47 < sigma.max() < 54
    assert sigma.mean() == pytest.approx(25, abs=2)


def test_shot_noise_grows_with_the_signal() -> None:
    config = NoiseConfig(max_sigma=0, shot_share=1, chroma_share=0, clean_share=0, quantised_share=0)
    clean = torch.ones(64, 3, 32, 32)
    clean[..., :16] = 0.25
    noise = add_noise(clean, config, torch.Generator().manual_seed(0)) - clean
    ratio = (noise[..., 16:].std((1, 2, 3)) / noise[..., :16].std((1, 2, 3))).median()
    assert ratio == pytest.approx(2, abs=0.1), "deviation goes with the root: sqrt(1 / 0.25)"


def test_quantised_noise_is_what_a_file_holds() -> None:
    config = NoiseConfig(quantised_share=1.0)
    noisy = add_noise(torch.rand(16, 3, 16, 16), config, torch.Generator().manual_seed(0)) * 255
    torch.testing.assert_close(noisy, noisy.round(), atol=1e-4, rtol=0)
    assert noisy.min() == 0
    assert noisy.max() == 255


def test_loss_is_the_negative_psnr() -> None:
    target = torch.zeros(2, 3, 8, 8)
    assert float(psnr_loss(target + 0.1, target)) == pytest.approx(-20, abs=1e-3)


def test_schedule_warms_up_and_ends_low() -> None:
    loop = LoopConfig(steps=1000, warmup_steps=100)
    rates = [learning_rate(loop, step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) in (99, 100)
    assert rates[-1] < 1e-5
    assert all(earlier >= later for earlier, later in itertools.pairwise(rates[100:]))


def test_bundled_recipes_load() -> None:
    assert "denoise" in bundled_recipes()
    for name in bundled_recipes():
        assert load_recipe(name).loop.steps > 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[loop]\nsteps = 'many'", "steps"),
        ("[loop]\nstep = 3", "step"),
        ("[loops]\nsteps = 3", "loops"),
        ("loop = 3", "table"),
        ("[architecture]\nencoder_blocks = [1, 1]", "levels"),
        ("[loop]\nsteps = 0", "steps"),
        ("not toml", "TOML|Expected|expected"),
    ],
)
def test_wrong_recipes_are_refused_in_words(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=complaint):
        load_recipe(str(path))


def train(recipe: Path, run: Path) -> list[str]:
    return [
        str(Path(sys.executable).with_name("nafnet-train")),
        str(recipe),
        "-o",
        str(run),
        "--quiet",
        "--threads",
        "1",
    ]


def test_killed_run_goes_on_as_if_nothing_happened(tmp_path: Path) -> None:
    """A run killed after its first checkpoint, continued, ends with the very weights of a run left alone."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(steps=600), encoding="utf-8")
    subprocess.run(train(recipe, tmp_path / "whole"), check=True)

    killed = tmp_path / "killed"
    with subprocess.Popen(train(recipe, killed)) as process:
        while not (killed / "state.pt").exists():
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert not (killed / "log.jsonl").exists(), "killed in time: the run had not come to its end"
    subprocess.run(train(recipe, killed), check=True)

    expected, given = (load_file(tmp_path / name / "tiny.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(expected[name], given[name]) for name in expected)


def test_training_learns_and_says_what_it_made(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(steps=100).replace("validate_every = 100", "validate_every = 10"), encoding="utf-8")
    subprocess.run(train(recipe, tmp_path / "run"), check=True)
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows] == list(range(10, 101, 10))
    assert rows[-1]["psnr_25"] > rows[0]["psnr_25"] + 1
    spec = load_checkpoint(tmp_path / "run" / "tiny.safetensors").spec
    assert (spec.task, spec.train_patch, spec.multiple) == ("denoise", 32, 2)


def test_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(steps=5), encoding="utf-8")
    subprocess.run(train(recipe, tmp_path / "run"), check=True)
    recipe.write_text(RECIPE.format(steps=6), encoding="utf-8")
    done = subprocess.run(train(recipe, tmp_path / "run"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "[loop]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
