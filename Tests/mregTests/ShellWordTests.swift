import ArgumentParser
import Testing

@testable import mreg

struct ShellWordTests {
    @Test(
        arguments: [
            ("forecast", "forecast"), ("a-b_c.d/1", "a-b_c.d/1"), ("", "''"), ("new one", "'new one'"), ("$(reboot)", "'$(reboot)'"),
            ("a;b", "'a;b'"),
            ("it's", #"'it'\''s'"#), ("`x`", "'`x`'"), ("x\\", "'x\\'"), ("é", "'é'"), ("a\nb", nil), ("a\u{200B}b", nil), ("a\u{202E}b", nil),
        ] as [(String, String?)])
    func `what somebody else chose a name for is one word to a shell, or none`(text: String, word: String?) {
        #expect(ShellWord.quoted(text) == word)
    }

    @Test func `a command that is copied is read as it was meant`() throws {
        let hash = String(repeating: "a", count: 64)
        let command = try #require(
            try ServerCommand.parseAsRoot(["approve", "weather", "--hash", hash, "--", "--idempotent"]) as? ServerCommand.Approve)
        #expect(command.tools == ["--idempotent"])
        #expect(command.hash == [hash])
        #expect(!command.idempotent)
        for wrong in [
            ["approve", "weather"], ["approve", "weather", "a", "b", "--hash", hash],
            ["approve", "weather", "a", "a", "--hash", hash, "--hash", hash],
            ["approve", "weather", "--hash", hash, "--idempotent"], ["approve", "weather", "a", "--hash", hash, "--idempotent", "--not-idempotent"],
        ] {
            #expect(throws: (any Error).self, "\(wrong)") { try ServerCommand.parseAsRoot(wrong) }
        }
    }
}
