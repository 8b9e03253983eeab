"""What is done to data."""
