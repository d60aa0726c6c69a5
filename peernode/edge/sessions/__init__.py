"""Conversations that the node keeps between two requests, encrypted under a key that only the client has."""
