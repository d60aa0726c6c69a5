"""One node: its configuration, its home directory and key, and the composition of all parts into a program.

This file imports nothing, so that the CLI can read a home without loading a node.
"""
