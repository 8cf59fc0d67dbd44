import Gateway

extension EntraPlan {
    /// Registers the gateway; what is there already stays.
    package func script() -> String {
        """
        \(head("Registers the gateway at \(publicURL) in Entra ID. What is there already stays as it is, what is missing is added:\n# a second run changes nothing. No secret is printed."))
        \(Self.tools)
        \(find)
        \(register)
        \(complete)
        \(serve)
        \(keepSecret)
        \(admin.map(assign) ?? "")\(settings)
        """
    }

    /// Takes away what the script made.
    package func removal() -> String {
        """
        \(head("Removes the registration of the gateway at \(publicURL) from Entra ID; without one it does nothing."))
        \(Self.tools)
        \(find)
        if test -z "$app"; then
            say "There is no registration of this gateway in the tenant $tenant."
            exit 0
        fi
        azure ad app delete --id "$app"
        say "Deleted $app with its roles, assignments and secrets. Entra ID keeps it for 30 days under deleted applications." \\
            "The file $secret_file is of no more use, and neither are the MREG_AZURE_… lines in gateway.env."

        """
    }

    private func head(_ purpose: String) -> String {
        #"""
        #!/bin/sh
        # \#(purpose)
        #
        # Needs az (https://aka.ms/azure-cli), signed in with az login --allow-no-subscriptions as somebody who may register
        # applications and assign roles, such as a Cloud Application Administrator.
        set -euf
        umask 077

        name=\#(ShellText.quoted(name))
        mark=\#(ShellText.quoted(mark))
        resource=\#(ShellText.quoted(resource))
        secret_file=\#(ShellText.quoted(secretFile))
        """#
    }

    private static let tools = #"""

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

        """#

    /// By its mark, whatever it is called by now; else by its name, if it has the gateway's redirect URI.
    private var find: String {
        let filter = "displayName eq '\(name.replacing("'", with: "''"))'"
        return #"""
            marked() { azure ad app list --filter "tags/any(t:t eq '$mark')" --query '[].appId' -o tsv; }
            one() { test "$(printf '%s\n' "$1" | wc -l)" -eq 1 || stop "There are several registrations $2; delete all but one:" "$1"; }

            app=$(marked)
            one "$app" "of this gateway"
            if test -z "$app"; then
                app=$(azure ad app list --filter \#(ShellText.quoted(filter)) --query '[].appId' -o tsv)
                one "$app" "named $name"
                if test -n "$app" && ! has "$(lines 'web.redirectUris[]')" \#(ShellText.quoted(redirectURIs[0])); then
                    stop "There is a registration named $name ($app) that is not this gateway's." \
                        "Choose another name (--name), or give it the redirect URI \#(redirectURIs[0]) if it is meant."
                fi
            fi

            """#
    }

    private var register: String {
        #"""
        # What a new registration looks like.
        registration() {
            cat <<'END'
        \#(registrationJSON)
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

        """#
    }

    private var complete: String {
        let cases = Self.roles.map { "        \($0.value)) printf '%s' \(ShellText.quoted(roleJSON($0))) ;;" }.joined(separator: "\n")
        return #"""
            # Each of these adds what is missing and keeps what others added.
            tags=$(lines 'tags[]')
            has "$tags" "$mark" || patch "{\"tags\":$(joined "$(json tags)" "\"$mark\"")}"

            there=$(lines 'web.redirectUris[]')
            missing=
            for uri in \#(redirectURIs.map(ShellText.quoted).joined(separator: " ")); do
                has "$there" "$uri" && continue
                missing="$missing${missing:+,}\"$uri\""
                say "Redirect URI: $uri, added"
            done
            test -z "$missing" || patch "{\"web\":{\"redirectUris\":$(joined "$(json web.redirectUris)" "$missing")}}"

            role() {
                case $1 in
            \#(cases)
                esac
            }
            there=$(lines 'appRoles[].value')
            missing=
            for value in \#(Self.roles.map(\.value).joined(separator: " ")); do
                has "$there" "$value" && continue
                missing="$missing${missing:+,}$(role "$value")"
                say "Role: $value, added"
            done
            test -z "$missing" || patch "{\"appRoles\":$(joined "$(json appRoles)" "$missing")}"

            there=$(lines 'api.oauth2PermissionScopes[].value')
            if ! has "$there" access; then
                patch "{\"api\":{\"oauth2PermissionScopes\":$(joined "$(json api.oauth2PermissionScopes)" \#(ShellText.quoted(scopeJSON)))}}"
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
            id_token=$(claims idToken \#(Self.idTokenClaims.joined(separator: " ")))
            access_token=$(claims accessToken \#(Self.accessTokenClaims.joined(separator: " ")))
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
            \#(publicURL.isSecure ? addResource : "")
            """#
    }

    /// Entra ID takes it only if the host is in one of the tenant's verified domains; the gateway does without.
    private var addResource: String {
        #"""
        if ! has "$there" "$resource"; then
            uris=$(printf '%s\n' "$there" | sed '/^$/d; s/.*/"&"/' | tr '\n' ',')
            if patch "{\"identifierUris\":[$uris\"$resource\"]}" 2>"$work/why"; then
                say "App ID URI: $resource, added"
            else
                say "App ID URI: $resource was refused, as its host is in none of the tenant's verified domains. api://$app serves."
            fi
        fi

        """#
    }

    private var serve: String {
        #"""
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

        """#
    }

    private var keepSecret: String {
        #"""
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

        """#
    }

    private func assign(_ admin: String) -> String {
        #"""
        # The first administrator.
        admin=\#(ShellText.quoted(admin))
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

        """# + "\n"
    }

    private var settings: String {
        let names = EntraSettings.Name.self
        return #"""
            login=$(azure cloud show --query endpoints.activeDirectory -o tsv)
            say '' 'Put into /etc/mcp-registry-gateway/gateway.env, and check it with: mreg doctor entra' '' \
                "\#(names.tenant)=$tenant" \
                "\#(names.clientID)=$app" \
                "\#(names.clientSecretFile)=$secret_file"
            test "${login%/}" = \#(EntraSettings.defaultAuthority) || say "\#(names.authority)=${login%/}"
            say "\#(names.publicURL)=\#(publicURL)" \
                "\#(names.callbackURL)=\#(redirectURIs[0])" \
                "\#(names.scopes)=\"openid profile email offline_access api://$app/access\""

            """#
    }
}
