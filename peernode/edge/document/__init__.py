"""The OpenAPI document: what every route takes and answers, written from the bounds that the parsers themselves use.

Owns words and schemas only. Tests hold the schemas against the parsers, and the table of operations against the routes.
"""
