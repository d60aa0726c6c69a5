"""HTTP: the app, who may call it, the chat dialects, receipts, health and the admin API.

Built on the protocols in ``services``; knows no libp2p, no llama.cpp and no SQL. Others use ``services`` (what to
hand in), ``app.build_app``, ``admin.build_admin_app``, ``bind.parse_bind``, ``serve.serve_app`` and ``receipt_view``.
This file imports nothing, so that the CLI can read a receipt without loading a web framework.
"""
