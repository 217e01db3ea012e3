"""Training: job, data, optimizer, checkpoints and monitoring; the training loop is in `stages/train.py`."""
