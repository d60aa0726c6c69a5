"""OpenAI's newer API, ``POST /v1/responses``: items instead of messages, typed events instead of chunks.

Nothing is kept between two calls: the client sends the whole conversation each time.
"""
