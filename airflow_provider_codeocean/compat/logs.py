"""Hiding secrets in Airflow's logs."""

from __future__ import annotations


async def mask_secret_async(secret: str) -> None:
    """Hide a text in logs, from within an event loop.

    Before 3.3.2, Airflow tells its supervisor in a call that must not be made in the loop itself.

    :param secret: the text.
    """
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        from airflow.providers.common.compat.sdk import mask_secret
        from asgiref.sync import sync_to_async

        await sync_to_async(mask_secret)(secret)
    else:
        await amask_secret(secret)
