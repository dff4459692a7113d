"""Train NAFNet, export it, restore photographs with it, and measure all of that."""

import os as _os

# ONNX Runtime's wheels from 1.29 on tell their makers of each process and each model, and keep a number of the machine
# in the user's home. It has to be said before the library is loaded, by whichever module. Whoever wants it sets 0.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Ray's, likewise.
_os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
