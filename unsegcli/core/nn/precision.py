"""Floating-point precision of networks on CPUs and GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolved_precision(asked: str, device: torch.device) -> str:
    """Choose the precision; `auto` is bf16 if the device supports it in hardware, else float32."""
    return _quick_precision(device) if asked == "auto" else asked


def _quick_precision(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return "bf16" if device.type == "cpu" and has_tiles() else "float32"


@contextmanager
def own_arithmetic() -> Iterator[None]:
    """Flush denormal numbers, which are slow, to 0 and set the number of threads, within this context."""
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
    """Disable TF32 on GPUs, which torch enables for convolutions: it has 10 bits instead of 23."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
