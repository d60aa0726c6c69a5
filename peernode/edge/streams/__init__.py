"""Streams that outlast their connection: what was sent is kept for a while, and the rest can be fetched.

A client asks for it (``resumable``), for then the answer goes on, and costs, when the connection is lost.
"""
