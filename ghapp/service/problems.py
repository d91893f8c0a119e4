"""Refusals of the service, as every door shows them."""

from ghapp.core import sentences, states
from ghapp.store.base import Refusal
from ghapp.store.deploys import Deploy

#: code -> HTTP status (RFC 9110).
CODES = {
    "bad_request": 400,
    "checks_failed": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "lease_over": 409,
    "claim_over": 409,
    "too_late": 409,
    "declared_dead": 410,
    "too_large": 413,
    "invalid": 422,
    "locked": 423,
    "wire_version": 426,
    "range_not_satisfiable": 416,
    "rate_limited": 429,
    "provider": 502,
    "unavailable": 503,
}


class Problem(Refusal):
    """Something was asked that cannot be done; nothing was changed. ``code`` is one of `CODES`."""

    def __init__(self, code: str, message: str, *, hint: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.facts = {name: value for name, value in facts.items() if value is not None}


def of_step(step: states.Step, deploy: Deploy) -> Problem:
    """The refusal that a table cell asks for, naming deploy, state, who and when."""
    code = step.error or "conflict"
    who: str | None = None
    when: int | None = None
    message = f"{deploy.name} is {deploy.state.value}; this cannot be done now."
    if code == "declared_dead":
        who, when = deploy.declared_dead_by, deploy.ended_at
        message = f"{deploy.name} was {sentences.declared_dead(who or 'somebody')}."
    elif code == "lease_over":
        message = f"This lease of {deploy.name} is over."
        who, when = deploy.cancel_requested_by, deploy.ended_at
    elif code == "too_late":
        message = sentences.too_late(deploy.name, deploy.state)
        when = deploy.ended_at
    return Problem(code, message, deploy=deploy.name, state=deploy.state.value, who=who, when=when)
