"""Colour spaces: from profiles, codes and gammas, against the standards' own numbers; and their way there and back."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nafnet.images.colour.primaries import display_profile, primaries_of
from nafnet.images.colour.profile import profile_space
from nafnet.images.colour.reading import UNUSABLE, read_said
from nafnet.images.colour.said import said_from_json, said_to_json, space_of
from nafnet.images.colour.space import LINEAR_SPACE, SRGB_SPACE, Space, exchanged
from nafnet.images.colour.transfer import HLG_GAMMA, hlg_to_light, light_to_srgb, pq_to_light, srgb_to_light
from nafnet.images.metadata.metadata import Metadata
from tests.nafnet.images.colour.profiles import (
    ADOBE,
    P3,
    PROPHOTO,
    SRGB,
    Primaries,
    gamma_curve,
    grey_profile,
    matrix_profile,
    srgb_curve,
    table_curve,
    table_profile,
    to_xyz,
)  # fmt: skip

VALUES = np.linspace(0, 1, 1001)
RAMP = np.rint(65535 * VALUES).astype(np.uint16)[None, :, None]


def light_of(space: Space, channel: int = 0) -> NDArray[np.float32]:
    return space.tone.light_of(RAMP[0, :, 0], channel)


@pytest.mark.parametrize(
    ("curve", "name", "formula"),
    [
        (gamma_curve(1.0), "linear light", lambda v: v),
        (gamma_curve(1.8), "gamma 1.80", lambda v: v**1.8),
        (gamma_curve(2.2), "gamma 2.20", lambda v: v**2.2),
        (table_curve(np.linspace(0, 1, 1024) ** 2.4), "gamma 2.40", lambda v: v**2.4),
        (srgb_curve(), "sRGB", srgb_to_light),
        (table_curve(srgb_to_light(np.linspace(0, 1, 1024))), "sRGB", srgb_to_light),
        (table_curve(np.linspace(0, 1, 256) ** 2 * 0.5 + np.linspace(0, 1, 256) * 0.5), "its profile's tone", None),
    ],
)
def test_the_tone_of_a_profile(curve: bytes, name: str, formula: Callable[[object], object] | None) -> None:
    space = profile_space(matrix_profile(SRGB, curve), 3)
    assert space is not None
    assert (space.name, space.matrix) == (name, ())
    expected = formula(VALUES) if formula else VALUES**2 * 0.5 + VALUES * 0.5
    for channel in range(3):
        # A step of 16 bits of what the engine computes in, and what a table between its points misses.
        np.testing.assert_allclose(light_of(space, channel), expected, atol=6e-4)


def test_near_black_a_power_is_a_power() -> None:
    """The engine draws a straight line there, which would be 1.4 of 255 for the network."""
    space = profile_space(matrix_profile(PROPHOTO, gamma_curve(1.8)), 3)
    assert space is not None
    seen = light_to_srgb(light_of(space)[:30].astype(np.float64))
    assert np.abs(seen - light_to_srgb(VALUES[:30] ** 1.8)).max() < 0.1 / 255


def test_each_channel_has_its_curve() -> None:
    space = profile_space(matrix_profile(SRGB, gamma_curve(1.5), gamma_curve(2.0), gamma_curve(2.5)), 3)
    assert space is not None
    for channel, power in enumerate((1.5, 2.0, 2.5)):
        np.testing.assert_allclose(light_of(space, channel), VALUES**power, atol=6e-4)
    back = space.values(space.light(np.repeat(RAMP, 3, 2)))
    np.testing.assert_allclose(back, np.repeat(RAMP, 3, 2) / 65535, atol=2e-4)


@pytest.mark.parametrize("primaries", [P3, ADOBE, PROPHOTO])
def test_the_primaries_of_a_profile(primaries: Primaries) -> None:
    space = profile_space(matrix_profile(primaries, srgb_curve()), 3)
    assert space is not None
    assert space.name == "sRGB, primaries of its own"
    expected = np.linalg.inv(to_xyz(SRGB)) @ to_xyz(primaries)
    np.testing.assert_allclose(np.reshape(space.matrix, (3, 3)), expected, atol=2e-3)


def test_a_profile_of_grey() -> None:
    space = profile_space(grey_profile(gamma_curve(2.2)), 1)
    assert space is not None
    np.testing.assert_allclose(light_of(space), VALUES**2.2, atol=6e-4)
    assert profile_space(grey_profile(gamma_curve(2.2)), 3) is None
    assert profile_space(matrix_profile(SRGB, srgb_curve()), 1) is None


def test_a_table_of_colours_gives_the_tone_of_its_greys() -> None:
    """One whose channels add up has primaries, as a matrix has; one whose channels do not has none."""
    adds = profile_space(table_profile(ADOBE, 1.8, 0.0), 3)
    assert adds is not None
    np.testing.assert_allclose(np.reshape(adds.matrix, (3, 3)), np.linalg.inv(to_xyz(SRGB)) @ to_xyz(ADOBE), atol=0.02)
    bent = profile_space(table_profile(ADOBE, 1.8, 0.3), 3)
    assert bent is not None
    assert bent.matrix == ()
    for space in (adds, bent):
        np.testing.assert_allclose(light_of(space), VALUES**1.8, atol=0.006)


@pytest.mark.parametrize("cut", [40, 140, 200, 300])
def test_a_broken_profile_is_a_note(cut: int) -> None:
    icc = matrix_profile(P3, srgb_curve())
    broken = icc[:cut] + bytes(len(icc) - cut)
    said, notes = read_said(Metadata(icc=broken), 3)
    if not said:
        assert notes == (UNUSABLE,)
        assert space_of(said, Metadata(icc=broken), "png", "uint8") == SRGB_SPACE


def test_pq_and_hlg_by_the_standards_numbers() -> None:
    """SMPTE ST 2084: 0.5081 is 100 candelas, 0.7518 is 1000. ITU-R BT.2408: white at 58% of PQ, 75% of HLG."""
    pq = pq_to_light(np.array([0.5081, 0.7518, 1.0, 0.5807]))
    np.testing.assert_allclose(pq * 203, [100, 1000, 10_000, 203], rtol=2e-3)
    hlg = hlg_to_light(np.array([0.5, 0.75, 1.0]))
    np.testing.assert_allclose(hlg / hlg[2], [1 / 12, 0.2650, 1], rtol=1e-3)
    assert hlg[1] == 1
    # Of a display of 1000 candelas, which shows the greatest value with all of them.
    np.testing.assert_allclose((hlg[1] / hlg[2]) ** HLG_GAMMA * 1000, 203, rtol=2e-3)


def spaces() -> dict[str, Space]:
    codes = {"PQ": (9, 16), "HLG": (9, 18), "P3": (12, 13)}
    made = {name: read_said(Metadata(codes=code), 3)[0][0][1] for name, code in codes.items()}
    for name, primaries, power in (("ProPhoto", PROPHOTO, 1.8), ("Adobe", ADOBE, 563 / 256)):
        space = profile_space(matrix_profile(primaries, gamma_curve(power)), 3)
        assert space is not None
        made[name] = space
    return {**made, "linear": LINEAR_SPACE, "sRGB": SRGB_SPACE}


@pytest.mark.parametrize("name", ["PQ", "HLG", "P3", "ProPhoto", "Adobe", "linear", "sRGB"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_what_was_not_changed_comes_back_to_the_bit(name: str, kind: str) -> None:
    space = spaces()[name]
    random = np.random.default_rng(0).random((40, 50, 3))
    rows = (random * {"uint8": 255, "uint16": 65535, "float32": 1.5}[kind] - 0.2 * (kind == "float32")).astype(kind)
    seen = space.seen(rows)
    assert seen.dtype == np.float32
    assert 0 <= seen.min() <= seen.max() <= 1
    values = exchanged(rows, seen, seen, space, space)
    if kind == "float32":
        assert np.array_equal(values, rows)
    else:
        scale = np.iinfo(kind).max
        assert np.array_equal(np.rint(values * scale).astype(kind), rows)


@pytest.mark.parametrize("name", ["PQ", "HLG", "P3", "ProPhoto", "Adobe", "linear"])
def test_what_was_changed_is_what_the_network_made(name: str) -> None:
    """Seen anew, the result is what was made, where neither leaves what both can hold."""
    space = spaces()[name]
    encoded = 0.2 + 0.6 * np.random.default_rng(0).random((40, 50, 3)).astype(np.float32)
    rows = np.rint(space.values(srgb_to_light(encoded).astype(np.float32)) * 65535).astype(np.uint16)
    seen = space.seen(rows)
    np.testing.assert_allclose(seen, encoded, atol=1e-3)
    made = seen + np.float32(0.05) * np.random.default_rng(1).standard_normal(seen.shape).astype(np.float32)
    result = exchanged(rows, seen, made, space, space)
    np.testing.assert_allclose(space.seen(result), made, atol=2e-3)


def test_light_beyond_white_is_changed_the_less_the_brighter() -> None:
    rows = np.array([0.5, 1.0, 1.25, 1.5, 2.0, 4.0, -0.25, -1.0], np.float32)[None, :, None].repeat(3, 2)
    seen = LINEAR_SPACE.seen(rows)
    assert np.array_equal(seen[0, 2:6], np.ones((4, 3)))
    assert np.array_equal(seen[0, 6:], np.zeros((2, 3)))
    made = np.where(seen == 1, np.float32(0.9), seen)
    made[0, 6:] = 0.1
    result = exchanged(rows, seen, made, LINEAR_SPACE, LINEAR_SPACE)[0, :, 0]
    step = srgb_to_light(np.array(0.9)) - 1
    up = srgb_to_light(np.array(0.1))
    expected = [0.5, 1 + step, 1.25 + 0.75 * step, 1.5 + 0.5 * step, 2.0, 4.0, -0.25 + 0.75 * up, -1.0]
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert list(result[[0, 4, 5, 7]]) == [0.5, 2.0, 4.0, -1.0], "to the bit"


def test_a_space_crosses_the_border_of_a_process() -> None:
    said, _ = read_said(Metadata(icc=matrix_profile(P3, gamma_curve(1.9)), codes=(9, 18)), 3)
    assert said_from_json(said_to_json(said)) == said
    assert [carrier for carrier, _ in said] == ["icc", "codes"]


def test_which_of_several_counts() -> None:
    """PNG, third edition, section 4.3: cICP, then iCCP, then gAMA. In other formats the profile is first."""
    metadata = Metadata(
        icc=matrix_profile(SRGB, gamma_curve(1.8)), codes=(1, 16), calibration=(("gAMA", struct.pack(">I", 100_000)),)
    )
    said, notes = read_said(metadata, 3)
    assert notes == ()
    assert space_of(said, metadata, "png", "uint8").name == "PQ"
    assert space_of(said, metadata, "avif", "uint8").name == "gamma 1.80"
    assert space_of(said, Metadata(calibration=metadata.calibration), "png", "uint8").name == "linear light"
    assert space_of(said, Metadata(), "png", "uint8") == SRGB_SPACE
    assert space_of(said, Metadata(), "tiff", "float32") == LINEAR_SPACE


@pytest.mark.parametrize(("value", "name"), [(45455, "sRGB"), (55556, "gamma 1.80"), (100_000, "linear light")])
def test_png_gamma(value: int, name: str) -> None:
    said, _ = read_said(Metadata(calibration=(("gAMA", struct.pack(">I", value)),)), 3)
    assert said[0][1].name == name


@pytest.mark.parametrize("content", [b"", bytes(4), b"\xff" * 4, bytes(3)])
def test_a_gamma_that_cannot_be_is_none(content: bytes) -> None:
    assert read_said(Metadata(calibration=(("gAMA", content), ("cHRM", content * 8))), 3)[0] == ()


@pytest.mark.parametrize("metadata", [
    Metadata(codes=(12, 13)),
    Metadata(calibration=(("cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),)),
])  # fmt: skip
def test_a_profile_is_made_of_primaries(metadata: Metadata) -> None:
    """LittleCMS, another reader than ours, shows Display P3's colours with it as sRGB has them."""
    primaries = primaries_of(metadata, "codes" if metadata.codes else "calibration")
    assert primaries is not None
    icc = display_profile(primaries)
    light = np.array([[0.2, 0.5, 0.3], [0.6, 0.5, 0.4], [0.9, 0.9, 0.9], [0.3, 0.3, 0.5]])
    in_p3 = light @ (np.linalg.inv(to_xyz(P3)) @ to_xyz(SRGB)).T
    pixels = np.rint(255 * light_to_srgb(in_p3)).astype(np.uint8)[None]
    opened = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    shown = ImageCms.profileToProfile(Image.fromarray(pixels), opened, ImageCms.createProfile("sRGB"))
    np.testing.assert_allclose(np.asarray(shown)[0], 255 * light_to_srgb(light), atol=1.5)


def test_primaries_that_span_no_colours_make_no_profile() -> None:
    same = struct.pack(">8I", *([33333] * 8))
    primaries = primaries_of(Metadata(calibration=(("cHRM", same),)), "calibration")
    assert primaries is not None
    assert display_profile(primaries) == b""
    assert read_said(Metadata(calibration=(("cHRM", same),)), 3)[0][0][1] == SRGB_SPACE


@pytest.mark.parametrize("name", ["ProPhoto", "Adobe", "P3", "HLG", "PQ", "sRGB"])
def test_beyond_black_and_white_values_stay_near_to_their_light(name: str) -> None:
    """A curve that is steep at black is not drawn on below it: -0.001 of light came out as -19.7."""
    space = spaces()[name]
    light = np.array([-0.5, -0.05, -1e-3, 0.0, 1e-3, 0.5, 1.0, 1.5, 3.0], np.float32)[None, :, None].repeat(3, 2)
    values = space.values(light)
    assert np.abs(values).max() < 6
    np.testing.assert_allclose(space.light(values), light, rtol=3e-3, atol=2e-5)


def test_srgb_goes_on_by_its_own_formula() -> None:
    """As IEC 61966-2-2 extends it, so that other programs read the same highlights."""
    light = np.array([4.92, -0.2], np.float32)[None, :, None].repeat(3, 2)
    np.testing.assert_allclose(SRGB_SPACE.values(light)[0, :, 0], [1.995, -0.4845], atol=1e-3)


def test_a_profile_that_is_made_has_the_header_of_one() -> None:
    """ICC.1:2022, table 18: rendering intent at byte 64, the illuminant D50 behind it; JPEG XL's library looks."""
    icc = display_profile(((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)))
    assert struct.unpack(">I4sI4s4s4s", icc[:24])[0] == len(icc)
    assert icc[36:40] == b"acsp"
    assert icc[64:80] == struct.pack(">I3i", 0, 63190, 65536, 54061)
