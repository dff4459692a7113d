"""Recipes: the bundled ones say what the study and the authors said, and wrong ones are refused in words."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from nafnet.errors import RecipeError
from nafnet.train.cli import main
from nafnet.train.recipes.losses import LOSSES
from nafnet.train.recipes.recipe_files import bundled_recipes, load_recipe, recipe_text, recipe_toml, with_steps
from nafnet.train.recipes.schedule import ScheduleConfig, learning_rate
from nafnet.words import nearest
from tests.train.conftest import trained_here

STUDY = ("baseline", "enhanced-1", "enhanced-2", "enhanced-3", "enhanced-4", "crop-512", "sliding-256")
REMEDIES = ("enhanced-4-schedule", "enhanced-4-lower-rate", "enhanced-4-l2")


def test_every_experiment_has_a_recipe() -> None:
    names = {f"study/v{number}" for number in range(1, 6)} | {f"study/{name}" for name in (*STUDY, *REMEDIES)}
    names |= {f"upstream/{name}" for name in ("sidd-width32", "sidd-width64", "gopro-width32", "gopro-width64")}
    assert set(bundled_recipes()) >= names | {"upstream/reds-width64", "denoise", "pairs"}


@pytest.mark.parametrize("name", bundled_recipes())
def test_every_header_says_how_it_is_tested(name: str) -> None:
    header = [line for line in recipe_text(name).splitlines() if line.startswith("#")]
    assert any("nafnet-train test RUN" in line for line in header)
    told = header[0].partition(";")[2]
    assert "dB on" not in header[0] or "they published" in told, "a figure of the authors is said to be theirs"


@pytest.mark.parametrize("name", bundled_recipes())
def test_recipes_in_full_are_the_same_recipes(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "again.toml"
    path.write_text(recipe_toml(recipe), encoding="utf-8")
    again = load_recipe(str(path)).to_dict()
    assert again.pop("name") == "again"
    assert again == {key: value for key, value in recipe.to_dict().items() if key != "name"}


@pytest.mark.parametrize(
    ("name", "blocks", "epochs", "rate"),
    [
        ("study/v1", ((1, 1, 1, 28), 1, (1, 1, 1, 1)), 100, 1e-4),
        ("study/v2", ((1, 1, 1, 1), 1, (1, 1, 1, 1)), 100, 1e-4),
        ("study/v3", ((1, 1, 1, 1), 2, (1, 1, 1, 1)), 100, 1e-4),
        ("study/v4", ((2, 2, 4, 8), 12, (2, 2, 2, 2)), 100, 1e-4),
        ("study/baseline", ((1, 1, 1, 1), 1, (1, 1, 1, 28)), 150, 1e-4),
        ("study/enhanced-1", ((1, 1, 1, 1), 1, (1, 1, 1, 28)), 60, 1e-4),
        ("study/enhanced-2", ((1, 1, 1, 1), 1, (1, 1, 1, 28)), 300, 1e-4),
        ("study/enhanced-3", ((2, 2, 4, 8), 12, (2, 2, 2, 2)), 300, 1e-4),
        ("study/enhanced-4", ((1, 1, 1, 1), 1, (1, 1, 1, 28)), 60, 1e-4),
        ("study/enhanced-4-lower-rate", ((1, 1, 1, 1), 1, (1, 1, 1, 28)), 60, 1e-5),
    ],
)
def test_the_studys_recipes_are_the_studys(
    name: str, blocks: tuple[tuple[int, ...], int, tuple[int, ...]], epochs: int, rate: float
) -> None:
    recipe = load_recipe(name)
    shape = recipe.architecture
    assert (shape.encoder_blocks, shape.middle_blocks, shape.decoder_blocks) == blocks
    assert (recipe.loop.epochs, recipe.loop.steps, recipe.loop.learning_rate) == (epochs, 0, rate)


def test_the_remedies_change_what_they_say_and_no_more() -> None:
    with_dropout = load_recipe("study/enhanced-4").to_dict()
    assert with_dropout["loop"]["dropout"] == 0.5
    expected = {
        "enhanced-4-schedule": ("schedule", "kind"),
        "enhanced-4-lower-rate": ("loop", "learning_rate"),
        "enhanced-4-l2": ("loop", "weight_decay"),
    }
    for name, (table, key) in expected.items():
        changed = load_recipe(f"study/{name}").to_dict()
        assert changed[table][key] != with_dropout[table][key]
        changed[table][key], changed["name"] = with_dropout[table][key], with_dropout["name"]
        assert changed == with_dropout


@pytest.mark.parametrize(
    ("name", "steps", "batch", "decay", "mirrored"),
    [
        ("sidd-width32", 200_000, 32, 0, False),
        ("sidd-width64", 400_000, 64, 0, False),
        ("gopro-width32", 200_000, 32, 1e-3, True),
        ("gopro-width64", 400_000, 64, 1e-3, True),
        ("reds-width64", 400_000, 64, 1e-3, True),
    ],
)
def test_the_authors_recipes_are_the_authors(name: str, steps: int, batch: int, decay: float, mirrored: bool) -> None:
    recipe = load_recipe(f"upstream/{name}")
    assert (recipe.loop.steps, recipe.loop.batch, recipe.loop.weight_decay) == (steps, batch, decay)
    assert (recipe.loop.learning_rate, recipe.loop.betas, recipe.loop.gradient_clip) == (1e-3, (0.9, 0.9), 0.01)
    assert (recipe.sampling.patch, recipe.sampling.flips, recipe.sampling.turns) == (256, mirrored, mirrored)
    assert (recipe.loop.loss, recipe.schedule.kind, recipe.schedule.final_rate) == ("psnr", "cosine", 1e-7)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[loop]\nsteps = 'many'", r"\[loop\] steps = 'many'; expected int"),
        ("[loop]\nstep = 3", r"\[loop\] has no 'step'; did you mean steps\?"),
        ("[loop]\nmomentum = 3", r"\[loop\] has no 'momentum'; it has steps, epochs, batch"),
        ("[loops]\nsteps = 3", "has no 'loops'"),
        ("loop = 3", "must be a table"),
        ("[architecture]\nencoder_blocks = [1, 1]", "levels"),
        ("[architecture]\nencoder_blocks = [1, 'a']", r"\[1, 'a'\]; expected int"),
        ("[loop]\nsteps = -5", r"\[loop\] steps = -5; expected at least 0"),
        ("[loop]\nsteps = 5\nlearning_rate = nan", "learning_rate = nan; expected at least 0"),
        ("[loop]\nsteps = 5\ngradient_clip = -0.01", "gradient_clip"),
        ("[loop]\nsteps = 5\nbetas = [0.9, 1.0]", "betas"),
        ("[loop]\nsteps = 5\n[schedule]\nwarmup_steps = 5", "warmup_steps = 5; the run has 5 steps"),
        ("[loop]\nsteps = 5\naccumulate = 4\n[sampling]\nstages = [[0.5, 64, 2]]", "multiples of accumulate"),
        ("[sampling]\npatch = 0", r"\[sampling\] patch = 0; expected at least 1"),
        ("[evaluation]\npatience = -1", "patience = -1"),
        ("[evaluation]\nwindow = 8", "SSIM needs at least 11"),
        ("[generated]\nheld_out = 0", "held_out = 0"),
        ("[generated]\nshare = 1.0", r"\[generated\] share = 1.0; expected 0 to below 1"),
        ("[photographs]\nheld_out_share = 0.0", "held_out_share = 0.0; expected a share between 0 and 1"),
        ("[photographs]\nreduce = 0", r"\[photographs\] reduce = 0; expected at least 1"),
        ("[noise]\nmax_sigma = 'much'", r"\[noise\] max_sigma = 'much'; expected float"),
        ("[loop]\nsteps = 0", "either steps or epochs"),
        ("[loop]\nsteps = 3\nepochs = 3", "either steps or epochs"),
        ("[loop]\nsteps = true", "expected int"),
        ("[loop]\nsteps = 3\nloss = 'vgg'", "known are psnr, bounded-psnr, l1"),
        ("[loop]\nsteps = 3\nbatch = 5\naccumulate = 2", "multiple of accumulate"),
        ("[loop]\nsteps = 3\nprecision = 'fp8'", "expected one of fp32, bf16, fp16"),
        ("[loop]\nsteps = 3\ndropout = 1.5", "between 0 and 1"),
        ("[loop]\nsteps = 3\nbetas = [0.9]", "expected list"),
        ("[evaluation]\nprotocol = 'gopro2'", "known are plain, sidd, gopro"),
        ("[sampling]\ncrop = 100\npatch = 64", "multiple of patch"),
        ("[sampling]\nstages = [[1.5, 64, 4]]", "shares from 0 to 1"),
        ("[prepare]\nstride = 5", "stride without window"),
        ("[schedule]\nmilestones = [0.0]", "between 0 and 1"),
        ("base = 'none'", "no recipe is named 'none'"),
        ("not toml", "not TOML"),
    ],
)
def test_wrong_recipes_are_refused_in_words(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=complaint):
        load_recipe(str(path))


def test_a_base_that_leads_back_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "circle.toml"
    path.write_text(f'base = "{path}"', encoding="utf-8")
    with pytest.raises(RecipeError, match="leads back to itself"):
        load_recipe(str(path))


def test_overrides_change_one_value() -> None:
    recipe = load_recipe("study/v1", ["loop.batch=4", "loop.loss=l1", "task=deblur", "sampling.stages=[[0.5, 64, 8]]"])
    assert (recipe.loop.batch, recipe.loop.loss, recipe.task) == (4, "l1", "deblur")
    assert recipe.sampling.stages == ((0.5, 64, 8),)
    by_steps = load_recipe("study/v1", ["loop.steps=10"]).loop
    assert (by_steps.steps, by_steps.epochs) == (10, 0), "steps take the place of epochs"
    with pytest.raises(RecipeError, match=r"table\.key=value"):
        load_recipe("study/v1", ["loop.batch"])


def test_names_that_are_near_no_recipe_are_answered_with_all_in_lines() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("portrait")
    assert len(str(caught.value)) < 120
    assert sorted(name for line in caught.value.choices for name in line.split()) == bundled_recipes()
    assert max(map(len, caught.value.choices)) <= 100


def test_no_recipe_is_taken_for_a_misspelt_command() -> None:
    assert not [name for name in bundled_recipes() if nearest(name, main.commands)]


def test_a_warm_up_that_does_not_fit_the_steps_asked_for_is_shortened_and_said() -> None:
    denoise = load_recipe("denoise")
    full = denoise.schedule.warmup_steps
    brief, note = with_steps(denoise, 30)
    assert (brief.loop.steps, brief.schedule.warmup_steps) == (30, 3)
    assert note is not None
    assert note.startswith(f"warm-up: 3 steps in place of the recipe's {full}, since the run has 30 steps")
    longer, note = with_steps(denoise, full + 1)
    assert (longer.loop.steps, longer.schedule.warmup_steps, note) == (full + 1, full, None)
    by_steps, note = with_steps(load_recipe("study/v1"), 7)
    assert (by_steps.loop.steps, by_steps.loop.epochs, note) == (7, 0, None)
    chosen = ["schedule.warmup_steps=40"]
    with pytest.raises(RecipeError, match=r"warmup_steps = 40; the run has 30 steps; choose fewer: --set"):
        with_steps(load_recipe("denoise", chosen), 30, chosen)


def test_the_recipe_to_start_with_says_so_and_is_evaluated_rarely() -> None:
    recipe = load_recipe("pairs")
    assert recipe_text("pairs").startswith("# Start here with your own pairs")
    assert recipe.architecture == load_recipe("denoise").architecture, "the bundled denoiser's weights fit"
    assert 2 <= recipe.loop.batch <= 4
    assert recipe.loop.steps // recipe.evaluation.every == 10
    assert (recipe.loop.loss, recipe.loop.ema > 0) == ("psnr", True)


def test_recipes_are_listed_and_shown(tmp_path: Path) -> None:
    listed = trained_here("list").stdout
    assert [line.partition(":")[0] for line in listed.splitlines()] == bundled_recipes()
    shown = trained_here("show", "study/v5", "--set", "loop.batch=2").stdout
    path = tmp_path / "mine.toml"
    path.write_text(shown, encoding="utf-8")
    assert load_recipe(str(path)).loop.batch == 2
    done = trained_here("show", "denoies")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_what_their_names_say(name: str) -> None:
    target = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = {"psnr": -20, "bounded-psnr": -19.99566, "l1": 0.1, "mse": 0.01, "charbonnier": (0.01 + 1e-6) ** 0.5}
    assert float(LOSSES[name](target + 0.1, target)) == pytest.approx(expected[name], rel=1e-4)


def test_the_cosine_warms_up_and_ends_low() -> None:
    config = ScheduleConfig(warmup_steps=100, final_rate=1e-6)
    rates = [learning_rate(config, 1e-3, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) in (99, 100)
    assert rates[-1] < 1e-5
    assert all(earlier >= later for earlier, later in itertools.pairwise(rates[100:]))
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1e-3)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 900, eta_min=1e-6)
    for rate in rates[100:]:
        assert rate == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        reference.step()


def test_the_step_schedule_falls_at_its_milestones() -> None:
    config = ScheduleConfig(kind="step", milestones=(0.5, 0.75), factor=0.1)
    rates = [learning_rate(config, 1.0, step, 100) for step in (0, 49, 50, 74, 75, 99)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert learning_rate(ScheduleConfig(kind="constant"), 0.5, 99, 100) == 0.5
