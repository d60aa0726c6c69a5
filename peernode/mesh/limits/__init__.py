"""What strangers and peers may take from this node: pure accounts of connections, streams and misbehaviour.

Leaves applying the verdicts to the library to ``hardening``, and who is known to whoever asks.
"""
