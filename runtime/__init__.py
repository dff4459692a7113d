"""Photographs to photographs: restore arrays with `Restorer`, folders with the pipeline."""

from nafnet.runtime.restorer import Restorer

__all__ = ["Restorer"]
