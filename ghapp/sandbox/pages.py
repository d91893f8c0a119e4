"""The pages of GitHub that set-up sends a browser to: registering an App from a manifest, and installing it.

One person is signed in, whoever asks: `World.browser`.
"""

import re
from html import escape
from urllib.parse import urlencode

from aiohttp import web

from . import accounts, manifests
from .state import Account, App
from .world import World

PATH = re.compile(
    r"(/organizations/(?P<org>[^/]+))?/settings/apps/(?P<register>new|manifest)"
    r"|/apps/(?P<slug>[^/]+)(?P<install>/installations/new)?"
)


async def serve(request: web.Request, world: World) -> web.StreamResponse:
    """Answer a browser; the request's path matches PATH."""
    match = PATH.fullmatch(request.path)
    if match is None:
        return _page("Not Found", "", 404)
    own_form = match["register"] == "manifest" or match["install"]
    if own_form and request.method == "POST" and request.headers.get("Origin", world.url) != world.url:
        return _page("This form was sent by another site.", "", 403)
    form = {name: str(value) for name, value in (await request.post()).items()}
    if match["slug"]:
        return _app_page(world, match["slug"], form if request.method == "POST" else None, bool(match["install"]))
    owner = _owner(world, match["org"])
    if owner is None:
        return _page("Not Found", "", 404)
    try:
        if match["register"] == "manifest" and request.method == "POST":
            return _registered(world, owner, form)
        return _register_page(request, world, owner, form)
    except manifests.Invalid as error:
        return _page("Invalid GitHub App configuration", f"<p>Error {escape(str(error))}</p>", 422)


def _owner(world: World, organization: str | None) -> Account | None:
    """The person who is signed in, or the organization if it is theirs."""
    if organization is None:
        return accounts.add_person(world, world.browser)
    known = world.state.account(organization)
    owned = world.browser.lower() in world.state.owners.get(organization.lower(), ())
    return known if owned else None


def _register_page(request: web.Request, world: World, owner: Account, form: dict[str, str]) -> web.Response:
    if "manifest" not in form:
        return _page("Register new GitHub App", "<p>Send a manifest to have it filled in.</p>")
    manifest = manifests.parsed(form["manifest"], public_internet=world.public_internet)
    action = escape(request.path.removesuffix("new") + "manifest")
    return _page(
        "Create GitHub App",
        f'<form method="post" action="{action}">'
        f'<input type="hidden" name="manifest" value="{escape(form["manifest"])}">'
        f'<input type="hidden" name="state" value="{escape(request.query.get("state", ""))}">'
        f'<label>GitHub App name <input name="name" value="{escape(manifest.get("name", ""))}"></label> '
        f"<button>Create GitHub App for {escape(owner.login)}</button></form>",
    )


def _registered(world: World, owner: Account, form: dict[str, str]) -> web.Response:
    manifest = manifests.parsed(form.get("manifest", ""), public_internet=world.public_internet)
    code = manifests.register(world, owner, manifest, form.get("name", ""))
    back = manifest.get("redirect_url")
    if back is None:
        return _page("The App was created.", "")
    query = {"code": code} | ({"state": form["state"]} if form.get("state") else {})
    return _to(back, query)


def _app_page(world: World, slug: str, chosen: dict[str, str] | None, installing: bool) -> web.Response:
    app = next((app for app in world.state.apps.values() if app.slug == slug), None)
    if app is None:
        return _page("Not Found", "", 404)
    if not installing:
        return _page(app.name or app.slug, f'<p><a href="/apps/{escape(slug)}/installations/new">Install</a></p>')
    owned = _owner(world, app.owner.login if app.owner.type == "Organization" else None)
    if owned != app.owner:
        return _page("Not Found", "", 404)
    return _install_page(world, app, chosen)


def _install_page(world: World, app: App, chosen: dict[str, str] | None) -> web.Response:
    """A private App is installed on its owner's account only."""
    mine = [repo for repo in world.state.repositories.values() if repo.owner.id == app.owner.id]
    if chosen is None:
        box = '<label><input type="checkbox" name="{0}"> {0}</label><br>'
        boxes = "".join(box.format(escape(repo.full_name)) for repo in mine)
        return _page(f"Install {app.name or app.slug}", f'<form method="post">{boxes}<button>Install</button></form>')
    repositories = [repo for repo in mine if repo.full_name in chosen]
    if not repositories:
        return _page("Select at least one repository.", "", 422)
    made = accounts.install(world, app.id, repositories)
    if app.setup_url is None:
        return _page(f"{app.name or app.slug} is installed.", "")
    return _to(app.setup_url, {"installation_id": str(made.id), "setup_action": "install"})


def _to(url: str, query: dict[str, str]) -> web.Response:
    mark = "&" if "?" in url else "?"
    return web.Response(status=302, headers={"Location": f"{url}{mark}{urlencode(query)}"})


def _page(title: str, body: str, status: int = 200) -> web.Response:
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
    text = f"{head}<p><em>Sandbox GitHub</em></p><h1>{escape(title)}</h1>{body}"
    return web.Response(text=text, status=status, content_type="text/html")
