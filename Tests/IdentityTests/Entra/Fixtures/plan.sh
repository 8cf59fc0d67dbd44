#!/bin/sh
# Registers the gateway at https://gateway.example in Entra ID. What is there already stays as it is, what is missing is added:
# a second run changes nothing. No secret is printed.
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

# What a new registration looks like.
registration() {
    cat <<'END'
{
  "api" : {
    "oauth2PermissionScopes" : [
      {
        "adminConsentDescription" : "Lets the gateway act for the user who signed in.",
        "adminConsentDisplayName" : "Use the gateway",
        "id" : "fba32084-7c84-55d2-b176-a7777938a94e",
        "isEnabled" : true,
        "type" : "User",
        "userConsentDescription" : "Lets the gateway act for you.",
        "userConsentDisplayName" : "Use the gateway",
        "value" : "access"
      }
    ],
    "requestedAccessTokenVersion" : 2
  },
  "appRoles" : [
    {
      "allowedMemberTypes" : [
        "User"
      ],
      "description" : "Changes everything in the gateway: servers, limits, users and sessions.",
      "displayName" : "Administrator",
      "id" : "12ae997b-2f58-5af3-96ed-1b6d11826dcb",
      "isEnabled" : true,
      "value" : "admin"
    },
    {
      "allowedMemberTypes" : [
        "User"
      ],
      "description" : "Registers MCP servers, and uses those there are.",
      "displayName" : "Server owner",
      "id" : "4710303a-7726-5432-8106-db8455e8e7ff",
      "isEnabled" : true,
      "value" : "server_owner"
    },
    {
      "allowedMemberTypes" : [
        "User"
      ],
      "description" : "Uses the MCP servers they may see.",
      "displayName" : "User",
      "id" : "305b3c6e-40f1-5f00-86ef-21772389914f",
      "isEnabled" : true,
      "value" : "user"
    },
    {
      "allowedMemberTypes" : [
        "User"
      ],
      "description" : "Reads reports and the audit log, and changes nothing.",
      "displayName" : "Auditor",
      "id" : "34916def-7173-5fa8-b2df-3ef2be01e806",
      "isEnabled" : true,
      "value" : "auditor"
    }
  ],
  "displayName" : "MCP Registry Gateway (gateway.example)",
  "groupMembershipClaims" : "ApplicationGroup",
  "optionalClaims" : {
    "accessToken" : [
      {
        "essential" : false,
        "name" : "acct"
      },
      {
        "essential" : false,
        "name" : "idtyp"
      }
    ],
    "idToken" : [
      {
        "essential" : false,
        "name" : "acct"
      },
      {
        "essential" : false,
        "name" : "auth_time"
      },
      {
        "essential" : false,
        "name" : "email"
      }
    ]
  },
  "requiredResourceAccess" : [
    {
      "resourceAccess" : [
        {
          "id" : "37f7f235-527c-4136-accd-4a02d197296e",
          "type" : "Scope"
        },
        {
          "id" : "14dad69e-099b-42c9-810b-d002981feec1",
          "type" : "Scope"
        },
        {
          "id" : "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0",
          "type" : "Scope"
        },
        {
          "id" : "7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
          "type" : "Scope"
        }
      ],
      "resourceAppId" : "00000003-0000-0000-c000-000000000000"
    }
  ],
  "signInAudience" : "AzureADMyOrg",
  "tags" : [
    "mcp-registry-gateway:df44c5bc-21a2-594f-bfb6-c5759a2696ee"
  ],
  "web" : {
    "redirectUris" : [
      "https://gateway.example/oauth/callback"
    ]
  }
}
END
}
is_listed() { test -n "$(marked)"; }

if test -n "$app"; then
    say "Registration: $app, there"
    object=$(lines id)
else
    app=$(graph POST /applications --body "$(registration)" --query appId -o tsv)
    test -n "$app" || stop 'Entra ID did not say what the new registration is called.'
    object=$(again lines id)
    # So that a run right after this one finds it too.
    again is_listed
    say "Registration: $app, made"
fi

# Each of these adds what is missing and keeps what others added.
tags=$(lines 'tags[]')
has "$tags" "$mark" || patch "{\"tags\":$(joined "$(json tags)" "\"$mark\"")}"

there=$(lines 'web.redirectUris[]')
missing=
for uri in https://gateway.example/oauth/callback; do
    has "$there" "$uri" && continue
    missing="$missing${missing:+,}\"$uri\""
    say "Redirect URI: $uri, added"
done
test -z "$missing" || patch "{\"web\":{\"redirectUris\":$(joined "$(json web.redirectUris)" "$missing")}}"

role() {
    case $1 in
        admin) printf '%s' '{"allowedMemberTypes":["User"],"description":"Changes everything in the gateway: servers, limits, users and sessions.","displayName":"Administrator","id":"12ae997b-2f58-5af3-96ed-1b6d11826dcb","isEnabled":true,"value":"admin"}' ;;
        server_owner) printf '%s' '{"allowedMemberTypes":["User"],"description":"Registers MCP servers, and uses those there are.","displayName":"Server owner","id":"4710303a-7726-5432-8106-db8455e8e7ff","isEnabled":true,"value":"server_owner"}' ;;
        user) printf '%s' '{"allowedMemberTypes":["User"],"description":"Uses the MCP servers they may see.","displayName":"User","id":"305b3c6e-40f1-5f00-86ef-21772389914f","isEnabled":true,"value":"user"}' ;;
        auditor) printf '%s' '{"allowedMemberTypes":["User"],"description":"Reads reports and the audit log, and changes nothing.","displayName":"Auditor","id":"34916def-7173-5fa8-b2df-3ef2be01e806","isEnabled":true,"value":"auditor"}' ;;
    esac
}
there=$(lines 'appRoles[].value')
missing=
for value in admin server_owner user auditor; do
    has "$there" "$value" && continue
    missing="$missing${missing:+,}$(role "$value")"
    say "Role: $value, added"
done
test -z "$missing" || patch "{\"appRoles\":$(joined "$(json appRoles)" "$missing")}"

there=$(lines 'api.oauth2PermissionScopes[].value')
if ! has "$there" access; then
    patch "{\"api\":{\"oauth2PermissionScopes\":$(joined "$(json api.oauth2PermissionScopes)" '{"adminConsentDescription":"Lets the gateway act for the user who signed in.","adminConsentDisplayName":"Use the gateway","id":"fba32084-7c84-55d2-b176-a7777938a94e","isEnabled":true,"type":"User","userConsentDescription":"Lets the gateway act for you.","userConsentDisplayName":"Use the gateway","value":"access"}')}}"
    say 'Scope: access, added'
fi
if test "$(lines api.requestedAccessTokenVersion)" != 2; then
    patch '{"api":{"requestedAccessTokenVersion":2}}'
    say 'Version of access tokens: 2, set'
fi
if test "$(lines groupMembershipClaims)" != ApplicationGroup; then
    patch '{"groupMembershipClaims":"ApplicationGroup"}'
    say 'Groups in tokens: those assigned to the gateway, set'
fi

# claims KIND NAME …: the names that this kind of token lacks, as JSON.
claims() {
    claims_there=$(lines "optionalClaims.$1[].name")
    claims_missing=
    shift
    for claim in "$@"; do
        has "$claims_there" "$claim" || claims_missing="$claims_missing${claims_missing:+,}{\"name\":\"$claim\",\"essential\":false}"
    done
    printf '%s' "$claims_missing"
}
id_token=$(claims idToken acct auth_time email)
access_token=$(claims accessToken acct idtyp)
if test -n "$id_token$access_token"; then
    id_token=$(joined "$(json optionalClaims.idToken)" "$id_token")
    access_token=$(joined "$(json optionalClaims.accessToken)" "$access_token")
    saml_token=$(joined "$(json optionalClaims.saml2Token)" '')
    patch "{\"optionalClaims\":{\"idToken\":$id_token,\"accessToken\":$access_token,\"saml2Token\":$saml_token}}"
    say 'Optional claims: added'
fi

there=$(lines 'identifierUris[]')
if ! has "$there" "api://$app"; then
    patch "{\"identifierUris\":$(joined "$(json identifierUris)" "\"api://$app\"")}"
    there=$there"
api://$app"
    say "App ID URI: api://$app, added"
fi
if ! has "$there" "$resource"; then
    uris=$(printf '%s\n' "$there" | sed '/^$/d; s/.*/"&"/' | tr '\n' ',')
    if patch "{\"identifierUris\":[$uris\"$resource\"]}" 2>"$work/why"; then
        say "App ID URI: $resource, added"
    else
        say "App ID URI: $resource was refused, as its host is in none of the tenant's verified domains. api://$app serves."
    fi
fi

# The enterprise application: the registration in this tenant, where users are assigned.
principal=$(azure ad sp list --filter "appId eq '$app'" --query '[].id' -o tsv)
if test -z "$principal"; then
    principal=$(again azure ad sp create --id "$app" --query id -o tsv)
    # Without this tag the portal does not list it.
    again graph PATCH "/servicePrincipals/$principal" --body '{"tags":["WindowsAzureActiveDirectoryIntegratedApp"]}' >/dev/null
    say "Enterprise application: $principal, made"
else
    say "Enterprise application: $principal, there"
fi
if test "$(again azure ad sp show --id "$principal" --query appRoleAssignmentRequired -o tsv)" != true; then
    again graph PATCH "/servicePrincipals/$principal" --body '{"appRoleAssignmentRequired":true}' >/dev/null
    say 'Let in: only who has a role, set'
fi

# A client secret, if there is none of ours that is still good. Entra ID shows it once: it goes into a file.
case $secret_file in
    /*) ;;
    *) secret_file=$PWD/$secret_file ;;
esac
ends=$(lines "max_by(passwordCredentials[?displayName=='mcp-registry-gateway'], &endDateTime).endDateTime")
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
if test "${NEW_SECRET:-no}" = yes || test -z "$ends" || LC_ALL=C expr "$ends" '<' "$now" >/dev/null; then
    if test -e "$secret_file" && test "${NEW_SECRET:-no}" != yes; then
        stop "$secret_file is there, but its secret is not in Entra ID or has expired. Move it away, or write over it: NEW_SECRET=yes sh $0"
    fi
    azure ad app credential reset --id "$app" --append --display-name mcp-registry-gateway --years 1 --query password -o tsv \
        >"$secret_file.part"
    test -s "$secret_file.part" || stop 'Entra ID made no secret.'
    mv "$secret_file.part" "$secret_file"
    say "Client secret: written to $secret_file, good for a year"
elif test -e "$secret_file"; then
    say "Client secret: good until $ends"
else
    say "Client secret: good until $ends. Its file is not here; if it is lost, make another: NEW_SECRET=yes sh $0"
fi

# The first administrator.
admin=ada@gateway.example
user=$(azure ad user show --id "$admin" --query id -o tsv)
admin_role() { lines "appRoles[?value=='admin'].id | [0]" | grep .; }
role_id=$(again admin_role)
held=$(graph GET "/users/$user/appRoleAssignments" --uri-parameters "\$filter=resourceId eq $principal" \
    --query "value[?appRoleId=='$role_id'].id | [0]" -o tsv)
if test -n "$held"; then
    say "Administrator: $admin, there"
else
    again graph POST "/servicePrincipals/$principal/appRoleAssignedTo" \
        --body "{\"principalId\":\"$user\",\"resourceId\":\"$principal\",\"appRoleId\":\"$role_id\"}" >/dev/null
    say "Administrator: $admin, assigned"
fi

login=$(azure cloud show --query endpoints.activeDirectory -o tsv)
say '' 'Put into /etc/mcp-registry-gateway/gateway.env, and check it with: mreg doctor entra' '' \
    "MREG_AZURE_TENANT_ID=$tenant" \
    "MREG_AZURE_CLIENT_ID=$app" \
    "MREG_AZURE_CLIENT_SECRET_FILE=$secret_file"
test "${login%/}" = https://login.microsoftonline.com || say "MREG_AZURE_AUTHORITY=${login%/}"
say "MREG_PUBLIC_URL=https://gateway.example" \
    "MREG_FASTMCP_OAUTH_CALLBACK_URL=https://gateway.example/oauth/callback" \
    "MREG_FASTMCP_OAUTH_SCOPES=\"openid profile email offline_access api://$app/access\""
