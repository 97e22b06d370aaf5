"""What an integration says where the program that it is for is not installed, or too old."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: what stands in the place of Airflow
ABSENT = "sys.modules['airflow'] = None"
OLD = "import types; sys.modules.update({name: types.ModuleType(name) for name in ('airflow', 'airflow.sdk')})"


@pytest.mark.parametrize("airflow", [ABSENT, OLD])
def test_airflow_is_missing(airflow: str) -> None:
    """The error names what to install; the provider's info, which Airflow asks for at its start, needs nothing."""
    code = f"""
import sys
{airflow}
import bulkio.integrations.airflow.provider
print(bulkio.integrations.airflow.provider.get_provider_info()["package-name"])
bulkio.integrations.airflow.BulkLoadOperator
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "bulkio\n"
    [line] = [line for line in done.stderr.splitlines() if line.startswith("ImportError: ")][-1:]
    assert line.startswith("ImportError: bulkio.integrations.airflow needs Airflow 3.3 (")
    assert line.endswith("): pip install 'bulkio[airflow]'")
