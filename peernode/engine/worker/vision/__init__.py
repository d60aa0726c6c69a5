"""Pictures for a language model: file bytes to pixels, pixels to embeddings, embeddings to places in a prompt.

Owns decoding under limits, the model's image projector and what is cached of it. Leaves the decode loop to others.
"""
