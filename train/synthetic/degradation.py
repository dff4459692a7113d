"""From a clean picture to a training pair: the scene, its noise, the file it was saved in."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nafnet.train.synthetic.camera import CameraConfig
from nafnet.train.synthetic.compression import FilesConfig, as_saved
from nafnet.train.synthetic.noise import NoiseConfig, noise_on
from nafnet.train.synthetic.scene import SceneConfig, grey, varied

Image = NDArray[np.float32]
MARGIN = 16
"""Pixels by which a picture should be larger than the patch that is cut from it afterwards, at a random place: then the
patch lies anywhere on the blocks of a JPEG, of which the largest are 16 x 16, and on a sensor's mosaic."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Degradation:
    """All that may happen to a picture."""

    scene: SceneConfig = dataclasses.field(default_factory=SceneConfig)
    noise: NoiseConfig = dataclasses.field(default_factory=NoiseConfig)
    camera: CameraConfig = dataclasses.field(default_factory=CameraConfig)
    files: FilesConfig = dataclasses.field(default_factory=FilesConfig)

    def pair(self, clean: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        """(degraded, target) of a clean sRGB image in [0, 1], both float32[H,W,3]; the same for the same `rng`.

        The degraded one is not clipped, but for the share that goes through a file. Where no noise is drawn, the two
        are one.
        """
        target = varied(clean, self.scene, rng)
        colourless = rng.random() < self.scene.grey_share
        if colourless:
            target = grey(target)
        noise = noise_on(target, self.noise, self.camera, rng)
        if noise is None:
            return target, target
        if colourless:
            # From a grey sensor, whose noise is that of one channel, or from a colour one.
            noise = grey(noise) if rng.random() < 0.5 else np.repeat(noise[:, :, 1:2], 3, axis=2)
        return as_saved(target + noise, self.files, rng), target
