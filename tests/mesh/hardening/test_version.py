"""The hardening refuses a library it was not written for, and applies once."""

import pytest

from peernode.mesh import UnsupportedLibp2p, hardening


def test_another_version_is_refused_by_code(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.9.0")
    with pytest.raises(UnsupportedLibp2p) as refused:
        hardening.apply()
    assert refused.value.code == "unsupported_libp2p"
    assert "libp2p==0.8.1" in refused.value.remedy


def test_applying_twice_changes_nothing():
    from libp2p.stream_muxer.yamux.yamux import Yamux

    hardening.apply()
    before = Yamux.__init__
    hardening.apply()
    assert Yamux.__init__ is before
