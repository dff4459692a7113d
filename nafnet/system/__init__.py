"""What differs between operating systems: one class for each, with one interface, and the one at hand.

No other module asks which system it runs on.
"""

from __future__ import annotations

import sys

from nafnet.system.interface import Lock, System

__all__ = ["SYSTEM", "Lock", "System"]

if sys.platform == "win32":
    from nafnet.system.windows import Windows as _Here
elif sys.platform == "darwin":
    from nafnet.system.macos import MacOS as _Here
else:
    from nafnet.system.linux import Linux as _Here

SYSTEM: System = _Here()
"""The one at hand."""
