"""In which numbers a training computes, and how the processor treats them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def quick_precision(device: torch.device) -> str:
    """The quickest numbers that learn as well: bf16 where the device has units for it."""
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
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
