"""The first hour on a machine with a GPU, as one command: ``python -m nafnet.benchmarks.gpu_day FOLDER``."""
