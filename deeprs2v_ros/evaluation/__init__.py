"""Errors of registration results against a reference, and the tables and figures that report them."""
