"""The command line: one file per command, errors as one sentence with a remedy, never a traceback.

Talks to a running node through its admin API and to receipts through the ledger's file; knows no inside of a node.
"""


def main() -> None:
    """Run the command in ``sys.argv`` and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    from peernode.cli.failures import run_guarded

    run_guarded()
