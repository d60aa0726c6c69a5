"""Nodes that others cannot reach by themselves: finding out, relays, holes in NATs, ports from routers.

Owns everything between "a peer has no way in" and a connection like any other. ``Traversal`` is what the mesh uses.
"""
