"""Thin PTransforms over the pure parts, and the files a run leaves: staging and ledger."""
