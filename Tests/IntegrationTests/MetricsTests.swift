import FoundationEssentials
import NIOHTTP1
import Testing

@testable import mreg

struct MetricsTests {
    @Test func `every metric stands in the document, with its kind and its sentence, and no other does`() async throws {
        let page = try await RunningGateway.with { try await $0.send(.GET, "/metrics").text }
        var sentences: [Substring: Substring] = [:]
        var printed: Set<String> = []
        for line in page.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 3)
            if line.hasPrefix("# HELP ") { sentences[words[2]] = words[3] }
            if line.hasPrefix("# TYPE ") { printed.insert("| `\(words[2])` | \(words[3]) | \(sentences[words[2]] ?? "") |") }
        }
        let path = #filePath.replacing("Tests/IntegrationTests/MetricsTests.swift", with: "docs/reports.md")
        let document = try String(contentsOfFile: path, encoding: .utf8)
        let section = try #require(document.firstRange(of: "\n## Metrics\n")).upperBound
        let lines = document[section...].prefix(upTo: document[section...].firstRange(of: "\n## ")?.lowerBound ?? document.endIndex)
        #expect(printed.count > 10)
        #expect(Set(lines.split(separator: "\n").filter { $0.hasPrefix("| `") }.map(String.init)) == printed)
    }
}
