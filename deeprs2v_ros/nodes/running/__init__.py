"""How nodes live: programs, executors, lifecycle, parameters, clocks, what they say of themselves."""
