"""Find and decode image files, and convert them to working pixels.

Independent of labels, superpixels and HDF5.
"""
