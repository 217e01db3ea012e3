"""Which numbers a network works with, and how the processor treats them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolved_precision(asked: str, device: torch.device) -> str:
    """The precision that was asked for; `auto` is bf16 where the device has units for it, else float32."""
    return _quick_precision(device) if asked == "auto" else asked


def _quick_precision(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return "bf16" if device.type == "cpu" and has_tiles() else "float32"


@contextmanager
def own_arithmetic() -> Iterator[None]:
    """Numbers next to 0, which are slow, become 0; and as many threads as wanted: until the end, not for ever."""
    threads = torch.get_num_threads()
    torch.set_flush_denormal(True)
    try:
        with full_float32():
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@contextmanager
def full_float32() -> Iterator[None]:
    """On a GPU, float32 is float32: torch would let convolutions use TF32, with 10 bits instead of 23."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
