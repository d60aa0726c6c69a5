"""Finding peers that nobody named: on the local network, and in a Kademlia table.

Whatever is found is a hint, told to ``FoundPeers``; the handshake proves who is there.
"""
