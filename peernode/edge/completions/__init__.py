"""Completions of plain text, OpenAI's older API and OpenRouter's ``prompt``: a prompt is what one user says.

The answer is the model's reply to it, as ``choices[].text``.
"""
