#!/bin/sh
# Runs the interoperability suite against $MREG (default: .build/debug/mreg), which must be built. Arguments go to pytest.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
"$here/make-venvs.sh"
exec "$here/../../.venv/current/bin/python" -m pytest "$here" "$@"
