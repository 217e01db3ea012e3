"""Pure functions on arrays: geometry, superpixels, features of regions, k-means.

Nothing here opens a file, prints or draws; what the functions need comes in as arguments.
"""
