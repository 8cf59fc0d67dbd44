import FoundationEssentials
import Testing

@testable import mreg

struct SettingsDocumentTests {
    @Test func `the document of settings says what the catalogue says`() throws {
        let path = #filePath.replacing("Tests/mregTests/SettingsDocumentTests.swift", with: "docs/settings.md")
        let wanted = SettingsCatalogue.markdown()
        // `MREG_WRITE_DOCUMENTS=1 swift test --filter SettingsDocumentTests` writes it anew.
        if ProcessInfo.processInfo.environment["MREG_WRITE_DOCUMENTS"] != nil { try wanted.write(toFile: path, atomically: true, encoding: .utf8) }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == wanted)
    }
}
