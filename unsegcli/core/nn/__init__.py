"""Building blocks of networks, losses and augmentations; the only part of `core/` that imports torch."""
