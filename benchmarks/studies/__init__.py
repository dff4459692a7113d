"""Measurements for one question each, run by `python -m nafnet.benchmarks.studies.NAME`."""
