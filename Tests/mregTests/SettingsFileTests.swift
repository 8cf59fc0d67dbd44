import Testing

@testable import mreg

struct SettingsFileTests {
    @Test func `comments, blank lines, quotes and carriage returns are read as meant`() {
        let text = "# comment\r\n\r\n  A=1\r\n\tB= 2\nC= \"two words\" \nD='it # stays'\nE=a=b\nF=\nG=\"\"\n   # more"
        let file = SettingsFile(parsing: text, path: "f")
        #expect(file.entries.mapValues(\.text) == ["A": "1", "B": "2", "C": "two words", "D": "it # stays", "E": "a=b", "F": "", "G": ""])
        #expect(file.entries["D"]?.source == .file(path: "f", line: 6))
        #expect(file.problems.isEmpty)
    }

    @Test(arguments: [
        ("export MREG_PORT=canary", "KEY=value without “export”"),
        ("MREG_PORT canary", "KEY=value, without blanks before the equals sign"),
        ("MREG_PORT = canary", "KEY=value, without blanks before the equals sign"),
        ("=canary", "KEY=value, without blanks before the equals sign"),
        ("\u{FEFF}MREG_PORT=canary", "KEY=value, without blanks before the equals sign"),
        ("DB_NAME=\"canary", "the closing quote at the end of the line, and none between"),
        ("DB_NAME='canary\"", "the closing quote at the end of the line, and none between"),
        ("DB_NAME=\"", "the closing quote at the end of the line, and none between"),
        ("DB_NAME=\"can\"ary\"", "the closing quote at the end of the line, and none between"),
        ("DB_NAME=\"canary\" # why", "the closing quote at the end of the line, and none between"),
    ])
    func `a line that cannot be read is named by its number and not repeated`(line: String, expected: String) {
        #expect(complaints([:], file: "\n# first\n\(line)\nMREG_PORT=1") == ["gateway.env:3: expected \(expected)"])
    }

    @Test func `a name that stands twice is named with both lines`() {
        let lines = complaints([:], file: "MREG_PORT=1\n\nMREG_PORT=1\nMREG_PORT=2")
        #expect(lines == [3, 4].map { "gateway.env:\($0): expected each name once; MREG_PORT stands at gateway.env:1 already" })
    }

    @Test func `a file that is not there is said to be so`() {
        let error = #expect(throws: SettingsError.self) { try SettingsFile(reading: "/nowhere/gateway.env") }
        #expect(error?.description == "/nowhere/gateway.env: the file is not there or cannot be read")
    }
}
