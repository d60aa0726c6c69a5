"""Tools that the node itself runs: what one is, those it brings along, and those that installed packages add."""
