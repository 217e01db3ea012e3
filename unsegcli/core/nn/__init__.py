"""Parts of networks, of losses and of views; the only part of `core/` that loads torch."""
