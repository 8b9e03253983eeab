"""The parts of `scripts/fuzz`: seeds, mutations, invariants, the hunt."""
