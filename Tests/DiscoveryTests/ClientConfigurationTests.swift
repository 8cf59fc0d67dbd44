import Gateway
import MCP
import Testing

@testable import Discovery

struct ClientConfigurationTests {
    /// The JSON documents among the text, each from a line that is `{` to one that is `}`.
    private func documents(_ client: ClientConfiguration.Client, server: String? = nil) throws -> [JSON] {
        let text = ClientConfiguration(at: origin, server: server.map(alias)).text(for: client)
        var documents: [JSON] = []
        var lines: [Substring]?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line == "{" { lines = [] }
            lines?.append(line)
            if line == "}", let whole = lines {
                documents.append(try JSON(parsing: Array(whole.joined(separator: "\n").utf8)))
                lines = nil
            }
        }
        return documents
    }

    @Test(
        arguments: [(nil, "mreg", "https://mcp.example.com/mcp"), ("wiki", "wiki", "https://mcp.example.com/servers/wiki/mcp")]
            as [(String?, String, String)])
    func `each client is told the endpoint in its own form`(server: String?, name: String, endpoint: String) throws {
        let code = try documents(.vscode, server: server)
        #expect(code.count == 3)
        for document in code.prefix(2) {
            #expect(document["servers"]?[name]?["type"]?.string == "http" && document["servers"]?[name]?["url"]?.string == endpoint)
        }
        #expect(code[1]["inputs"]?.elements.first?["password"]?.bool == true)
        #expect(code[2]["chat.mcp.gallery.serviceUrl"]?.string == "https://mcp.example.com")
        for document in try documents(.claude, server: server) {
            #expect(document["mcpServers"]?[name]?["type"]?.string == "http" && document["mcpServers"]?[name]?["url"]?.string == endpoint)
        }
        let added = ClientConfiguration(at: origin, server: server.map(alias)).text(for: .claude)
        #expect(added.contains("\nclaude mcp add --transport http \(name) \(endpoint)\n"))
        for document in try documents(.cursor, server: server) { #expect(document["mcpServers"]?[name]?["url"]?.string == endpoint) }
        let copilot = try documents(.copilot, server: server)
        #expect(copilot[0]["allowedMcpServers"]?.elements.first?["serverUrl"]?.string == (server == nil ? "https://mcp.example.com/*" : endpoint))
        #expect(copilot[1]["mcpServers"]?[name]?["url"]?.string == endpoint)
    }

    @Test func `a key is never written down, only where the client takes it from`() throws {
        let headers = try [(.vscode, "servers"), (.claude, "mcpServers"), (.cursor, "mcpServers")].map { client, key in
            try documents(client)[1][key]?["mreg"]?["headers"]?["Authorization"]?.string
        }
        #expect(headers == ["Bearer ${input:mreg-api-key}", "Bearer ${MREG_API_KEY}", "Bearer ${env:MREG_API_KEY}"])
    }

    @Test(arguments: ClientConfiguration.Client.allCases)
    func `each text says how one signs in`(client: ClientConfiguration.Client) {
        let text = ClientConfiguration(at: origin).text(for: client)
        #expect(text.contains("browser") && text.split(separator: "\n").contains { $0.hasPrefix("# ") })
    }
}
