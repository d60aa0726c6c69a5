"""llama.cpp's own log: warnings and errors go to stderr, where the engine collects them; the rest is dropped.

Never blocks the decode loop: when nobody reads fast enough, lines are lost.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

import llama_cpp

_WARN, _ERROR, _CONTINUED = 3, 4, 5
_STDERR = 2
# What llama.cpp adds after the line that tells the reason.
_SAYS_NOTHING = "failed to load model"


class NativeLog:
    """Installed for as long as the object lives; llama.cpp keeps only a pointer to the callback.

    ``last_error`` is the latest error line, which says more about a failed load than any return code.
    """

    def __init__(self) -> None:
        os.set_blocking(_STDERR, False)
        self.last_error = ""
        self._loud = False
        self._callback = llama_cpp.llama_log_callback(self._on_line)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def attach(self, install: Callable[[object, ctypes.c_void_p], None]) -> None:
        """Hear another library of llama.cpp's, too, which takes callbacks by ``install``."""
        install(self._callback, ctypes.c_void_p(0))

    def _on_line(self, level: int, text: bytes, _user_data: object) -> None:
        if level != _CONTINUED:
            self._loud = level in (_WARN, _ERROR)
        if not self._loud:
            return
        if level == _ERROR:
            line = text.decode("utf-8", "replace").strip()[:500]
            if not self.last_error or not line.endswith(_SAYS_NOTHING):
                self.last_error = line
        try:
            os.write(_STDERR, text)
        except OSError:
            return  # full or closed: a log line is not worth a stalled decode
