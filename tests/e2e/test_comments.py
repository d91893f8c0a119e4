"""End to end: a command in a comment on a pull request, with the real app and a real runner."""

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import until
from tests.e2e.rig import World


async def test_a_comment_deploys_the_head_of_its_pull_request(small: World) -> None:
    github = small.github
    sha = small.script('test "$KEDGE_REF" = feature && echo "deploying $2 to $1"\n', branch="feature")
    pull = github.open_pull_request(REPOSITORY, "feature", by="ana")
    pushed = github.world.clock() // 1000
    await until(lambda: github.world.clock() // 1000 > pushed, "the next second begins")
    comment = github.comment(REPOSITORY, pull.number, "/deploy to staging", by="ana")
    await until(lambda: "rocket" in github.reactions(comment.id), lambda: f"the deploy succeeds\n{small.says()}")
    deploy = await small.number(1)
    assert (deploy["sha"], deploy["ref"], deploy["door"], deploy["state"]) == (sha, "feature", "comment", "succeeded")
    await until(
        lambda: "Succeeded" in github.comments(REPOSITORY, pull.number)[-1].body,
        lambda: f"its comment says so\n{small.says()}",
    )
    _, told = github.comments(REPOSITORY, pull.number)
    assert told.author.login == "kedge[bot]"
    assert sha[:7] in told.body
    assert deploy["url"] in told.body
