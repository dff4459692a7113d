"""Loaded by Windows' Python under Wine at its start: Python then does without what Wine 8 lacks."""

import _winapi
import sys

sys.modules["_wmi"] = None  # type: ignore[assignment]  # no PROPSYS.VariantToString: platform asks sys.getwindowsversion
if hasattr(_winapi, "CopyFile2"):
    del _winapi.CopyFile2  # no KERNEL32.CopyFile2: shutil.copy2 copies itself
