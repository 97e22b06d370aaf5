"""Which errors a task is tried again after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import RetryDecision, RetryPolicy

from bulkio.errors import BulkioError

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["BulkioRetryPolicy"]


class BulkioRetryPolicy(RetryPolicy):
    """Try again what may succeed later (a lost connection, a deadlock); fail at once where it cannot (the data).

    Each error of bulkio's says of itself which it is (`retryable`). All others are Airflow's own business.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - the signature is Airflow's
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Return what is to become of a task that an error has ended."""
        if not isinstance(exception, BulkioError) or exception.retryable:
            return RetryDecision.default()
        return RetryDecision.fail(f"{type(exception).__name__} is no passing fault: another try would end the same way")

    def serialize(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {"__type": type(self).__name__}

    @classmethod
    def deserialize(cls, data: dict[str, object]) -> BulkioRetryPolicy:  # noqa: ARG003
        """Return what `serialize` has told."""
        return cls()
