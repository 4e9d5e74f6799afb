"""Commands that measure time and memory: `python -m benchmarks.cells`, `python -m benchmarks.report`."""
