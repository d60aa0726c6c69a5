"""The key file and the home: private, made once, and refused when somebody else could have touched them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading

import pytest

from peernode.node.home import AdminAccess, Home, HomeError, HomeInUse
from peernode.node.keyfile import KeyFileError, KeyFileExposed, KeyFileMalformed, load_or_create


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_once_and_stays(tmp_path):
    path = tmp_path / "node.key"
    made = load_or_create(path)
    assert made.peer_id.startswith("12D3Koo")
    assert mode(path) == 0o600
    assert load_or_create(path).peer_id == made.peer_id
    assert [entry.name for entry in tmp_path.iterdir()] == ["node.key"]


def test_many_that_make_a_key_at_once_agree(tmp_path):
    path, found = tmp_path / "node.key", []
    threads = [threading.Thread(target=lambda: found.append(load_or_create(path).peer_id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_touch_is_refused(tmp_path, bits):
    path = tmp_path / "node.key"
    load_or_create(path)
    path.chmod(bits)
    with pytest.raises(KeyFileExposed) as found:
        load_or_create(path)
    assert "chmod 600" in found.value.remedy


def test_a_symbolic_link_is_refused_even_when_it_leads_nowhere(tmp_path):
    path = tmp_path / "node.key"
    load_or_create(tmp_path / "real.key")
    for target in ("real.key", "nowhere.key"):
        path.symlink_to(tmp_path / target)
        with pytest.raises(KeyFileExposed):
            load_or_create(path)
        path.unlink()


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 31, "00" * 33, "é" * 32, "0" * 1000])
def test_what_is_no_key_is_refused_and_kept(tmp_path, text):
    path = tmp_path / "node.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileMalformed) as found:
        load_or_create(path)
    assert path.read_text() == text
    assert found.value.__cause__ is None
    assert len(text) < 4 or text not in str(found.value)


def test_what_is_no_file_is_refused(tmp_path):
    path = tmp_path / "node.key"
    path.mkdir(mode=0o700)
    with pytest.raises(KeyFileMalformed):
        load_or_create(path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileMalformed):
        load_or_create(tmp_path / "pipe")


def test_a_directory_that_is_not_there_is_a_typed_error(tmp_path):
    with pytest.raises(KeyFileError):
        load_or_create(tmp_path / "no" / "node.key")


def test_a_home_is_private_and_taken_once(tmp_path):
    home = Home(tmp_path / "a" / "b")
    with home.occupied():
        assert mode(home.path) == 0o700
        with pytest.raises(HomeInUse) as found, home.occupied():
            pass
        assert str(os.getpid()) in found.value.cause
    with home.occupied():
        pass


def test_a_home_is_free_again_when_its_node_dies(tmp_path):
    home = Home(tmp_path / "home")
    hold = (
        "import sys, pathlib\nfrom peernode.node.home import Home\n"
        "with Home(pathlib.Path(sys.argv[1])).occupied():\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(home.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HomeInUse) as found, home.occupied():
            pass
        assert str(holder.pid) in found.value.cause
    finally:
        holder.kill()
        holder.communicate()
    with home.occupied():
        pass


def test_a_home_that_others_may_write_is_refused(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(HomeError, match="Others"):
        Home(shared).prepare()


def test_the_way_to_the_admin_api_is_private_and_forgotten_at_the_end(tmp_path):
    home = Home(tmp_path)
    assert home.read_admin() is None
    access = AdminAccess("http://127.0.0.1:1", "secret" * 8, 5)
    home.write_admin(access)
    home.write_admin(access)
    assert mode(home.admin_file) == 0o600
    assert home.read_admin() == access
    assert "secret" not in repr(access)
    home.admin_file.write_text("{")
    with pytest.raises(HomeError, match="damaged"):
        home.read_admin()
    home.remove_admin()
    assert home.read_admin() is None
