"""A triggerer's supervisor for tests, as far as XComs go."""

from __future__ import annotations

import asyncio
import json


class Supervisor:
    """The triggerer's supervisor, as far as XComs go; what it does not know it does not answer."""

    def __init__(self):
        self.xcoms = {}
        self.lengths = {}
        self.broken = False

    async def asend(self, message):
        from airflow.sdk.execution_time import comms

        if isinstance(message, comms.GetXCom):
            assert message.map_index == -1
            return comms.XComResult(key=message.key, value=self.xcoms.get((message.task_id, message.key)))
        if isinstance(message, comms.SetXCom):
            if self.broken:
                raise RuntimeError("no API server")
            json.dumps(message.value)
            self.xcoms[message.task_id, message.key, message.map_index] = message.value
            self.lengths[message.key] = message.mapped_length
            return None
        if isinstance(message, comms.GetConnection):
            return comms.ErrorResponse()
        if isinstance(message, comms.MaskSecret):
            return None
        return await asyncio.get_running_loop().create_future()

    def send(self, message):
        """Masks what the test itself asks for; nobody else may block the triggerer."""
        assert type(message).__name__ == "MaskSecret"
