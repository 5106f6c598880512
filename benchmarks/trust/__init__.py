"""Whether the running cart can be trusted: faults are done to it, and what it says is held against the truth."""
