"""The parts of `scripts/benchmark`: archives, contestants, measuring, comparing, reporting."""
