"""Superpixels and regions: making them, numbering them, their features and their graph."""
