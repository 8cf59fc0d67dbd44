#!/bin/sh
# Runs the two pacing rigs in their short form (a minute and a half) against the given mreg (default: .build/debug/mreg).
# Everything must be well in each of them. Needs python3 (3.11).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mreg=${1:-$here/../../.build/debug/mreg}
python3 "$here/fairness.py" --mreg "$mreg" --quick
python3 "$here/hostile.py" --mreg "$mreg" --quick
