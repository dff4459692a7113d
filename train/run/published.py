"""What NAFNet's authors published of their networks, to stand beside what a test gives.

Source: the table of pretrained models and options/test of https://github.com/megvii-research/NAFNet.
"""

from __future__ import annotations

import dataclasses

from nafnet.spec import Architecture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """One figure."""

    layouts: tuple[str, ...]
    """The data set, by the names of `nafnet-train data`."""
    architecture: Architecture
    pictures: int
    """That it is the mean of."""
    what: str
    """These pictures, in words."""
    protocol: str
    local_pooling: bool
    psnr: float
    """In dB."""
    ssim: float

    def differences(self, pictures: int, protocol: str, *, local_pooling: bool, tiled: bool) -> list[str]:
        """Why a test cannot be compared with it, in words; none where it can."""
        told = []
        if pictures != self.pictures:
            told.append(f"it is of {self.what}, not of {pictures:,}")
        if protocol != self.protocol:
            told.append(f"by the protocol {self.protocol}, not {protocol}")
        if local_pooling != self.local_pooling:
            told.append(f"{'with' if self.local_pooling else 'without'} local pooling")
        return [*told, *(["of whole pictures, not of tiles"] if tiled else [])]


def _sidd(width: int, psnr: float, ssim: float) -> Published:
    blocks = Architecture(width=width, encoder_blocks=(2, 2, 4, 8), middle_blocks=12, decoder_blocks=(2, 2, 2, 2))
    return Published(
        layouts=("sidd", "sidd-validation"), architecture=blocks, pictures=1280, what="SIDD's 1,280 validation blocks",
        protocol="sidd", local_pooling=False, psnr=psnr, ssim=ssim,
    )  # fmt: skip


def _blur(layouts: tuple[str, ...], width: int, pictures: int, what: str, psnr: float, ssim: float) -> Published:
    blocks = Architecture(width=width, encoder_blocks=(1, 1, 1, 28), middle_blocks=1, decoder_blocks=(1, 1, 1, 1))
    return Published(
        layouts=layouts, architecture=blocks, pictures=pictures, what=what, protocol="gopro", local_pooling=True,
        psnr=psnr, ssim=ssim,
    )  # fmt: skip


_GOPRO = (("gopro", "gopro-curated"), "GoPro's 1,111 test pictures")
PUBLISHED = (
    _sidd(32, 39.9672, 0.9599),
    _sidd(64, 40.3045, 0.9614),
    _blur(_GOPRO[0], 32, 1111, _GOPRO[1], 32.8705, 0.9606),
    _blur(_GOPRO[0], 64, 1111, _GOPRO[1], 33.7103, 0.9668),
    _blur(("reds",), 64, 300, "300 of REDS's 3,000 validation pictures, which they hand out", 29.0903, 0.8671),
)


def published(layout: str, architecture: Architecture) -> Published | None:
    """The figure for a network on a data set; None where there is none."""
    found = (each for each in PUBLISHED if layout in each.layouts and each.architecture == architecture)
    return next(found, None)
