"""Requests and answers sealed between a client and this node, for paths where HTTP is not encrypted."""
