"""A method of your own: the cluster of each place should tell as much as it can about that in another light.

Train it with `unseg train IMAGES --method method.py`, then run `unseg cluster model.h5 --method method.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unsegcli.core.draws import Draws
from unsegcli.core.nn.information import displaced_information, displacement_joints
from unsegcli.core.nn.jitter import Strengths, jitter
from unsegcli.core.nn.networks import grow, small_trunk
from unsegcli.core.nn.shrinking import at_middles
from unsegcli.methods._contract import Batch, LoopSettings

MULTIPLE = 4  # sides of images are made multiples of this: the network's stride


@dataclass(frozen=True)
class Config(LoopSettings):
    """The settings of the loop, and two more; each can be given with --set."""

    crop: int = 128  # side of the square cut from each image, in pixels
    width: int = 16  # features of the first layer; four times as many at the end
    strength: float = 0.2  # of the changes of light, 0 to 1


class Network(nn.Module):
    """Everything that learns: it gives the probabilities of the clusters at a quarter of the resolution."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.trunk = small_trunk(channels, config.width)
        self.head = nn.Conv2d(4 * config.width, config.classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, classes, height / 4, width / 4)."""
        logits: Tensor = self.head(self.trunk(images - 0.5))
        return logits.float().softmax(1)


def loss(network: Network, batch: Batch, config: Config) -> dict[str, Tensor]:
    """Minus the mutual information between the clusters of each image and, nearby, of a copy in another light."""
    draws = Draws(batch.seed, batch.step, batch.index)  # not torch.rand: it would differ after an interruption
    some = config.strength
    copies = jitter(batch.images, draws, "light", Strengths(some, some, some, some / 4), batch.mask)
    first, second = network(batch.images), network(copies)
    valid = None if batch.mask is None else at_middles(batch.mask, first.shape[2:])
    total = displaced_information(displacement_joints(first, second, valid, reach=1))
    return {"loss": total, "information": -total.detach()}  # the objective, and what people may want to see


def cluster_scores(network: Network, batch: Batch, config: Config) -> Tensor:
    """Probabilities of each pixel: (batch, classes, height, width)."""
    return grow(network(batch.images), batch.images.shape[2:])
