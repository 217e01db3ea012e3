"""Published data sets: one file for each, which says where its files lie, its classes, splits and scoring rules.

The folder is the registry, see `_load`; `_contract` says what a file must offer.
"""
