"""llama.cpp's own HTTP server, as ``xllamacpp`` carries it; prints its address and serves until stdin closes."""

from __future__ import annotations

import argparse
import sys

import xllamacpp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--kv-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    settings = xllamacpp.CommonParams()
    settings.model.path = options.model
    settings.n_ctx, settings.n_parallel, settings.kv_unified = options.kv_tokens, options.slots, True
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = options.threads
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
