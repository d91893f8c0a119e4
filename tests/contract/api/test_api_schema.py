"""The API does what its document says, whatever it is asked: no 5xx, and no answer outside the schema.

``KEDGE_FUZZ=5000`` makes as many cases, for a look that takes its time.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ghapp.api import openapi
from ghapp.api.routes import ROUTES
from tests.contract.api.server import Served, served

#: aiohttp reads 8190 bytes of a line.
LONGEST_URL = 8000
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EVERY_TIME_THE_SAME = settings(
    database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
#: Cases for each operation, token, way of making them, and choice of path.
EACH = max(1, int(os.environ.get("KEDGE_FUZZ", "0")) // (len(ROUTES) * 8))


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The document, in which no object holds more than it says."""
    closed = copy.deepcopy(document)
    for schema in closed["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return closed


SCHEMA = schemathesis.openapi.from_dict(strict(openapi.document(ROUTES)))
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
@pytest.mark.parametrize("signed_in", [True, False], ids=["token", "open"])
def test_whatever_is_asked_the_answer_is_in_the_schema(
    server: Served, operation: APIOperation[Any, Any, Any, Any], signed_in: bool
) -> None:
    known = {"app": "shop", "number": 4, "id": server.running, "env": "production", "sha": "aaaaaaa"}
    names = {one["name"] for one in operation.definition.raw.get("parameters", ()) if one["in"] == "path"}
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        for paths in ({name: known[name] for name in names}, None):
            _fuzz(server, operation, mode, paths, signed_in)


def _fuzz(
    server: Served,
    operation: APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    paths: dict[str, Any] | None,
    signed_in: bool,
) -> None:
    headers = {"Authorization": f"Bearer {_token(server, operation)}"} if signed_in else {}

    @seed(20261123)
    @settings(EVERY_TIME_THE_SAME, max_examples=EACH)
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=paths))
    def check(case: Case[Any]) -> None:
        case.headers.pop("Authorization", None)
        answer = case.call(base_url=server.url, headers=headers, timeout=20)
        if len(answer.request.url or "") > LONGEST_URL:  # refused before it is a request of anything
            assert answer.status_code == 400
        else:
            case.validate_response(answer, checks=CHECKS)

    with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():  # nothing can be wrong there
        check()


def _token(server: Served, operation: APIOperation[Any, Any, Any, Any]) -> str | None:
    if operation.path.endswith("/runner/claim"):
        return server.tokens["runner"]
    return server.lease if "/runner/" in operation.path else server.tokens["all"]
