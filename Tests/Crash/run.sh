#!/bin/sh
# Runs the three crash rigs in their short form (about a minute) against the given mreg (default: .build/debug/mreg).
# Everything must be well in each of them. Needs python3 (3.11) and gcc.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mreg=${1:-$here/../../.build/debug/mreg}
python3 "$here/kill_loop.py" --mreg "$mreg" --rounds 40
python3 "$here/replay.py" --mreg "$mreg" --states 1500 --self-test
python3 "$here/locks.py" --mreg "$mreg" --seconds 8
