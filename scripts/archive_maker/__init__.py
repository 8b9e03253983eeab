"""Makes Firehose-shaped archives of metric postings: seeded, so that the same options give the same bytes."""
