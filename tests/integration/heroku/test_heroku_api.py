"""What Heroku's rate limit and broken connections do, with a client whose waits are short."""

import pytest

from ghapp.vcs.session import open_session
from runner.heroku_api import TRIES, Heroku, HerokuError
from tests.integration.heroku.stand_in import APP, KEY, serving


@pytest.mark.parametrize("limited", [1, TRIES - 1])
async def test_a_limit_is_waited_for(limited: int) -> None:
    async with serving() as heroku, open_session() as session:
        heroku.limited = limited
        client = Heroku(session, url=heroku.url, key=KEY, app=APP, try_again_s=0.0001)
        assert "source_blob" in await client.ask("POST", "/sources")


async def test_a_limit_that_lasts_is_told() -> None:
    async with serving() as heroku, open_session() as session:
        heroku.limited = TRIES
        client = Heroku(session, url=heroku.url, key=KEY, app=APP, try_again_s=0.0001)
        with pytest.raises(HerokuError, match="rate limit is used up"):
            await client.ask("POST", "/sources")
