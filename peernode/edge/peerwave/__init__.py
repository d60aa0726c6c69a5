"""Peerwave's dialect: its chat, whole and as lines of JSON, its list of models and tools, its tools and its login.

Differs from OpenAI's in paths, framing and names only; requests and answers are read and made there.
"""
