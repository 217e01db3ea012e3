"""Image files: found, decoded, and turned into working pixels.

Nothing here knows about labels, superpixels or HDF5.
"""
