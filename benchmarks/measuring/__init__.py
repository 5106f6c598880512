"""What benchmarks/speed.py measures, one section a file; report.py and timing.py are what they share."""
