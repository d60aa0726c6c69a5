"""The dialect of OpenRouter, 4EVERLAND and Qolaba: OpenAI's under other paths, with more in its lists of models.

Usage closes every stream, ``prompt`` stands for messages, and conversations are made to fit where the context is small.
"""
