"""The terms of the loss: taken without waiting for a GPU, read now and then, noted down, and watched."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from unsegcli import store
from unsegcli.errors import UnsegError
from unsegcli.training.checkpoint import Training
from unsegcli.training.distributed import mean_of


@dataclass
class Losses:
    """The terms of the last steps, which a GPU may still be working on."""

    training: Training
    target: store.Target
    unread: list[dict[str, Tensor]] = field(default_factory=list)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Take the terms of a step, without waiting for them."""
        self.unread.append({name: mean_of(term) for name, term in terms.items()})

    def read(self) -> dict[str, str]:
        """Wait for all terms, note them down, and give the last ones as text; stop if one is no number."""
        first = self.training.step - len(self.unread)
        for number, terms in enumerate(self.unread):
            values = {name: float(term) for name, term in terms.items()}
            if not all(map(math.isfinite, values.values())):
                raise UnsegError(self._broken(first + number + 1, values))
            self.training.record_terms(first + number + 1, values)
        last = {name: float(term) for name, term in self.unread[-1].items()} if self.unread else {}
        self.unread = []
        return {name: f"{value:.3f}" for name, value in last.items()}

    def _broken(self, step: int, values: Mapping[str, float]) -> str:
        terms = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        found = store.load_checkpoint(self.target)
        kept = (
            f"the state of step {json.loads(found[1])['step']} is kept in {self.target.partial}"
            if found
            else ("no earlier state was kept")
        )
        return (
            f"the loss is no number at step {step} ({terms}); {kept}. Try a lower rate (--set rate=...), --set clip=1, "
            "or --precision float32"
        )
