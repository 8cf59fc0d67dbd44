import Gateway
import Testing

@testable import Identity

struct AADSTSTests {
    @Test(arguments: [
        ("AADSTS50011", [50011]),
        ("AADSTS7000215: Invalid client secret provided. Trace ID: 0aaa", [7_000_215]),
        ("invalid_client: aadsts70002: Error validating credentials. AADSTS50012: Client assertion is not good. AADSTS70002", [70002, 50012]),
        (#"{"error":"x","error_description":"AADSTS900144: The request body must contain 'scope'."}"#, [900_144]),
        ("AADSTSAADSTS65001", [65001]),
        ("AADSTS9010010.", [9_010_010]),
    ])
    func `the codes of a text are found, each once and in their order`(_ text: String, _ codes: [Int]) {
        #expect(AADSTS.all(in: text).map(\.code) == codes)
    }

    @Test(arguments: [
        "", "AADSTS", "AADSTS:", "AADSTS 50011", "AADST50011", "AADSTS123", "AADSTS1234567890", "AADSTS٥٠٠١١", "ÄADSTS", "AADSTS-50011", "50011",
    ])
    func `what is no code is not taken for one`(_ text: String) {
        #expect(AADSTS.all(in: text).isEmpty)
    }

    @Test func `of a text without end only so much is read, and only so many codes are taken`() {
        let codes = (10_000..<10_100).map { "AADSTS\($0)" }.joined(separator: " ")
        #expect(AADSTS.all(in: codes).count == 8)
        #expect(AADSTS.all(in: String(repeating: "A", count: 1 << 20) + codes).isEmpty)
    }

    /// Those that every operator of a web application meets sooner or later.
    static let common = [
        50011, 50020, 50034, 50053, 50055, 50057, 50058, 50059, 50076, 50079, 50105, 50126, 50128, 50131, 50158, 50173, 50194, 53000, 53003, 54005,
        65001, 65004, 70000, 70008, 70011, 70043, 7_000_112, 700_016, 7_000_215, 7_000_218, 7_000_222, 70002, 700_027, 700_082, 700_084, 90002, 90009,
        90014, 90023, 90072, 90094, 900_144, 9_002_313, 9_002_325, 9_002_326, 901_002, 9_010_010, 500_011, 500_113, 500_208, 501_481, 530_003, 28000,
        28003, 16000, 1_000_502,
    ]

    @Test(arguments: common) func `a common code is explained`(_ code: Int) {
        #expect(AADSTS(code: code).isKnown)
    }

    @Test func `no code is explained twice, and each in sentences`() {
        #expect(AADSTS.entries.count == AADSTS.table.count)
        #expect(AADSTS.table.count >= 100)
        for entry in AADSTS.entries {
            #expect(entry.cause.hasSuffix("."), "\(entry.name)")
            #expect(
                entry.mover == .nobody || entry.mover == .user || entry.portal != nil || entry.template != nil, "\(entry.name) says nothing to do")
        }
    }

    @Test func `an unknown code is said to be unknown, with where to look`() {
        let error = AADSTS(code: 7_654_321)
        #expect(!error.isKnown)
        #expect(error.mover == nil)
        #expect(error.command() == nil)
        #expect(error.steps().contains(.reference("https://login.microsoftonline.com/error?code=7654321")))
    }

    @Test func `commands name what is set, and words where nothing is`() {
        let settings = EntraSettings.good
        #expect(AADSTS(code: 65001).command(for: settings) == "az ad app permission admin-consent --id \(EntraSettings.client)")
        #expect(AADSTS(code: 65001).command() == "az ad app permission admin-consent --id CLIENT_ID")
        #expect(AADSTS(code: 50011).command(for: settings) == "mreg entra plan --public-url https://gateway.example > entra.sh && sh entra.sh")
    }

    @Test func `what is pasted for a client id does not get into a command`() {
        var settings = EntraSettings.good
        settings.clientID = "x; rm -rf /"
        settings.publicURL = "https://a'b$(id)"
        #expect(AADSTS(code: 65001).command(for: settings) == "az ad app permission admin-consent --id CLIENT_ID")
        #expect(AADSTS(code: 50011).command(for: settings)?.contains(#"'https://a'\''b$(id)'"#) == true)
    }

    @Test func `no command leaves a place unfilled`() {
        for entry in AADSTS.entries {
            #expect(entry.command(for: .good)?.contains("{") != true, "\(entry.name)")
        }
    }
}
