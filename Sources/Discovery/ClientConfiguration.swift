package import Gateway

/// What somebody writes into their client so that it finds the gateway: text to read and to copy from, without any secret.
package struct ClientConfiguration: Sendable {
    package enum Client: String, CaseIterable, Sendable {
        case vscode, claude, cursor, copilot
    }

    private let origin: Origin
    private let server: ServerAlias?

    /// - Parameter server: whose endpoint it is to be, with the names that the server itself uses; nil for the endpoint that
    ///   shows every server.
    package init(at origin: Origin, server: ServerAlias? = nil) {
        self.origin = origin
        self.server = server
    }

    package var endpoint: String { server.map { "\(origin)/servers/\($0)/mcp" } ?? "\(origin)/mcp" }
    private var name: String { server?.description ?? "mreg" }

    /// The variable that a client takes an API key from, where it takes one from the environment.
    package static let keyVariable = "MREG_API_KEY"
    private static let keyNote = "mreg key add NAME --user USER makes one"

    package func text(for client: Client) -> String {
        switch client {
        case .vscode: visualStudioCode
        case .claude: claude
        case .cursor: cursor
        case .copilot: copilot
        }
    }

    private var visualStudioCode: String {
        """
        VS Code: .vscode/mcp.json, or your own with “MCP: Open User Configuration”.

        {
          "servers": {
            "\(name)": {
              "type": "http",
              "url": "\(endpoint)"
            }
          }
        }

        # It signs in by itself: it finds the gateway's sign-in, opens the browser once, and keeps its token.

        With an API key instead, which VS Code asks for once and keeps to itself (\(Self.keyNote)):

        {
          "inputs": [
            {
              "type": "promptString",
              "id": "mreg-api-key",
              "description": "API key of \(origin)",
              "password": true
            }
          ],
          "servers": {
            "\(name)": {
              "type": "http",
              "url": "\(endpoint)",
              "headers": {
                "Authorization": "Bearer ${input:mreg-api-key}"
              }
            }
          }
        }

        # To find the public servers in the gallery of VS Code, in settings.json:

        {
          "chat.mcp.gallery.serviceUrl": "\(origin)"
        }
        """
    }

    private var claude: String {
        """
        Claude Code:

        claude mcp add --transport http \(name) \(endpoint)

        The same for a whole project, in .mcp.json:

        {
          "mcpServers": {
            "\(name)": {
              "type": "http",
              "url": "\(endpoint)"
            }
          }
        }

        # It signs in by itself: /mcp in Claude Code opens the browser once.

        With an API key instead, which stays in the environment as \(Self.keyVariable) (\(Self.keyNote)):

        {
          "mcpServers": {
            "\(name)": {
              "type": "http",
              "url": "\(endpoint)",
              "headers": {
                "Authorization": "Bearer ${\(Self.keyVariable)}"
              }
            }
          }
        }
        """
    }

    private var cursor: String {
        """
        Cursor: .cursor/mcp.json in a project, or ~/.cursor/mcp.json.

        {
          "mcpServers": {
            "\(name)": {
              "url": "\(endpoint)"
            }
          }
        }

        # It signs in by itself: Cursor shows “Needs login” beside the server, and opens the browser.

        With an API key instead, which stays in the environment as \(Self.keyVariable) (\(Self.keyNote)):

        {
          "mcpServers": {
            "\(name)": {
              "url": "\(endpoint)",
              "headers": {
                "Authorization": "Bearer ${env:\(Self.keyVariable)}"
              }
            }
          }
        }
        """
    }

    private var copilot: String {
        """
        GitHub Copilot: “MCP Registry URL” in the Copilot policies of the organization or enterprise. It must be https and be
        reached by everybody's editor; only public servers are in it (mreg server publish ALIAS).

        \(origin)

        # It is the base URL, without /v0.1. Copilot reads it without signing in; the servers themselves are signed in to by
        # the editor, which opens the browser.

        To allow \(server == nil ? "this gateway's servers" : "this server") and no others, in managed-settings.json (Claude Code knows the same key):

        {
          "allowedMcpServers": [
            {
              "serverUrl": "\(server == nil ? "\(origin)/*" : endpoint)"
            }
          ]
        }

        # deniedMcpServers wins over it. The registry's own restriction goes by names only, so rely on this one.

        Copilot CLI, in ~/.copilot/mcp-config.json:

        {
          "mcpServers": {
            "\(name)": {
              "type": "http",
              "url": "\(endpoint)",
              "tools": ["*"]
            }
          }
        }
        """
    }
}
