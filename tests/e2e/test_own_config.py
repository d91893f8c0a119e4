"""What a repository defines itself, with real processes: heard of by its push, run only by a runner that names it."""

from tests.e2e.hosts import REPOSITORY
from tests.e2e.people import until
from tests.e2e.rig import World

PATH = ".github/kedge.yml"


async def test_a_repository_configures_itself(quiet: World) -> None:
    await quiet.start()
    quiet.github.commit(REPOSITORY, "main", {PATH: 'web: {deploy: "echo own {env}", checks: []}'})
    await until(lambda: known(quiet), "web is in force")
    deployment = quiet.deploy("production", payload={"app": "web"})
    wanted = f"No runner accepts what {REPOSITORY} defines itself"
    await until(lambda: any(wanted in said for said in told(quiet, deployment)), lambda: str(told(quiet, deployment)))
    await quiet.start_runner("r2", "work2", KEDGE_RUNNER_APPS=REPOSITORY)
    await quiet.shows(deployment, "success")
    broken = quiet.github.commit(REPOSITORY, "main", {PATH: "web: {deplox: x}"})
    await until(lambda: "error line 1: web.deplox" in shown(quiet, broken), lambda: shown(quiet, broken))
    assert await known(quiet)


async def known(world: World) -> bool:
    apps = (await world.get("/api/0/apps"))["items"]
    return {app["name"]: app["defined_in"] for app in apps} == {"hello": "operator", "web": "repository"}


def told(world: World, deployment: int) -> list[str]:
    return [status.description for status in world.github.statuses(deployment)]


def shown(world: World, sha: str) -> str:
    """What Kedge shows at a commit."""
    checks = world.github.world.state.checks_of(world.github.world.repository(REPOSITORY), sha)
    return "; ".join(f"{one.state} {one.description}" for one in checks.statuses if one.context == "kedge/config")
