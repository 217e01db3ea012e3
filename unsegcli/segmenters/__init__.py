"""How one window of an image becomes a label map: by k-means, by inpainting, or by a trained network."""
