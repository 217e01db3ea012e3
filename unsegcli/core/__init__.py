"""Pure functions on arrays: geometry, superpixels, features of regions, k-means.

Nothing here opens a file or prints; all inputs are arguments.
"""
