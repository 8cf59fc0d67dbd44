import Testing

@testable import Gateway

struct OperationTests {
    @Test(arguments: [
        (Operation.initialize, "initialize", ""), (.ping, "ping", ""), (.discover, "server/discover", ""), (.list(.tools), "tools/list", ""),
        (.callTool("demo__add"), "tools/call", "demo__add"), (.callTool(""), "tools/call", ""),
    ])
    func `an operation is named as MCP names it, and only a call has a target`(operation: Operation, method: String, target: String) {
        #expect(operation.method == method)
        #expect(operation.target == target)
    }

    @Test func `roles are written as settings and tokens write them`() {
        #expect(Role.allCases.map(\.rawValue) == ["anonymous", "user", "server_owner", "admin", "auditor"])
    }
}
