"""Pages that hold all they need: one HTML file with its style, script and pictures inside, which asks no network.

Templates extend ``base.html`` and import ``compare.html``, the slider between two pictures.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import MissingExtraError

MARK = b'<meta name="generator" content="nafnet-toolchain">'
"""In the first 1,024 bytes of every page."""
# Black to yellow by way of violet and red, dark to light: readable in grey and by the colour-blind.
_HEAT = np.array([(0, 0, 4), (65, 15, 110), (150, 40, 95), (220, 80, 55), (250, 160, 30), (252, 255, 164)], np.float64)


def render(package: str, template: str, **values: Any) -> str:
    """A template of a package's folder `templates`, filled in; what is put in is escaped.

    Args:
        package: import name, as nafnet.benchmarks.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError("jinja2, which fills in pages,", "cpu") from error
    loaders = [jinja2.PackageLoader(name) for name in dict.fromkeys((package, "nafnet.page"))]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders), autoescape=jinja2.select_autoescape(default=True),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(**values)


def picture_uri(pixels: NDArray[np.uint8], icc: bytes = b"") -> str:
    """uint8[H,W,C] or [H,W] as a data URI, to the bit: a lossy picture of noise arrives half denoised.

    Args:
        pixels: of the picture.
        icc: its profile; by default sRGB is meant.
    """
    from nafnet.images.vips import pyvips

    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    if icc:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    encoded = image.webpsave_buffer(lossless=True, exact=True, keep="icc" if icc else "none")
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode('ascii')}"


def heat(values: NDArray[np.floating[Any]], largest: float) -> NDArray[np.uint8]:
    """[H,W] from 0 to `largest` as colours, uint8[H,W,3]."""
    place = np.clip(values / (largest or 1.0), 0, 1) * (len(_HEAT) - 1)
    channels = [np.interp(place, range(len(_HEAT)), _HEAT[:, index]) for index in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)
