"""libvips without its cache of operations.

The cache keeps the last hundred, and with each the file it reads: open, so that its room on the disk is not given back
when it is deleted, and on Windows it cannot be deleted at all. Every picture here is read once.
"""

from __future__ import annotations

import pyvips

__all__ = ["pyvips"]

pyvips.cache_set_max(0)
