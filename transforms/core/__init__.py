"""Pure Python, NumPy and Arrow: no Beam, no boto3, no I/O."""
