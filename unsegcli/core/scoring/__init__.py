"""Scores of label maps, with labels and without."""
