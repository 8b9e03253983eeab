"""What `scripts/demo.py` is made of: the incident, the commands, the comparison with the oracle, the terminal, the page."""
