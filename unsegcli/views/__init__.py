"""Panels, contact sheets, reports, and exported label maps.

Nothing here computes scores or reads ground truth, which is passed in.
"""
