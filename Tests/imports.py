"""Every import must be declared by its target: an incremental build finds modules that a clean one does not."""

import json
import pathlib
import re
import subprocess
import sys

IMPORT = re.compile(r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:package|public|internal|private|fileprivate)\s+)?import\s+(?:(?:struct|class|enum|protocol|func)\s+)?(\w+)")

package = json.loads(subprocess.check_output(["swift", "package", "dump-package"]))
declared = {
    target["name"]: {next(iter(dependency.values()))[0] for dependency in target["dependencies"]} for target in package["targets"]
}
ours = set(declared).union(*declared.values())

undeclared = []
for target in package["targets"]:
    folder = target.get("path") or f"{'Tests' if target['type'] == 'test' else 'Sources'}/{target['name']}"
    for file in sorted(pathlib.Path(folder).rglob("*.swift")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            found = IMPORT.match(line)
            if found and found[1] in ours - declared[target["name"]] - {target["name"]}:
                undeclared.append(f"{file}:{number}: {target['name']} imports {found[1]}, which Package.swift does not give it")

print("\n".join(undeclared), file=sys.stderr, end="\n" if undeclared else "")
sys.exit(1 if undeclared else 0)
