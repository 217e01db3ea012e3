"""Segment one window of an image: with k-means, inpainting error maximization or a trained network."""
