import FoundationEssentials
import Gateway
import Testing

@testable import mreg

struct SettingsSecretTests {
    let name = "MREG_AZURE_CLIENT_SECRET"
    let canary = "c4n4ry-7Q"
    let directory = FileManager.default.temporaryDirectory.appending(path: "settings-\(UInt64.random(in: .min ... .max))").path

    private func write(_ text: String, to file: String) throws -> String {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let path = directory + "/" + file
        #expect(FileManager.default.createFile(atPath: path, contents: Data(text.utf8)))
        return path
    }

    @Test func `a secret comes from its variable, a named file or the credentials directory, in this order`() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = try write("from-file\n", to: "secret")
        _ = try write("from-credential", to: name)
        let file = SettingsFile(parsing: "\(name)_FILE=\(path)", path: "gateway.env")

        let direct = try Settings(environment: [name: canary, "CREDENTIALS_DIRECTORY": directory], file: file)
        #expect(direct.azure.clientSecret?.revealed == canary)
        let named = try Settings(environment: ["CREDENTIALS_DIRECTORY": directory], file: file)
        #expect(named.azure.clientSecret?.revealed == "from-file")
        #expect(named.sources[name]?.description == "the file in \(name)_FILE, gateway.env:1")
        let credential = try Settings(environment: ["CREDENTIALS_DIRECTORY": directory, name: ""])
        #expect(credential.azure.clientSecret?.revealed == "from-credential")
        #expect(credential.oidc.clientSecret == nil)
        #expect(try Settings(environment: ["CREDENTIALS_DIRECTORY": "/nowhere"]).azure.clientSecret == nil)
    }

    @Test func `a secret in two places at once is refused`() {
        let lines = complaints([name: canary, name + "_FILE": "/x"])
        #expect(lines == ["\(name)=redacted (environment), \(name)_FILE=redacted (environment): only one of the two may be set"])
    }

    @Test func `no message ever holds a secret`() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let broken = try write("\(canary)\n\(canary)", to: name)
        let key = "-----BEGIN PRIVATE KEY-----\n\(canary)"
        let cases: [(environment: [String: String], file: String)] = [
            ([name: canary + "\u{0}"], ""), ([name + "_FILE": canary], ""), ([name + "_FILE": broken], ""),
            (["CREDENTIALS_DIRECTORY": directory], ""),
            (["MREG_AZURE_CLIENT_SECRE": canary], ""), (["DB_PASSWORD": canary], ""), (["REDIS_URL": "redis://:\(canary)@cache"], ""),
            (["MREG_OIDC_ISSUER": "https://me:\(canary)@id.example"], ""), (["MREG_OIDC_ISSUER": "me:\(canary)@id.example"], ""),
            (["MREG_TLS_KEY_FILE": key], ""), (["MREG_SEALING_KEY_FILE": key], ""),
            ([:], "\(name) \(canary)"), ([:], "\(name)=\"\(canary)"), ([:], "\(name)=\(canary)\n\(name)=\(canary)"), ([:], "PASSWORD=\(canary)"),
        ]
        for (environment, file) in cases {
            let lines = complaints(environment, file: file)
            #expect(!lines.isEmpty && lines.allSatisfy { !$0.contains(canary) }, "\(lines)")
        }

        let settings = try Settings(environment: [name: canary])
        var dumped = ""
        dump(settings, to: &dumped)
        #expect(!settings.report().contains(canary) && !dumped.contains(canary) && !String(reflecting: settings).contains(canary))
    }
}
