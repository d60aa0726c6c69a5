"""The vocabulary of chat jobs: request, sampling, events, usage, errors. Pure; knows only ``wire``."""
