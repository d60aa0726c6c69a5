"""The node's key on disk: 32 bytes as hex, in a file that its owner alone can read, made once and kept for ever.

Refuses a key that others could have read or replaced, rather than using it.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from peernode.errors import PeernodeError
from peernode.wire.identity import SEED_BYTES, Identity

_MAX_FILE = 256


class KeyFileError(PeernodeError):
    """Base: the key file cannot be used as it is."""

    code = "bad_key_file"


class KeyFileExposed(KeyFileError):
    """Others may have read or written the key."""

    code = "key_file_exposed"


class KeyFileMalformed(KeyFileError):
    """The file is there, and is not a key."""

    code = "key_file_malformed"


class KeyFileMissing(KeyFileError):
    """There is no key yet."""

    code = "key_file_missing"


def load(path: Path) -> Identity:
    """The identity in ``path``. Raises KeyFileError, KeyFileMissing when there is none."""
    try:
        return _load(path)
    except FileNotFoundError as err:
        raise KeyFileMissing(
            "This home has no key yet.", cause=str(path), remedy="Name a node's home with --home DIR."
        ) from err


def load_or_create(path: Path) -> Identity:
    """The identity in ``path``, made on first use. Raises KeyFileError."""
    try:
        return _load(path)
    except FileNotFoundError:
        _create(path)
        return _load(path)


def _load(path: Path) -> Identity:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as err:
        if path.is_symlink():
            raise KeyFileExposed(
                "The key file is a symbolic link.", cause=str(path), remedy="Put the key itself there."
            ) from err
        raise KeyFileError("The key file cannot be opened.", cause=f"{path}: {(err.strerror or '').lower()}") from err
    try:
        _check_owner(path, os.fstat(handle))
        text = os.read(handle, _MAX_FILE)
    finally:
        os.close(handle)
    try:
        seed = bytes.fromhex(text.decode("ascii"))
        return Identity.from_seed(seed)
    except ValueError:
        # "from None": the original error could carry a piece of the key into a log.
        raise KeyFileMalformed(
            "The key file does not hold a key.",
            cause=f"{path}: not {SEED_BYTES} bytes in hexadecimal",
            remedy="Restore it from a backup. Deleting it gives this node a new identity.",
        ) from None


def _check_owner(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileMalformed("The key file is not a regular file.", cause=str(path))
    if found.st_mode & 0o077:
        raise KeyFileExposed(
            "The key file can be used by others.",
            cause=f"{path} has mode {stat.S_IMODE(found.st_mode):04o}",
            remedy=f"If nobody else can have read it: chmod 600 {path}",
        )
    if found.st_uid != os.geteuid():
        raise KeyFileExposed("The key file belongs to another user.", cause=f"{path}: user {found.st_uid}")


def _create(path: Path) -> None:
    """Write the whole file aside, then give it its name; whoever comes second keeps the first one's key."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"{secrets.token_bytes(SEED_BYTES).hex()}\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(aside, path)  # unlike rename, never replaces a key
            except FileExistsError:
                return
            _sync_directory(path.parent)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as err:
        raise KeyFileError(
            "The node's key cannot be written.", cause=f"{path}: {(err.strerror or '').lower()}"
        ) from err


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
