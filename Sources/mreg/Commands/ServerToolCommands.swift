import ArgumentParser
import Gateway
import MCP

extension ServerCommand {
    struct Tools: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a server's tools, and what changed of those that wait for approval.",
            discussion: "Of what waits, lines that went begin with -, lines that came with +; what cannot be seen is shown as \\u{…}.")

        @Argument(help: "The server's alias.") var alias: String
        @Option(help: "Only this tool, by its own name, with the whole difference.") var tool: String?
        @Flag(help: "Only those that wait for approval.") var waiting = false
        @Option(help: "The tenant it belongs to.") var tenant: String?
        @OptionGroup var instance: Instance

        func run() throws {
            var tools: [JSON] = []
            var (waitingCount, mark, policy) = (Int64(0), "", "")
            var cursor: String?
            repeat {
                let page = try instance.request("GET", path(after: cursor))
                tools += page?["tools"]?.elements ?? []
                (waitingCount, mark) = (page?["waiting"]?.integer ?? 0, page?["as_of"]?.string ?? "")
                policy = page?["policy"]?.string ?? ""
                cursor = page?["next_cursor"]?.string
            } while cursor != nil
            guard !tools.isEmpty else {
                print(waiting ? "No tool of \(alias) waits for approval." : "\(alias) has listed no tools yet.")
                return
            }
            var table = TextTable(["TOOL", "STATE", "USED", "IDEMPOTENT", "CHANGED", "APPROVED BY", "SHA256"])
            for tool in tools {
                table.add([
                    Self.shown(tool), Self.text("state", tool), Self.word("used", tool), Self.word("idempotent", tool),
                    Self.text("changed_at", tool), Self.approver(tool), Self.text("sha256", tool),
                ])
            }
            print(table.text)
            for tool in tools where ["held", "changed", "new"].contains(tool["state"]?.string) { print("\n" + difference(tool)) }
            guard waitingCount > 0, tool == nil else { return }
            let use = policy == "hold" ? "are not used until then" : "are used meanwhile, as MREG_TOOL_CHANGE_POLICY says"
            print("\n\(waitingCount) of \(alias) wait for approval, and \(use). All of them as they are now:\n  \(approval(hash: mark))")
        }

        private func path(after cursor: String?) -> String {
            let pairs = [("tool", tool), ("state", waiting ? "waiting" : nil), ("tenant", tenant), ("cursor", cursor)]
            let query = pairs.compactMap { name, value in value.map { "\(name)=\(QueryValue.encoded($0))" } }.joined(separator: "&")
            return "/servers/\(QueryValue.encoded(alias))/tools" + (query.isEmpty ? "" : "?" + query)
        }

        private func difference(_ tool: JSON) -> String {
            let (name, state) = (tool["name"]?.string ?? "", Self.text("state", tool))
            var lines = ["\(Self.shown(tool)) (\(state)):"]
            if let diff = tool["diff"], diff.kind == .array {
                lines += diff.elements.map { "  " + ($0.string ?? "").withoutControls }
                if diff.elements.isEmpty { lines.append("  (the same lines; the spelling of something differs)") }
                if tool["diff_is_cut"]?.bool == true {
                    lines.append("  … and more: mreg server tools \(alias) --tool=\(ShellWord.quoted(name) ?? "NAME")")
                }
            } else {
                lines.append("  A definition is too long to be kept; compare it at the server.")
            }
            if let word = ShellWord.quoted(name) {
                lines.append("  To approve it: \(approval(hash: Self.text("sha256", tool))) -- \(word)")
            } else {
                lines.append("  Its name has characters that cannot be seen. Its hash is \(Self.text("sha256", tool)).")
            }
            return lines.joined(separator: "\n")
        }

        private func approval(hash: String) -> String {
            "mreg server approve \(alias) --hash \(hash)" + (tenant.map { " --tenant \(ShellWord.quoted($0) ?? "NAME")" } ?? "")
        }

        /// Servers choose the names, so what cannot be seen in them is shown.
        private static func shown(_ tool: JSON) -> String { (tool["name"]?.string ?? "-").showingTheInvisible }

        private static func text(_ name: String, _ tool: JSON) -> String { (tool[name]?.string ?? "-").withoutControls }
        private static func word(_ name: String, _ tool: JSON) -> String { tool[name]?.bool == true ? "yes" : "no" }

        private static func approver(_ tool: JSON) -> String {
            guard tool["approved_at"]?.string != nil else { return "-" }
            return tool["approved_by"]?.string ?? "first sight"
        }
    }

    struct Approve: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Approve a server's tools exactly as they were seen.",
            discussion: """
                  mreg server approve weather forecast --hash 3f79…
                  mreg server approve weather forecast alerts --hash 3f79… --hash 9a0c…
                  mreg server approve weather --hash 51b2…        everything that waits, as mreg server tools showed it
                What is not as it was seen any more is refused, and then nothing is approved.
                """)

        @Argument(help: "The server's alias.") var alias: String
        @Argument(help: "The tools, by their own names; all that wait if none is named.") var tools: [String] = []
        @Option(help: "The SHA-256 of each tool, in the same order; or the one of all that wait. mreg server tools shows them.") var hash: [String]
        @Flag(help: "Calling these tools twice does no more than calling them once.") var idempotent = false
        @Flag(help: "The opposite, of tools that were marked so.") var notIdempotent = false
        @Option(help: "The tenant it belongs to.") var tenant: String?
        @OptionGroup var instance: Instance

        func validate() throws {
            guard hash.count == max(tools.count, 1) else { throw ValidationError("Give one --hash for each tool, or one for all that wait.") }
            guard Set(tools.map { Array($0.utf8) }).count == tools.count else { throw ValidationError("A tool is named twice.") }
            guard !(idempotent && notIdempotent) else { throw ValidationError("Either --idempotent or --not-idempotent.") }
            guard !tools.isEmpty || !(idempotent || notIdempotent) else {
                throw ValidationError("Name the tools that are --idempotent or --not-idempotent.")
            }
        }

        func run() throws {
            let mark: JSONText? = idempotent ? true : notIdempotent ? false : nil
            let named = zip(tools, hash).map { name, hash -> (String, JSONText?) in
                (name, mark.map { ["sha256": .string(hash), "idempotent": $0] } ?? .string(hash))
            }
            let tenant = tenant.map { JSONText.string($0) }
            let body: JSONText =
                tools.isEmpty ? ["all": true, "as_of": .string(hash[0]), "tenant": tenant] : ["tools": .object(named), "tenant": tenant]
            let answer = try instance.request("POST", "/servers/\(QueryValue.encoded(alias))/approve", body: body)
            let approved = answer?["approved"]?.members.map { $0.name.withoutControls } ?? []
            let rest = answer?["waiting"]?.integer ?? 0
            print((approved.isEmpty ? "Nothing waited." : "Approved: \(approved.joined(separator: ", ")).") + (rest > 0 ? " \(rest) more wait." : ""))
        }
    }
}

/// A text as one word of a POSIX shell, for commands that people copy from what is printed.
enum ShellWord {
    /// Nil for a text with characters that cannot be seen: what is copied should be what is read.
    static func quoted(_ text: String) -> String? {
        guard text.showingTheInvisible == text else { return nil }
        let isPlain = text.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || "-._/".utf8.contains($0)
        }
        return isPlain && !text.isEmpty ? text : "'" + text.replacing("'", with: "'\\''") + "'"
    }
}
