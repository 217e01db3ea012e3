"""The page to look at results and name clusters, panels, contact sheets, and exported label maps.

Nothing here computes scores or reads ground truth, which is passed in.
"""
