"""What Airflow reads of this package at its start. Imports nothing."""

from __future__ import annotations

__all__ = ["get_provider_info"]

_PACKAGE = "bulkio.integrations.airflow"
_NAME = "bulkio"
_OPERATORS = [f"{_PACKAGE}.{name}" for name in ("load", "export", "pipeline")]


def get_provider_info() -> dict[str, object]:
    """Return the provider's description. It has no connection type of its own: the hook takes `postgres`."""
    return {
        "package-name": "bulkio",
        "name": _NAME,
        "description": "Bulk loads into PostgreSQL and exports out of it through COPY, each exactly once.",
        "integrations": [{"integration-name": _NAME, "external-doc-url": "https://pypi.org/project/bulkio/"}],
        "operators": [
            {
                "integration-name": _NAME,
                "python-modules": [f"{_PACKAGE}.{name}" for name in ("load", "export", "pipeline")],
            }
        ],
        "hooks": [{"integration-name": _NAME, "python-modules": [f"{_PACKAGE}.hook"]}],
    }
