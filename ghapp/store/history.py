"""The history of deploys, page by page: what a page costs does not depend on how much there is."""

from collections.abc import Sequence

from ghapp.store.base import Tx
from ghapp.store.deploys import SELECT, Deploy, from_row


async def page(
    tx: Tx,
    environment_ids: Sequence[int],
    *,
    state: str | None = None,
    user: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Deploy]:
    """Deploys of the environments, newest first, from below the id ``before``."""
    if not environment_ids:
        return []
    given: dict[str, object] = {"before": (1 << 62) if before is None else before, "limit": limit}
    conditions = ""
    for name, value in (("state", state), ("user", user)):
        if value is not None:
            conditions += f' AND "{name}" = :{name}'
            given[name] = value
    # The newest of each environment by an index made for just these conditions, and of them the newest. Asked for
    # all environments at once, a database reads through those that are busy to find what another one has.
    each = " UNION ALL ".join(
        f"""SELECT * FROM (SELECT id FROM deploys WHERE environment_id = :e{place}{conditions} AND id < :before
            ORDER BY id DESC LIMIT :limit) AS e{place}"""
        for place in range(len(environment_ids))
    )
    rows = await tx.all(
        f"{SELECT} WHERE d.id IN (SELECT id FROM ({each}) AS newest ORDER BY id DESC LIMIT :limit) ORDER BY d.id DESC",
        **{f"e{place}": one for place, one in enumerate(environment_ids)},
        **given,
    )
    return [from_row(row) for row in rows]
