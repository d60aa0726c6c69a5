"""``python -m peernode.engine.worker.grammar.rehearsal_process``: builds grammars where it may die of them.

A line of JSON in, a line of JSON out. First the vocabulary (``size``, ``special``: names by id, ``end``) and the
``cpu_seconds`` that a grammar may take, then a grammar a line, answered by the library's reason against it, or null.
Ends with its input, and of SIGPROF when a grammar takes longer.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import threading

import llguidance

from peernode.engine.worker.grammar.library import GrammarRefused, build

_MOST_MEMORY = 768 << 20
# What passes here must pass in the worker's threads, which have 8 MiB.
_STACK = 4 << 20


class ByteTokenizer:
    """A token for each byte, and the special ones of the model in their places."""

    bos_token_id = None

    def __init__(self, size: int, special: dict[int, bytes], end: int) -> None:
        self.eos_token_id = end
        self.special_token_ids = sorted(special)
        self.tokens = [special.get(token, b"") for token in range(size)]
        self._ids = [token for token in range(size) if token not in special][:256]
        for byte, token in enumerate(self._ids):
            self.tokens[token] = bytes([byte])

    def __call__(self, text: bytes) -> list[int]:
        return [self._ids[byte] for byte in text]


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    threading.stack_size(_STACK)
    facts = json.loads(sys.stdin.readline() or "null")
    if facts is None:
        return
    special = {int(token): name.encode() for token, name in facts["special"].items()}
    wrapper = llguidance.TokenizerWrapper(ByteTokenizer(facts["size"], special, facts["end"]))
    tokenizer = llguidance.LLTokenizer(wrapper)
    for line in sys.stdin:
        answers: list[str | None] = []
        thread = threading.Thread(target=lambda text, into: into.append(_reason(tokenizer, text)), args=(line, answers))
        signal.setitimer(signal.ITIMER_PROF, facts["cpu_seconds"])
        thread.start()
        thread.join()
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(answers[0] if answers else "the grammar library failed"), flush=True)  # noqa: T201


def _reason(tokenizer: llguidance.LLTokenizer, line: str) -> str | None:
    try:
        build(tokenizer, json.loads(line))
    except GrammarRefused as refused:
        return str(refused)
    return None


if __name__ == "__main__":
    main()
