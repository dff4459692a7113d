"""What becomes of a clean picture: shares are shares, strengths are strengths, and all of it follows from a seed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from nafnet.errors import RecipeError
from nafnet.train.synthetic import compression
from nafnet.train.synthetic.camera import CameraConfig
from nafnet.train.synthetic.compression import FilesConfig, as_jpeg, as_saved
from nafnet.train.synthetic.degradation import Degradation
from nafnet.train.synthetic.noise import NoiseConfig, noise_on
from nafnet.train.synthetic.scene import SceneConfig, varied
from nafnet.train.synthetic.tones import to_linear

FLAT = np.full((32, 32, 3), 0.5, np.float32)
AS_IT_IS = {"dark_share": 0.0, "grey_share": 0.0, "soft_share": 0.0}
NO_FILE = FilesConfig(quantised_share=0.0, jpeg_share=0.0)
ALWAYS = {"clean_share": 0.0, "camera_share": 0.0, "weak_share": 0.0, "chroma_share": 0.0, "grain_share": 0.0,
          "luminance_share": 0.0}  # fmt: skip


def gaussian_noise(count: int = 400, shape: tuple[int, ...] = (16, 16, 3), **changes: object) -> NDArray[np.float32]:
    """float32[count,H,W,3]: noise on flat grey by a config with nothing but Gaussian noise and these changes."""
    config = NoiseConfig(**{**ALWAYS, **changes})  # type: ignore[arg-type]
    clean = np.full(shape, 0.5, np.float32)
    drawn = [noise_on(clean, config, CameraConfig(), np.random.default_rng(seed)) for seed in range(count)]
    return np.stack([noise for noise in drawn if noise is not None])


def test_gaussian_noise_has_the_strength_asked_for() -> None:
    noise = gaussian_noise(max_sigma=50.0)
    sigma = noise.std((1, 2, 3)) * 255
    assert noise.dtype == np.float32
    assert sigma.min() < 3
    assert 47 < sigma.max() < 55
    assert sigma.mean() == pytest.approx(25, abs=2)


def test_weak_noise_is_frequent() -> None:
    weak = gaussian_noise(weak_share=0.5, weak_sigma=5.0, max_sigma=50.0).std((1, 2, 3)) * 255 < 5.5
    assert weak.mean() == pytest.approx(0.5 + 0.5 * 5.5 / 50, abs=0.08)


def test_grain_is_coarse_and_as_bright_as_its_factor_says() -> None:
    """Enlarged noise: neighbours have much in common, and none has more than its source had."""
    coarse = gaussian_noise(40, (96, 96, 3), grain_share=1.0, grain_factor=(3.0, 3.0))
    beside = [np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] for noise in coarse]
    assert min(beside) > 0.6
    apart = [np.corrcoef(noise[:, :-8].ravel(), noise[:, 8:].ravel())[0, 1] for noise in coarse]
    assert abs(np.mean(apart)) < 0.03, "eight pixels away is another grain"
    fine = gaussian_noise(40, (96, 96, 3))
    assert abs(np.mean([np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] for noise in fine])) < 0.02


def test_noise_without_colour_is_the_same_in_all_channels() -> None:
    noise = gaussian_noise(10, luminance_share=1.0)
    np.testing.assert_allclose(noise, np.repeat(noise[..., :1], 3, -1))
    assert noise.std() > 0.01


def test_pairs_repeat_with_the_seed_and_differ_without() -> None:
    clean = np.random.default_rng(0).random((48, 40, 3), np.float32)
    degradation = Degradation()
    drawn = [degradation.pair(clean, np.random.default_rng(seed)) for seed in range(40)]
    for seed, (degraded, target) in enumerate(drawn):
        again = degradation.pair(clean, np.random.default_rng(seed))
        assert np.array_equal(degraded, again[0])
        assert np.array_equal(target, again[1])
        assert degraded.shape == target.shape == clean.shape
        assert degraded.dtype == target.dtype == np.float32
        assert np.isfinite(degraded).all()
        assert 0 <= target.min() <= target.max() <= 1
    assert len({degraded.tobytes() for degraded, _ in drawn}) > 30


def test_the_share_of_clean_pairs_is_what_it_says() -> None:
    clean = np.random.default_rng(0).random((16, 16, 3), np.float32)
    degradation = Degradation(noise=NoiseConfig(clean_share=0.25))
    same = [np.array_equal(*degradation.pair(clean, np.random.default_rng(seed))) for seed in range(400)]
    assert np.mean(same) == pytest.approx(0.25, abs=0.06)


def test_grey_pictures_are_grey_with_their_noise() -> None:
    clean = np.random.default_rng(0).random((16, 16, 3), np.float32)
    degradation = Degradation(scene=SceneConfig(**{**AS_IT_IS, "grey_share": 1.0}), files=NO_FILE)
    for seed in range(20):
        for image in degradation.pair(clean, np.random.default_rng(seed)):
            np.testing.assert_allclose(image, np.repeat(image[:, :, :1], 3, 2), atol=1e-6)


def test_dark_pictures_have_less_light_by_their_stops() -> None:
    clean = np.random.default_rng(0).random((16, 16, 3), np.float32)
    dark = varied(clean, SceneConfig(**{**AS_IT_IS, "dark_share": 1.0}, stops=(3.0, 3.0)), np.random.default_rng(0))
    np.testing.assert_allclose(to_linear(dark), to_linear(clean) / 8, atol=1e-6)


def test_soft_pictures_are_a_part_enlarged() -> None:
    # Pillow clips 8 bits between rows and columns, so the picture keeps away from both ends.
    clean = 0.3 + 0.4 * np.random.default_rng(0).random((32, 48, 3), np.float32)
    config = SceneConfig(**{**AS_IT_IS, "soft_share": 1.0}, soft_factor=(2.0, 2.0))
    soft = varied(clean, config, np.random.default_rng(0))
    assert soft.shape == clean.shape
    part = Image.fromarray(np.rint(clean[:16, :24] * 255).astype(np.uint8)).resize((48, 32), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(soft * 255, np.asarray(part), atol=2.0)


def test_a_picture_is_left_alone_where_no_draw_says_otherwise() -> None:
    assert varied(FLAT, SceneConfig(**AS_IT_IS), np.random.default_rng(0)) is FLAT


@pytest.mark.parametrize(("halved", "sampling"), [(True, 2), (False, 0)])
def test_jpeg_is_what_pillow_writes(halved: bool, sampling: int) -> None:
    image = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(file, "JPEG", quality=80, subsampling=sampling)
    with Image.open(file) as decoded:
        assert get_sampling(decoded) == sampling
        expected = np.asarray(decoded)
    assert np.array_equal(np.rint(as_jpeg(image, 80, halved=halved) * 255).astype(np.uint8), expected)


def test_files_are_saved_as_often_as_the_shares_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, bool]] = []
    original = compression.as_jpeg

    def noting(image: NDArray[np.float32], quality: int, *, halved: bool) -> NDArray[np.float32]:
        made.append((quality, halved))
        return original(image, quality, halved=halved)

    monkeypatch.setattr(compression, "as_jpeg", noting)
    image = np.random.default_rng(0).normal(0.5, 0.4, (8, 8, 3)).astype(np.float32)
    config = FilesConfig(quantised_share=0.25, jpeg_share=0.5, halved_share=0.5, twice_share=0.25)
    saved = [as_saved(image, config, np.random.default_rng(seed)) for seed in range(800)]
    assert len(made) == pytest.approx(800 * 0.5 * 1.25, rel=0.12)
    assert np.mean([halved for _, halved in made]) == pytest.approx(0.5, abs=0.07)
    assert {60, 100} <= {quality for quality, _ in made} <= set(range(60, 101))
    float_share = np.mean([np.array_equal(each, image) for each in saved])
    assert float_share == pytest.approx(0.25, abs=0.05)
    rounded = [bool(np.abs(each * 255 - np.rint(each * 255)).max() < 1e-3) for each in saved]
    assert np.mean(rounded) == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: NoiseConfig(camera_share=0.9, clean_share=0.2), "shares"),
        (lambda: NoiseConfig(weak_sigma=60.0), "weak_sigma = 60.0; expected 0 to max_sigma"),
        (lambda: NoiseConfig(grain_factor=(0.5, 2.0)), "expected a range from 1 up"),
        (lambda: FilesConfig(quantised_share=0.8, jpeg_share=0.3), "together"),
        (lambda: FilesConfig(jpeg_quality=(0, 90)), "within 1 to 100"),
        (lambda: FilesConfig(twice_share=-0.1), "twice_share = -0.1; expected 0 to 1"),
        (lambda: SceneConfig(dark_share=2.0), "dark_share = 2.0; expected 0 to 1"),
        (lambda: SceneConfig(stops=(-1.0, 2.0)), "expected a range from 0 up"),
        (lambda: SceneConfig(soft_factor=(0.5, 2.0)), "expected a range from 1 up"),
    ],
)
def test_tables_that_cannot_be_are_refused(make: object, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        make()  # type: ignore[operator]
