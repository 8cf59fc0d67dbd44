#!/bin/sh
# Removes the registration of the gateway at https://gateway.example from Entra ID; without one it does nothing.
#
# Needs az (https://aka.ms/azure-cli), signed in with az login --allow-no-subscriptions as somebody who may register
# applications and assign roles, such as a Cloud Application Administrator.
set -euf
umask 077

name='MCP Registry Gateway (gateway.example)'
mark=mcp-registry-gateway:df44c5bc-21a2-594f-bfb6-c5759a2696ee
resource=https://gateway.example/mcp
secret_file=azure-client-secret

say() { printf '%s\n' "$@"; }
stop() { printf '%s\n' "$@" >&2; exit 1; }

# has LINES LINE: whether one of the lines is this one.
has() { printf '%s\n' "$1" | grep -Fqx -e "$2"; }

azure() { az "$@" --only-show-errors; }

# graph METHOD PATH …: a request to Microsoft Graph.
graph() {
    graph_method=$1 graph_path=$2
    shift 2
    azure rest --method "$graph_method" --uri "$graph_url/v1.0$graph_path" --headers Content-Type=application/json "$@"
}

# Of the registration: one value a line, or JSON.
lines() { azure ad app show --id "$app" --query "$1" -o tsv; }
json() { azure ad app show --id "$app" --query "$1" -o json; }
patch() { graph PATCH "/applications/$object" --body "$1" >/dev/null; }

# joined ARRAY ITEMS: the JSON array with the items at its end.
joined() {
    joined_kept=$(printf '%s' "$1" | tr -d '\n')
    test "$joined_kept" != null || joined_kept=
    joined_kept=${joined_kept#'['}
    joined_kept=${joined_kept%']'}
    case $joined_kept in
        *[!\ ]*) printf '[%s%s]' "$joined_kept" "${2:+,$2}" ;;
        *) printf '[%s]' "$2" ;;
    esac
}

# again COMMAND …: a new object is not known everywhere at once, so it is tried for a minute.
again() {
    again_left=12
    until "$@" >"$work/out" 2>"$work/why"; do
        again_left=$((again_left - 1))
        test "$again_left" -gt 0 || { cat "$work/why" >&2; return 1; }
        sleep "${PAUSE:-5}"
    done
    cat "$work/out"
}

command -v az >/dev/null 2>&1 || stop 'There is no az on this machine: https://aka.ms/azure-cli'
work=$(mktemp -d)
trap 'rm -rf "$work" "$secret_file.part"' EXIT
trap 'exit 1' HUP INT TERM
tenant=$(azure account show --query tenantId -o tsv) || stop 'Sign in first: az login --allow-no-subscriptions'
graph_url=$(azure cloud show --query endpoints.microsoftGraphResourceId -o tsv)
graph_url=${graph_url%/}
say "Tenant: $tenant"

marked() { azure ad app list --filter "tags/any(t:t eq '$mark')" --query '[].appId' -o tsv; }
one() { test "$(printf '%s\n' "$1" | wc -l)" -eq 1 || stop "There are several registrations $2; delete all but one:" "$1"; }

app=$(marked)
one "$app" "of this gateway"
if test -z "$app"; then
    app=$(azure ad app list --filter 'displayName eq '\''MCP Registry Gateway (gateway.example)'\''' --query '[].appId' -o tsv)
    one "$app" "named $name"
    if test -n "$app" && ! has "$(lines 'web.redirectUris[]')" https://gateway.example/oauth/callback; then
        stop "There is a registration named $name ($app) that is not this gateway's." \
            "Choose another name (--name), or give it the redirect URI https://gateway.example/oauth/callback if it is meant."
    fi
fi

if test -z "$app"; then
    say "There is no registration of this gateway in the tenant $tenant."
    exit 0
fi
azure ad app delete --id "$app"
say "Deleted $app with its roles, assignments and secrets. Entra ID keeps it for 30 days under deleted applications." \
    "The file $secret_file is of no more use, and neither are the MREG_AZURE_… lines in gateway.env."
