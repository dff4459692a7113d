"""What a recipe's precision means on CUDA."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from nafnet.train.run.trainer import set_tf32

FLAGS = (torch.backends.cudnn, torch.backends.cuda.matmul)


@pytest.fixture
def flags_put_back() -> Iterator[None]:
    before = [flags.allow_tf32 for flags in FLAGS]
    yield
    for flags, value in zip(FLAGS, before, strict=True):
        flags.allow_tf32 = value


@pytest.mark.usefixtures("flags_put_back")
@pytest.mark.parametrize(("precision", "allowed"), [("fp32", False), ("bf16", True), ("fp16", True)])
def test_fp32_is_not_tf32(precision: str, allowed: bool) -> None:
    for flags in FLAGS:
        flags.allow_tf32 = not allowed
    set_tf32(torch.device("cpu"), precision)
    assert [flags.allow_tf32 for flags in FLAGS] == [not allowed] * 2
    set_tf32(torch.device("cuda"), precision)
    assert [flags.allow_tf32 for flags in FLAGS] == [allowed] * 2
