"""Receipts that a broken stream or a crash left behind: what each side keeps of a part, and how it is brought home."""
