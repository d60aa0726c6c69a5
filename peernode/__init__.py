"""peernode: a peer-to-peer inference network node."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("peernode")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0+source"
