"""The site: `sphinx-build -W -b html docs OUTPUT`, with the extra `docs`."""

from unsegcli._version import __version__

project = "unseg"
author = "the unseg maintainers"
release = version = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 4  # as code hosts name them
exclude_patterns = ["_build"]
smartquotes = False  # two hyphens are an option
html_theme = "furo"
html_title = f"unseg {release}"
html_copy_source = False
