import GRDB
import MCP
import Testing

@testable import mreg

struct RecordTests {
    @Test func `while the record cannot be written no call is made, and when it can they go on by themselves`() async throws {
        try await RunningGateway.with { gateway in
            let token = try await gateway.token()
            let call = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"demo-http__flaky","arguments":{}}}"#
            // The flaky tool fails every second call of its process, so its answers count the calls that were made.
            #expect(try await gateway.mcp(call, token: token).json?["result"]?["isError"]?.bool == false)

            var configuration = Configuration()
            configuration.allowsUnsafeTransactions = true
            let stranger = try DatabaseQueue(path: gateway.stateDirectory + "/gateway.sqlite", configuration: configuration)
            try await stranger.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
            let refusals = [
                try await gateway.mcp(#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, token: token), try await gateway.mcp(call, token: token),
            ]
            try await stranger.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
            for refusal in refusals {
                #expect(refusal.status == 503)
                #expect(refusal.json?["error"]?["code"]?.integer == 1005)
            }
            #expect(refusals.last?.json?["error"]?["message"]?.string?.contains("nothing is done") == true)

            #expect(try await gateway.mcp(#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, token: token).status == 200)
            // The second call that was made, not the third.
            #expect(try await gateway.mcp(call, token: token).json?["result"]?["isError"]?.bool == true)
        }
    }
}
