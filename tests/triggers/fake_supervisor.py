"""A fake supervisor of the triggerer, for XComs."""

from __future__ import annotations

import asyncio
import json


class FakeSupervisor:
    """The triggerer's supervisor: it answers requests about XComs, and no others."""

    def __init__(self):
        self.xcoms = {}
        self.mapped_lengths = {}
        self.is_unavailable = False

    async def asend(self, message):
        from airflow.sdk.execution_time import comms

        if isinstance(message, comms.GetXCom):
            assert message.map_index == -1
            return comms.XComResult(key=message.key, value=self.xcoms.get((message.task_id, message.key)))
        if isinstance(message, comms.SetXCom):
            if self.is_unavailable:
                raise RuntimeError("no API server")
            json.dumps(message.value)
            self.xcoms[message.task_id, message.key, message.map_index] = message.value
            self.mapped_lengths[message.key] = message.mapped_length
            return None
        if isinstance(message, comms.GetConnection):
            return comms.ErrorResponse()
        if isinstance(message, comms.MaskSecret):
            return None
        return await asyncio.get_running_loop().create_future()

    def send(self, message):
        """Accept the masking of secrets by tests; everything else would block the triggerer."""
        assert type(message).__name__ == "MaskSecret"
