"""Only a provider's own files know which host it is."""

import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The host's own files, its sandbox, set-up, settings, and where concrete classes are put together.
OWN = (
    "ghapp/vcs/github",
    "ghapp/sandbox/",
    "ghapp/config.py",
    "ghapp/config_github.py",
    "ghapp/credentials.py",
    "ghapp/service/setting_up.py",
    "ghapp/web/setup.py",
    "ghapp/app.py",
    "ghapp/providers.py",
    "ghapp/vcs/registry.py",
    "ghapp/__main__.py",
)
#: Names that are public, and what is said to people. None of it decides anything.
SAID = {
    "ghapp/apps.py": [
        'PROVIDERS: dict[str, tuple[re.Pattern[str], str] | None] = {"github": _OWNER_NAME, "git": None}'
    ],
    "ghapp/check_config.py": ['PLACES = ("apps.yml", ".github/kedge.yml")'],
    "ghapp/core/own_config.py": ['PATH = ".github/kedge.yml"'],
    "ghapp/core/timeline.py": ['Door.DEPLOYMENT: "as a GitHub deployment",'],
    "ghapp/core/values.py": ['DEPLOYMENT = "github"'],
}


def test_nobody_else_asks_whether_it_is_github() -> None:
    found = {}
    for path in sorted([*ROOT.glob("ghapp/**/*.py"), *ROOT.glob("runner/**/*.py")]):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(OWN):
            continue
        lines = [line for line in _code_about_github(path.read_text()) if line not in SAID.get(name, [])]
        if lines:
            found[name] = lines
    assert found == {}


def _code_about_github(source: str) -> list[str]:
    """Lines that name GitHub in code: not in comments, nor in strings that are statements by themselves."""
    lines, before = [], tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        begins = before in {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.COMMENT}
        documents = token.type == tokenize.STRING and begins and token.string.startswith('"""')
        if token.type in {tokenize.NAME, tokenize.STRING} and not documents and "github" in token.string.lower():
            lines.append(token.line.strip())
        before = token.type
    return list(dict.fromkeys(lines))
