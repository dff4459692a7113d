"""The page's tiles are those of `nafnet.tiling`: the same plan, and the same arithmetic to a rounding."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from nafnet.tiling import TileBlender, cut_tiles, plan_tiles, ramp
from tests.browser import needs_chromium
from tests.export.web.conftest import Open

pytestmark = needs_chromium
SIZES = [(1, 1), (16, 16), (17, 300), (256, 257), (300, 4000), (1000, 513), (33, 50), (4000, 6000), (272, 496)]
SETTINGS = [
    {"tile": 256, "overlap": 16, "multiple": 16, "fixed": False},
    {"tile": 64, "overlap": 0, "multiple": 4, "fixed": False},
    {"tile": 96, "overlap": 95, "multiple": 16, "fixed": False},
    {"tile": 128, "overlap": 20, "multiple": 128, "fixed": True},
]
PLANS = """async ([sizes, settings]) => {
  const { planTiles } = await import("/plan.js");
  return settings.map((each) => sizes.map(([height, width]) => planTiles(height, width, each)));
}"""
# Cut, changed by a rule that differs from tile to tile, and put together again, fed in bands of unequal size.
BLENDED = """async ([image, height, width, channels, settings, bands]) => {
  const { planTiles } = await import("/plan.js");
  const { TileCutter, TileBlender } = await import("/tiles.js");
  const values = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
  const plan = planTiles(height, width, settings);
  const [cutter, blender] = [new TileCutter(plan, 3, 3, 255), new TileBlender(plan, 3)];
  const out = new Float32Array(3 * height * width);
  let [fed, done, count] = [0, 0, 0];
  for (let index = 0; fed < height; index += 1) {
    const rows = Math.min(bands[index % bands.length], height - fed);
    const complete = cutter.feed(values.slice(fed * width * 3, (fed + rows) * width * 3), rows);
    fed += rows;
    for (let each = 0; each < complete; each += 1) {
      for (let column = 0; column < plan.columns.starts.length; column += 1) {
        const share = Math.fround(1 - count / 16);
        const made = blender.add(cutter.tile(column).map((value) => value * share));
        count += 1;
        if (!made) continue;
        for (let channel = 0; channel < 3; channel += 1) {
          const part = made.values.subarray(channel * made.size, channel * made.size + made.count * width);
          out.set(part, (channel * height + done) * width);
        }
        done += made.count;
      }
      cutter.next();
    }
  }
  let text = "";
  const bytes = new Uint8Array(out.buffer);
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}"""


def test_the_plan_is_the_same(opened: Open) -> None:
    made = opened(ready=False).evaluate(PLANS, [SIZES, SETTINGS])
    for settings, plans in zip(SETTINGS, made, strict=True):
        for (height, width), plan in zip(SIZES, plans, strict=True):
            expected = plan_tiles(height, width, **settings)
            for axis, found in ((expected.rows, plan["rows"]), (expected.columns, plan["columns"])):
                assert found == {"length": axis.length, "tile": axis.tile, "starts": list(axis.starts)}
            assert plan["count"] == expected.count


def test_weights_are_the_same(opened: Open) -> None:
    lengths = [1, 2, 15, 16, 100, 255]
    script = (
        "async (lengths) => { const { ramp } = await import('/plan.js'); return lengths.map((n) => [...ramp(n)]); }"
    )
    for length, found in zip(lengths, opened(ready=False).evaluate(script, lengths), strict=True):
        assert np.abs(np.array(found, np.float32) - ramp(length)).max() <= np.finfo(np.float32).eps


@pytest.mark.parametrize(
    ("height", "width", "tile", "bands"),
    [(150, 131, 64, [64]), (150, 131, 64, [1, 7, 100]), (9, 200, 64, [2]), (3, 2, 16, [1]), (1, 1, 16, [5])],
)
def test_blended_tiles_are_the_same(opened: Open, height: int, width: int, tile: int, bands: list[int]) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    settings = {"tile": tile, "overlap": 12, "multiple": 4}
    text = base64.b64encode(image.tobytes()).decode()
    found = opened(ready=False).evaluate(BLENDED, [text, height, width, 3, settings, bands])
    made = np.frombuffer(base64.b64decode(found), "<f4").reshape(3, height, width)

    plan = plan_tiles(height, width, **settings)
    planes = image.transpose(2, 0, 1) * np.float32(1 / 255)
    blender, rows = TileBlender(plan, 3), []
    for index, cut in enumerate(cut_tiles(planes, plan)):
        finished = blender.add(cut * np.float32(1 - index / 16))
        rows += [finished.copy()] if finished is not None else []
    assert plan.count == 1 or tile == 64
    assert np.abs(made - np.concatenate(rows, 1)).max() <= 1e-7
