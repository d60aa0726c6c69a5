"""Listeners hear of streams in the task that opened them, and a defect of one is nobody else's."""

import trio


class Listener:
    def __init__(self, heard, defect=None):
        self._heard, self._defect = heard, defect

    async def opened_stream(self, network, stream):
        self._heard.append(trio.lowlevel.current_task())
        if self._defect:
            raise self._defect

    async def closed_stream(self, network, stream):
        self._heard.append(stream)

    async def ignored(self, *args):
        pass

    connected = disconnected = listen = listen_close = ignored


async def test_streams_are_announced_without_tasks(start_host, dial, open_stream):
    with trio.fail_after(20):
        async with start_host() as server, start_host() as client:
            await dial(client, server)
            first, second = [], []
            client.get_network().register_notifee(Listener(first, ValueError("of a listener")))
            client.get_network().register_notifee(Listener(second))
            stream = await open_stream(client, server)
            assert trio.lowlevel.current_task() in first
            assert trio.lowlevel.current_task() in second
            await stream.reset()
            while stream not in second:
                await trio.sleep(0.01)
