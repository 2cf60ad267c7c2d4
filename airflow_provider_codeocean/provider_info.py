"""Metadata of the provider. Every Airflow process reads it, so it imports nothing heavy."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_codeocean"
_INTEGRATION = "Code Ocean"


def _connection_field(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


#: The extras of the connection, as the connection form shows them.
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "verify": _connection_field(
        "Verify TLS", "true (default), false, or the path of a file or folder of certificates to trust"
    ),
    "timeout": _connection_field(
        "Timeout", "Seconds to connect, and to wait for each part of a response. Default: 30"
    ),
    "proxy": _connection_field("Proxy", "URL of a proxy, such as http://proxy.example.com:3128"),
    "token_grace_period": _connection_field(
        "Token grace period",
        "Seconds for which waiting tasks tolerate HTTP 401, so that you can rotate the token. Default: 600",
    ),
    "require_tls": _connection_field(
        "Require TLS",
        "true rejects unencrypted or unverified connections (except loopback); otherwise a warning is logged",
    ),
}

#: The options in Airflow's configuration, which apply to all connections.
CONFIG: dict[str, dict[str, Any]] = {
    "codeocean": {
        "description": "Options of the Code Ocean provider for all its connections.",
        "options": {
            "require_tls": {
                "description": "Reject unencrypted or unverified connections to Code Ocean and to hosts of "
                "files (except loopback). Connections cannot override this.",
                "version_added": None,
                "type": "boolean",
                "example": "True",
                "default": "False",
            },
            "namespace": {
                "description": "Name of this Airflow deployment. If several Airflow deployments use the same "
                "Code Ocean deployment with equal DAG, run, and task ids, give each its own: it is part of "
                "the idempotency key by which a task finds its job after a failure. Change it only while no "
                "task is running.",
                "version_added": None,
                "type": "string",
                "example": "production",
                "default": "",
            },
        },
    }
}

#: Standard fields that the connection form hides or relabels. ``extra`` stays: without it, the form's Test
#: button has no effect in Airflow 2.
UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["login", "port", "schema"],
    "relabeling": {"host": "Host", "password": "Access token"},
    "placeholders": {"host": "https://codeocean.example.com", "password": "cop_…"},
}


def get_provider_info() -> dict[str, Any]:
    """Return the metadata in the format of Airflow's provider manager."""
    from airflow_provider_codeocean import __version__

    def modules(kind: str, *names: str) -> list[dict[str, Any]]:
        return [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [f"{_PACKAGE}.{kind}.{name}" for name in names],
            }
        ]

    # Airflow ignores the factory and the converter of a scheme without a handler.
    asset_uris = [
        {
            "schemes": ["codeocean"],
            "handler": f"{_PACKAGE}.assets.sanitize_uri",
            "factory": f"{_PACKAGE}.assets.create_asset",
            "to_openlineage_converter": f"{_PACKAGE}.assets.convert_asset_to_openlineage",
        }
    ]
    return {
        "package-name": "airflow-provider-codeocean",
        "name": _INTEGRATION,
        "description": "`Code Ocean <https://codeocean.com/>`__: results of computations as data assets.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.codeocean.com/user-guide/code-ocean-api",
                "tags": ["service"],
            }
        ],
        "hooks": modules("hooks", "codeocean"),
        "operators": modules(
            "operators",
            "attachment",
            "computation",
            "data_asset",
            "files",
            "events",
            "permissions",
            "search",
            "transfer",
        ),
        "sensors": modules("sensors", "computation", "data_asset", "search", "transfer"),
        "triggers": modules(
            "triggers", "computation", "data_asset", "events", "search", "sensor", "transfer"
        ),
        "connection-types": [
            {
                "connection-type": "codeocean",
                "hook-class-name": f"{_PACKAGE}.hooks.codeocean.CodeOceanHook",
                "hook-name": _INTEGRATION,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
        "extra-links": [
            f"{_PACKAGE}.links.{name}" for name in ("CodeOceanCapsuleLink", "CodeOceanDataAssetLink")
        ],
        "config": CONFIG,
        "asset-uris": asset_uris,
        "dataset-uris": asset_uris,  # the key of Airflow 2
    }
