"""libp2p 0.8.1: one failing task ends its whole service, and with it the process; peers can make tasks fail at will.

A pubsub message with an unparsable key, or one on which a validator raises, is a remote kill. Mended in the service
manager: one-shot tasks log and end alone, daemon tasks are restarted after a pause.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio
from libp2p.tools.anyio_service.trio_manager import TrioManager

log = structlog.get_logger(__name__)

RESTART_PAUSE_S = 1.0

AsyncFn = Callable[..., Awaitable[object]]


def _name(async_fn: AsyncFn, name: str | None) -> str:
    return name or str(getattr(async_fn, "__name__", async_fn))


def mend() -> None:
    """Confine the failure of a service's task to that task."""
    run_task = TrioManager.run_task

    def guarded_run_task(
        self: TrioManager,
        async_fn: AsyncFn,
        *args: object,
        daemon: bool = False,
        name: str | None = None,
        _internal: bool = False,
    ) -> None:
        if daemon or _internal:  # daemons are guarded below; the service's own run() may end the service
            run_task(self, async_fn, *args, daemon=daemon, name=name, _internal=_internal)
            return
        label = _name(async_fn, name)

        async def once(*once_args: object) -> None:
            try:
                await async_fn(*once_args)
            except Exception as error:  # noqa: BLE001 - whatever a peer provoked ends here
                log.debug("service_task_failed", task=label, error=repr(error))

        run_task(self, once, *args, name=label)

    def guarded_run_daemon_task(self: TrioManager, async_fn: AsyncFn, *args: object, name: str | None = None) -> None:
        label = _name(async_fn, name)

        async def restarted(*daemon_args: object) -> None:
            while True:
                try:
                    await async_fn(*daemon_args)
                    return
                except Exception as error:  # noqa: BLE001 - a daemon must outlive its failures
                    log.warning("service_daemon_failed", task=label, error=repr(error), restart_in_s=RESTART_PAUSE_S)
                    await trio.sleep(RESTART_PAUSE_S)

        run_task(self, restarted, *args, daemon=True, name=label)

    TrioManager.run_task = guarded_run_task
    TrioManager.run_daemon_task = guarded_run_daemon_task
