import ArgumentParser
import Gateway
import MCP

extension ServerCommand {
    struct Publish: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let everybody know that a server is there.",
            discussion: """
                It is listed at /v0.1/servers, where editors look for servers, with its title, its description and the gateway's address of it; \
                nothing is told of where the gateway reaches it. To use it one signs in as before.
                """)

        @Argument(help: "Its alias.") var alias: String
        @OptionGroup var instance: Instance
        @Option(help: "What it is for, in at most 100 characters; its title if nothing was ever said.") var description: String?
        @Option(help: "The tenant it belongs to.") var tenant: String?

        func run() throws {
            let body: JSONText = [
                "public": true, "description": description.map { .string($0) }, "tenant": tenant.map { .string($0) },
            ]
            let server = try instance.request("PATCH", "/servers/\(QueryValue.encoded(alias))", body: body)
            let isActive = server?["status"]?.string == ServerRecord.Status.active.rawValue
            print("\(alias) is public\(isActive ? ": it is listed at /v0.1/servers." : ", and will be listed when it is switched on.")")
        }
    }

    struct Unpublish: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let nobody know any more but those who may use it.")

        @Argument(help: "Its alias.") var alias: String
        @OptionGroup var instance: Instance
        @Option(help: "The tenant it belongs to.") var tenant: String?

        func run() throws {
            let body: JSONText = ["public": false, "tenant": tenant.map { .string($0) }]
            _ = try instance.request("PATCH", "/servers/\(QueryValue.encoded(alias))", body: body)
            print("\(alias) is no longer public. Whoever has read of it already may remember.")
        }
    }
}
