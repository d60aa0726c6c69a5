"""The OpenAI dialect: its requests read into canonical ones, its answers, streams and model objects written.

Owns names, shapes and validation of ``/v1``; what an answer *is* comes from the job's events.
"""
