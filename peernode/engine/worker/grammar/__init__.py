"""Answers of a given form: masks over the vocabulary, from JSON schemas, regular expressions and Lark grammars."""
