"""Photometric changes of region features: what other light would make of colour and texture, without the pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from unsegcli.core.draws import Draws
from unsegcli.core.superpixels.features import feature_groups

GAIN, OFFSET = 0.35, 0.15  # of lightness: log factor, and share of its range; each times the strength
CHROMA, CHROMA_MIDDLE = 0.55, -0.05  # log factor: more often less than more
HUE, CAST = 0.5, 6.0  # radians, and units of CIELAB
BAND_GAIN, BAND_OFFSET = 0.25, 0.05  # of each band, for images that are not colours
LOG_GRADIENTS = 3  # of the texture features, the first; the rest are differences


def jittered(features: Tensor, bands: int, draws: Draws, strength: float, noise: Tensor | float) -> Tensor:
    """Change the light of the own features (batch, regions, features), for each image of the batch on its own.

    Args:
        features: colour, texture and patches, in the order of `feature_groups`.
        bands: number of bands of the images; three are red, green and blue.
        draws: source of random numbers.
        strength: of the changes of light; 0 = none.
        noise: deviation of what is added to all patch codes of an image.
    """
    groups = feature_groups(bands)
    colour, texture, patches = (features[..., groups[name]] for name in ("colour", "texture", "patches"))
    drawn = draws.uniform("light of regions", 6, low=-1.0, high=1.0)[:, None, :, None] * strength  # (batch, 1, 6, 1)
    gain, chroma = torch.exp(GAIN * drawn[:, :, 0]), torch.exp(CHROMA_MIDDLE * strength + CHROMA * drawn[:, :, 2])
    mean, around, deviation = colour.split(bands, -1)
    if bands == 3:
        mean, around = (_lab_changed(part, gain, chroma, drawn) for part in (mean, around))
        deviation = torch.cat([deviation[..., :1] * gain, deviation[..., 1:] * chroma], -1)
    else:
        of_bands = draws.uniform("light of bands", 2, bands, low=-1.0, high=1.0)[:, :, None] * strength
        factor, added = gain * torch.exp(BAND_GAIN * of_bands[:, 0]), BAND_OFFSET * of_bands[:, 1]
        added = added + OFFSET * drawn[:, :, 1]
        mean, around = (((part - 0.5) * factor + 0.5 + added).clamp(0, 1) for part in (mean, around))
        deviation = deviation * factor
    gradients, details = texture[..., :LOG_GRADIENTS], texture[..., LOG_GRADIENTS:]
    texture = torch.cat([torch.log1p(torch.expm1(gradients) * gain), details * gain], -1)
    patches = patches + noise * draws.normal("patches of regions", patches.shape[-1])[:, None]
    return torch.cat([mean, around, deviation, texture, patches], -1)


def _lab_changed(lab: Tensor, gain: Tensor, chroma: Tensor, drawn: Tensor) -> Tensor:
    """Change gain, offset, saturation, hue and cast of CIELAB (batch, regions, 3)."""
    light, red_green, yellow_blue = lab.split(1, -1)
    light = ((light - 50) * gain + 50 + 100 * OFFSET * drawn[:, :, 1]).clamp(0, 100)
    angle = HUE * drawn[:, :, 3]
    one = chroma * (red_green * angle.cos() - yellow_blue * angle.sin()) + CAST * drawn[:, :, 4]
    other = chroma * (red_green * angle.sin() + yellow_blue * angle.cos()) + CAST * drawn[:, :, 5]
    return torch.cat([light, one, other], -1)
