import ArgumentParser
import Gateway
import Identity

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Find out what is wrong, and what to do about it.", subcommands: [Entra.self, Aadsts.self])

    struct Entra: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check the sign-in through Entra ID: the settings, and what Entra ID says to them.",
            discussion: """
                Looks at the settings first, then fetches the tenant's metadata and keys, tries client id and secret, and compares
                the clocks. The secret goes to Entra ID's token endpoint and is never printed. Ends with status 1 if anything is wrong.
                """)

        @OptionGroup var source: SettingsSource
        @Flag(help: "Only look at the settings; ask nobody.") var offline = false

        func run() async throws {
            let settings: Settings
            do throws(SettingsError) { settings = try source.read() } catch { throw OperatorError(error.description) }
            let report = await Self.report(settings, isOffline: offline, fetcher: try doctorFetcher(settings))
            print(report.text)
            if report.hasErrors { throw ExitCode(1) }
        }

        static func report(_ settings: Settings, isOffline: Bool, fetcher: Fetcher) async -> DoctorReport {
            let entra = settings.entra
            var report = DoctorReport()
            report.add("Settings", EntraSettingsCheck.findings(entra))
            guard !isOffline, entra.tenant != nil else { return report }
            report.add("Entra ID", await EntraProbe(entra, fetcher: fetcher) { Clocks.now().wall }.findings())
            return report
        }
    }

    struct Aadsts: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "aadsts", abstract: "Explain an error of Entra ID: what it means, whose move it is, what to do.",
            discussion: "Takes a code (AADSTS50011, or 50011) or the whole text of the error.")

        @OptionGroup var source: SettingsSource
        @Argument(help: "The code, or the error's text.") var text: [String]

        func run() throws {
            print(try Self.explanation(of: text.joined(separator: " "), for: try? source.read()))
        }

        /// - Parameter settings: whose values go into the commands; without any, words stand in their place.
        static func explanation(of text: String, for settings: Settings?) throws -> String {
            let isNumber = (4...9).contains(text.utf8.count) && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
            let errors = AADSTS.all(in: isNumber ? "AADSTS" + text : text)
            guard !errors.isEmpty else { throw OperatorError("There is no code in it: AADSTS and a number, such as AADSTS50011.") }
            let known = settings.flatMap { $0.azure.clientID == nil ? nil : $0.entra }
            return errors.map { error in
                let move = error.mover.map { ["The next move is \($0)."] } ?? []
                let lines = [error.name, ""] + ([error.cause] + move).map { Paragraph.text($0, indent: 2) } + [""]
                return (lines + error.steps(for: known).map { DoctorReport.text($0, indent: 2) }).joined(separator: "\n")
            }.joined(separator: "\n\n")
        }
    }
}

extension Settings {
    /// What concerns the sign-in through Entra ID.
    var entra: EntraSettings {
        EntraSettings(
            tenant: azure.tenantID, clientID: azure.clientID, clientSecret: azure.clientSecret, authority: azure.authority,
            allowedTenants: azure.allowedTenants, publicURL: (listener.publicOrigin ?? .localhost(port: listener.port)).description,
            callbackURL: oauth.callbackURL, scopes: oauth.scopes)
    }
}

/// How the doctor asks the issuer that the operator named, wherever that is.
func doctorFetcher(_ settings: Settings) throws -> Fetcher { try Assembly.issuerFetcher() }
