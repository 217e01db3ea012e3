"""How a network is trained: the job, its data, its optimizer, its checkpoints; the loop is in `stages/train.py`."""
