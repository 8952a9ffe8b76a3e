#!/usr/bin/env bash
# Runs the Python tests with every pinned set of clients: one environment each, kept in .venv/ and made anew when its list changes.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
# The relay runs on the bundled Node.
export PATH="$root/node_modules/.bin:$PATH"

for list in "$here"/requirements/*.txt; do
  name="$(basename "$list" .txt)"
  venv="$root/.venv/$name"
  if ! cmp -s "$list" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$list"
    cp "$list" "$venv/installed.txt"
  fi
  printf '\n-- python tests with %s\n' "$(grep '^openai==' "$list")"
  # pytest ends with 5 when it ran no test, and so does this script.
  "$venv/bin/python" -m pytest -q -p no:cacheprovider --rootdir "$here" "$here" "$@"
done
