"""All nodes in one process, with a recorder: what `deeprs2v demo` runs."""
