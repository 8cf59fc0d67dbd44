#!/bin/sh
# Makes the two virtual environments of the interoperability suite under DIR (default: .venv at the repository root).
# Does nothing for one whose requirements have not changed since it was made.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
directory=${1:-$here/../../.venv}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

for name in current legacy; do
    requirements=$here/requirements-$name.txt
    wanted=$(sha256sum < "$requirements")
    stamp=$directory/$name/requirements.sha256
    if [ "$(cat "$stamp" 2> /dev/null)" = "$wanted" ]; then
        echo "$directory/$name: up to date"
        continue
    fi
    echo "$directory/$name: installing $requirements"
    python3 -m venv --clear "$directory/$name"
    "$directory/$name/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    echo "$wanted" > "$stamp"
done
