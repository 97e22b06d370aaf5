"""What the user asks for. Each option is defined once, as a field of a request.

The functions of the API, their docstrings, the options of the command line and docs/cli.md are all made from the fields
of the requests. Imports neither pyarrow nor a driver: the command line reads it
before it knows what it is to do.
"""

from bulkio.options.asking import ConnectionRequest, DoctorRequest, ExecuteRequest, PoolRequest, QueryRequest
from bulkio.options.calls import described, refuse_wrong_call, taking
from bulkio.options.faces import options_of
from bulkio.options.ledgers import (
    DdlRequest,
    ForgetRequest,
    GcRequest,
    LedgerRequest,
    RecordRequest,
    ResumeRequest,
    RunRecordRequest,
    RunsRequest,
)
from bulkio.options.loading import LoadRequest
from bulkio.options.option import GROUPS, Option, OptionField, fields_of
from bulkio.options.params import Param, param_text
from bulkio.options.reading import ExportRequest, ReadRequest
from bulkio.options.sources import ScanRequest, WriteRequest
from bulkio.options.templates import PLACEHOLDERS

__all__ = [
    "GROUPS",
    "PLACEHOLDERS",
    "ConnectionRequest",
    "DdlRequest",
    "DoctorRequest",
    "ExecuteRequest",
    "ExportRequest",
    "ForgetRequest",
    "GcRequest",
    "LedgerRequest",
    "LoadRequest",
    "Option",
    "OptionField",
    "Param",
    "PoolRequest",
    "QueryRequest",
    "ReadRequest",
    "RecordRequest",
    "ResumeRequest",
    "RunRecordRequest",
    "RunsRequest",
    "ScanRequest",
    "WriteRequest",
    "described",
    "fields_of",
    "options_of",
    "param_text",
    "refuse_wrong_call",
    "taking",
]
