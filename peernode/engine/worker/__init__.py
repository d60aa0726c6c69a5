"""The worker process: one model, one context, one loop around ``llama_decode``. Knows nothing of trio or the node."""
