"""The description of the provider, which every process of Airflow reads: it imports nothing heavy."""

from __future__ import annotations

from typing import Any

#: The connection's extras, as the form shows them.
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "verify": {
        "label": "Verify TLS",
        "description": "true (the default), false, or the path of a file or folder of certificates to trust",
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Timeout",
        "description": "Seconds to connect, and to wait for each part of a response; 30 if left empty",
        "schema": {"type": ["string", "null"]},
    },
    "proxy": {
        "label": "Proxy",
        "description": "Address of a proxy, such as http://proxy.example.com:3128",
        "schema": {"type": ["string", "null"]},
    },
    "token_grace": {
        "label": "Grace for a refused token",
        "description": "Seconds for which waits tolerate a refused access token; 600 if left empty",
        "schema": {"type": ["string", "null"]},
    },
    "require_tls": {
        "label": "Require TLS",
        "description": "true refuses http:// and hosts that are not verified; otherwise a warning is logged",
        "schema": {"type": ["string", "null"]},
    },
}

#: The options in Airflow's configuration, for all connections.
CONFIG: dict[str, dict[str, Any]] = {
    "codeocean": {
        "description": "Options of the Code Ocean provider for all its connections.",
        "options": {
            "require_tls": {
                "description": "Refuse connections to Code Ocean and to hosts of files that are not "
                "encrypted or not verified, except to this machine. No connection can override this.",
                "version_added": None,
                "type": "boolean",
                "example": "True",
                "default": "False",
            },
            "namespace": {
                "description": "A name for this Airflow. If several use the same Code Ocean, with DAGs, "
                "runs, and tasks of the same ids, each needs its own: it is part of the key by which a "
                "task finds its job after a failure. Change it only while no task is running.",
                "version_added": None,
                "type": "string",
                "example": "production",
                "default": "",
            },
        },
    }
}

#: The standard fields that the form hides, and the names and hints of those that it shows. The field
#: ``extra`` stays: without it, the button to test a connection does nothing in Airflow 2.
UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["login", "port", "schema"],
    "relabeling": {"host": "Host", "password": "Access token"},
    "placeholders": {
        "host": "https://codeocean.example.com",
        "password": "cop_…",
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, as Airflow's provider manager wants it."""
    from airflow_provider_codeocean import __version__

    integration = "Code Ocean"
    package = "airflow_provider_codeocean"

    def modules(kind: str, *names: str) -> list[dict[str, Any]]:
        return [
            {
                "integration-name": integration,
                "python-modules": [f"{package}.{kind}.{name}" for name in names],
            }
        ]

    # Without a handler, Airflow would take notice of none of them.
    asset_uris = [
        {
            "schemes": ["codeocean"],
            "handler": f"{package}.assets.sanitize_uri",
            "factory": f"{package}.assets.create_asset",
            "to_openlineage_converter": f"{package}.assets.convert_asset_to_openlineage",
        }
    ]
    return {
        "package-name": "airflow-provider-codeocean",
        "name": integration,
        "description": "`Code Ocean <https://codeocean.com/>`__: results of computations as data assets.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://docs.codeocean.com/user-guide/code-ocean-api",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": integration, "python-modules": [f"{package}.hooks.codeocean"]}],
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
                "hook-class-name": f"{package}.hooks.codeocean.CodeOceanHook",
                "hook-name": integration,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
        "extra-links": [
            f"{package}.links.{name}" for name in ("CodeOceanCapsuleLink", "CodeOceanDataAssetLink")
        ],
        "config": CONFIG,
        "asset-uris": asset_uris,
        "dataset-uris": asset_uris,  # as Airflow 2 calls them
    }
