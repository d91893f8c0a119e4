#!/bin/sh
# deploy.sh ENV SHA: bring the site of this checkout to $DEPLOY_TARGET/ENV.
#
# Every release has a folder of its own; the link `current` names the one that is live. A web server
# would have $DEPLOY_TARGET/ENV/current as its root.
set -eu

say() { echo "$*"; sleep 0.15; }
fail() { echo "deploy.sh: $*" >&2; exit 1; }

[ $# -eq 2 ] || fail "usage: deploy.sh ENV SHA"
env=$1
sha=$2
[ -n "${DEPLOY_TARGET:-}" ] || fail "DEPLOY_TARGET is not set; it must name the folder to deploy to"
[ -d "$DEPLOY_TARGET" ] || fail "the target folder $DEPLOY_TARGET does not exist; create it, or set DEPLOY_TARGET"

home=$DEPLOY_TARGET/$env
release=$home/releases/$sha

say "deploying $sha to $env"
say "target: $home"
mkdir -p "$release"
say "copying the site:"
for file in site/*; do
  cp -R "$file" "$release/"
  say "  $file ($(wc -c < "$file" | tr -d ' ') bytes)"
done
echo "$sha" > "$release/REVISION"
say "switching current: $(readlink "$home/current" || echo nothing) -> releases/$sha"
ln -sfn "releases/$sha" "$home/current"
say "checking what is live"
[ "$(cat "$home/current/REVISION")" = "$sha" ] || fail "current is not $sha"
say "done: $env serves $sha"
