"""What metrics count: for each environment, how deploys ended, and histograms of how long things took."""

from collections.abc import Sequence
from dataclasses import dataclass

from ghapp.store.base import Tx

#: Of a histogram, the label under which its values are added up, in ms.
SUM = "sum"
#: … and under which those are counted that are above every bound.
ABOVE = "+Inf"


@dataclass(frozen=True, slots=True)
class Total:
    app: str
    environment: str
    name: str
    label: str
    count: int


async def add(tx: Tx, environment_id: int, name: str, label: str, count: int = 1) -> None:
    await tx.run(
        """INSERT INTO totals (environment_id, name, label, count) VALUES (:environment_id, :name, :label, :count)
           ON CONFLICT (environment_id, name, label) DO UPDATE SET count = totals.count + excluded.count""",
        environment_id=environment_id,
        name=name,
        label=label,
        count=count,
    )


async def observe(tx: Tx, environment_id: int, name: str, bounds_s: Sequence[float], value_ms: int) -> None:
    """One more value of a histogram: counted at the smallest bound (seconds) that it does not exceed."""
    bound = next((f"{bound:g}" for bound in bounds_s if value_ms <= bound * 1000), ABOVE)
    await add(tx, environment_id, name, bound)
    await add(tx, environment_id, name, SUM, value_ms)


async def every(tx: Tx) -> list[Total]:
    rows = await tx.all(
        """SELECT a.name AS app, e.name AS environment, t.name, t.label, t.count FROM totals t
           JOIN environments e ON e.id = t.environment_id JOIN apps a ON a.id = e.app_id
           ORDER BY a.name, e.name, t.name"""
    )
    return [Total(**row) for row in rows]
