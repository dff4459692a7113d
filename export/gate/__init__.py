"""The parity gate: cases, comparison with PyTorch, verdict, report."""
