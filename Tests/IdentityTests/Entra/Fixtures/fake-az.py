"""Stands in for az: keeps a small directory in a file, and writes down what it was asked.

FAKE_AZ names a folder: state.json is the directory, calls the list of requests, one a line. What the plan's script does not
use is refused, so that a change of the script shows here first.
"""

import json
import os
import pathlib
import re
import sys
import uuid

folder = pathlib.Path(os.environ["FAKE_AZ"])
state_file = folder / "state.json"
state = json.loads(state_file.read_text())
arguments = sys.argv[1:]
if arguments[-1:] != ["--only-show-errors"]:
    sys.exit("every call is expected to keep warnings away")
arguments.pop()
with open(folder / "calls", "a") as calls:
    calls.write(json.dumps(arguments) + "\n")

words = arguments[: next((i for i, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))]
options = {}
for index, argument in enumerate(arguments):
    if argument.startswith("-"):
        has_value = index + 1 < len(arguments) and (argument == "--body" or not arguments[index + 1].startswith("-"))
        options[argument] = arguments[index + 1] if has_value else True


def query(value, text):
    """The few forms of JMESPath that the script uses."""
    text, first = (text[: -len(" | [0]")], True) if text.endswith(" | [0]") else (text, False)
    greatest = re.fullmatch(r"max_by\((.*), &(\w+)\)\.(\w+)", text)
    if greatest:
        found = query(value, greatest[1])
        return max(found, key=lambda item: item[greatest[2]])[greatest[3]] if found else None
    for step in re.findall(r"\[\?(\w+)=='([^']*)'\]|(\[\])|(\w+)", text):
        name, wanted, flatten, member = step
        if value is None:
            continue
        if name:
            value = [item for item in value if item.get(name) == wanted]
        elif flatten:
            value = list(value)
        else:
            value = [item.get(member) for item in value] if isinstance(value, list) else value.get(member)
    return (value[0] if value else None) if first else value


def answer(value):
    if "--query" in options:
        value = query(value, options["--query"])
    state_file.write_text(json.dumps(state, indent=1))
    if options.get("-o") == "tsv":
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                print(str(item).lower() if isinstance(item, bool) else item)
    elif value is not None:
        print(json.dumps(value, indent=2))
    sys.exit(0)


def application(identifier):
    for app in state["applications"]:
        if identifier in (app["appId"], app["id"]):
            return app
    sys.exit(f"Resource '{identifier}' does not exist")


def merge(target, changes):
    for name, value in changes.items():
        if isinstance(value, dict):
            merge(target.setdefault(name, {}), value)
        else:
            target[name] = value


def update(app, changes):
    # As Entra ID does: an enabled role or scope cannot be taken away, and App ID URIs must be in a verified domain.
    for holder, wanted in ((app, changes), (app["api"], changes.get("api", {}))):
        for name in ("appRoles", "oauth2PermissionScopes"):
            if name in wanted and not {item["id"] for item in holder[name]} <= {item["id"] for item in wanted[name]}:
                sys.exit("CannotDeleteOrUpdateEnabledEntitlement")
    for uri in changes.get("identifierUris", []):
        if uri != f"api://{app['appId']}" and not any(uri.startswith(f"https://{host}/") for host in state["verified"]):
            sys.exit("Values of identifierUris property must use a verified domain of the organization or its subdomain")
    merge(app, changes)


def rest():
    path = options["--uri"].removeprefix("https://graph.example/v1.0")
    body = json.loads(options["--body"]) if "--body" in options else None
    method = options["--method"]
    if (method, path) == ("POST", "/applications"):
        number = len(state["applications"]) + 1
        app = {
            "appId": str(uuid.UUID(int=number)), "id": str(uuid.UUID(int=1000 + number)), "identifierUris": [], "passwordCredentials": [],
            **body,
        }
        state["applications"].append(app)
        answer(app)
    kind, _, rest_of_path = path.removeprefix("/").partition("/")
    identifier, _, member = rest_of_path.partition("/")
    if (method, kind, member) == ("PATCH", "applications", ""):
        update(application(identifier), body)
        answer(None)
    principal = next((item for item in state["principals"] if item["id"] == identifier), None)
    if (method, kind, member) == ("PATCH", "servicePrincipals", "") and principal:
        merge(principal, body)
        answer(None)
    if (method, kind, member) == ("POST", "servicePrincipals", "appRoleAssignedTo") and principal:
        state["assignments"].append({"id": f"assignment-{len(state['assignments'])}", **body})
        answer(state["assignments"][-1])
    if (method, kind, member) == ("GET", "users", "appRoleAssignments"):
        resource = options["--uri-parameters"].removeprefix("$filter=resourceId eq ")
        found = [item for item in state["assignments"] if (item["principalId"], item["resourceId"]) == (identifier, resource)]
        answer({"value": found})
    sys.exit(f"not expected: {method} {path}")


command = " ".join(words)
if command == "account show":
    if not state["tenant"]:
        sys.exit("Please run 'az login' to setup account.")
    answer({"tenantId": state["tenant"]})
elif command == "cloud show":
    answer({"endpoints": {"microsoftGraphResourceId": "https://graph.example/", "activeDirectory": state["login"]}})
elif command == "ad app list":
    tag = re.fullmatch(r"tags/any\(t:t eq '(.*)'\)", options["--filter"])
    name = re.fullmatch(r"displayName eq '(.*)'", options["--filter"])
    wanted = (tag or name)[1].replace("''", "'")
    answer([app for app in state["applications"] if (wanted in app.get("tags", []) if tag else app["displayName"] == wanted)])
elif command == "ad app show":
    answer(application(options["--id"]))
elif command == "ad app delete":
    app = application(options["--id"])
    state["applications"].remove(app)
    state["principals"] = [item for item in state["principals"] if item["appId"] != app["appId"]]
    answer(None)
elif command == "ad app credential reset":
    app = application(options["--id"])
    secret = {"displayName": options["--display-name"], "endDateTime": "2999-01-01T00:00:00Z", "keyId": str(len(app["passwordCredentials"]))}
    app["passwordCredentials"] = (app["passwordCredentials"] if options.get("--append") else []) + [secret]
    answer({"appId": app["appId"], "password": "canary~secret"})
elif command == "ad sp list":
    answer([item for item in state["principals"] if options["--filter"] == f"appId eq '{item['appId']}'"])
elif command == "ad sp create":
    principal = {"id": f"principal-{options['--id']}", "appId": options["--id"], "appRoleAssignmentRequired": False}
    state["principals"].append(principal)
    answer(principal)
elif command == "ad sp show":
    answer(next(item for item in state["principals"] if item["id"] == options["--id"]))
elif command == "ad user show":
    if options["--id"] not in state["users"]:
        sys.exit(f"Resource '{options['--id']}' does not exist")
    answer({"id": state["users"][options["--id"]]})
elif command == "rest":
    rest()
else:
    sys.exit(f"not expected: {command}")
