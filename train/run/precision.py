"""The precision that a run computes in: the recipe's, but where the machine has no instructions for it."""

from __future__ import annotations

import torch

from nafnet.system.processor import has_bfloat16, limit_without_bfloat16
from nafnet.train.recipes.recipe import Precision


def computed_in(wanted: Precision, device: torch.device) -> tuple[Precision, str | None]:
    """The precision to compute in, and a line for the user where it is not the one that is wanted.

    A CPU that does not multiply bfloat16 emulates it, more slowly than it computes in fp32 and no better.
    """
    if wanted != "bf16" or device.type != "cpu":
        return wanted, None
    if limit := limit_without_bfloat16():
        return "fp32", f"precision: fp32 in place of the recipe's bf16, of which {'='.join(limit)} allows no kernels"
    if has_bfloat16() is False:
        return "fp32", "precision: fp32 in place of the recipe's bf16, which this processor does not multiply"
    return wanted, None
