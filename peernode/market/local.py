"""A job on this node's own engine, on the same terms as anywhere: an offer to itself, a receipt, a countersignature."""

from __future__ import annotations

import trio

from peernode.chat.errors import JobError, ProviderBusy
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens, Waiting
from peernode.chat.job import ChatJob
from peernode.market.delivery import Delivery
from peernode.market.desk import Ordered, ReceiptDesk
from peernode.market.patience import Patience, last_duties
from peernode.market.provider import Provider, Work
from peernode.market.streaming import Emit
from peernode.market.turns import next_event


class LocalRunner:
    """Producer over this node's own provider, for one order."""

    def __init__(self, *, provider: Provider, desk: ReceiptDesk, ordered: Ordered) -> None:
        self._provider = provider
        self._desk = desk
        self._ordered = ordered

    async def produce(self, job: ChatJob, emit: Emit) -> None:
        try:
            model, request = self._provider.consider(self._ordered.offer)
        except JobError as err:
            await emit(Failed(err))
            return
        delivery = Delivery()
        async with self._provider.work(self._ordered.offer, model, request, client=job.payer) as work:
            try:
                await emit(await self._relay(work, Patience.of(job, began=trio.current_time()), delivery, emit))
            except trio.Cancelled:
                with last_duties():
                    await self._wind_up(work, delivery)
                raise

    async def _relay(self, work: Work, patience: Patience, delivery: Delivery, emit: Emit) -> JobEvent:
        """Hand events on up to Finished; returns the stream's last event."""
        told = False
        while True:
            event: JobEvent | None = None
            until = patience.until(now=trio.current_time(), begun=delivery.begun)
            if delivery.begun:
                with trio.move_on_at(until):
                    event = await anext(work)
            else:
                event, told = await next_event(work, emit, at_once=not told, until=until), True
            if event is None:
                await self._settle_broken(work, delivery)
                return Failed(patience.too_late(now=trio.current_time(), begun=delivery.begun))
            match event:
                case Started(model_id=model_id, markup=markup):
                    await emit(Started(self._ordered.offer.provider, model_id, markup))
                case Tokens(text=text, ids=ids):
                    delivery.add(ids, text)
                    await emit(event)
                case Finished(reason=reason):
                    delivery.reason = reason
                    await emit(event)
                    return await self._settle(work, delivery)
                case Failed(error=error):
                    if isinstance(error, ProviderBusy) and error.retry_after_s is None:
                        error.retry_after_s = work.room_in()
                    await self._settle_broken(work, delivery)
                    return event
                case Waiting():
                    raise AssertionError("an engine says nothing while it waits")
                case Receipted():
                    return event

    async def _settle_broken(self, work: Work, delivery: Delivery) -> None:
        """The answer broke off here; who goes on with it uses what there is, so that much is signed for."""
        signed = await work.sign_broken()
        if signed is not None:
            delivery.reason = signed.receipt.finish_reason
            await self._desk.take(signed.raw, self._ordered, delivery.sealed())

    async def _wind_up(self, work: Work, delivery: Delivery) -> None:
        """The client left: stop the sequence, and sign for exactly what was handed on."""
        work.cancel()
        while not delivery.reason:
            match await anext(work):
                case Tokens(text=text, ids=ids):
                    delivery.add(ids, text)
                case Finished(reason=reason):
                    delivery.reason = reason
                case Failed():
                    return
                case Started() | Waiting() | Receipted():
                    pass
        await self._settle(work, delivery)

    async def _settle(self, work: Work, delivery: Delivery) -> Receipted | Failed:
        signed = await work.sign()
        return await self._desk.take(signed.raw, self._ordered, delivery.sealed())
