"""The page at ``/``: one file without foreign parts, in which a browser chats and sees models, nodes and receipts."""
