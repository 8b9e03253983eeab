"""What a run is told: options, jobs and the YAML loader."""
