"""What the nodes share: parameters, units and messages, sources, pictures."""
