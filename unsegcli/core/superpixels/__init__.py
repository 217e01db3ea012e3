"""Superpixels and regions: algorithms, numbering, features and graphs."""
