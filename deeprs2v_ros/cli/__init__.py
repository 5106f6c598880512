"""The `deeprs2v` command: one small module a subcommand."""
