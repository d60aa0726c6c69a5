"""What an explorer of the network shows: receipts with what was paid, and nodes with what they offer."""
