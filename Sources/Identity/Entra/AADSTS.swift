/// An error of Entra ID's sign-in service, told apart by the number behind “AADSTS”.
///
/// The numbers are for people: Microsoft may change what they stand for, so nothing is decided by them except what to
/// print, and, in the doctor, whether a secret was accepted.
package struct AADSTS: Hashable, Sendable {
    /// Whose move it is.
    package enum Mover: String, Sendable, CaseIterable {
        /// Whoever signs in.
        case user
        /// Who administers the directory.
        case admin
        /// Who runs the gateway.
        case `operator`
        /// It passes, or is part of the way.
        case nobody
    }

    package let code: Int
    package let cause: String
    /// Nil for a code that is not in the table.
    package let mover: Mover?
    /// Where in the portal.
    package let portal: String?
    /// `{client_id}`, `{tenant}` and `{public_url}` stand for the settings' values.
    let template: String?

    init(_ code: Int, _ mover: Mover, _ cause: String, portal: String? = nil, run template: String? = nil) {
        self.code = code
        self.cause = cause
        self.mover = mover
        self.portal = portal
        self.template = template
    }

    private init(unknown code: Int) {
        self.code = code
        cause = "This code is not among those explained here; Microsoft's reference may know it."
        mover = nil
        portal = EntraPortal.signIns
        template = nil
    }

    package init(code: Int) { self = Self.table[code] ?? Self(unknown: code) }

    package var isKnown: Bool { mover != nil }
    package var name: String { "AADSTS\(code)" }
    package var reference: String { "https://login.microsoftonline.com/error?code=\(code)" }

    /// The errors that a text names, each once, in their order: the first is often the general one and the last the cause.
    /// At most 8 are taken.
    package static func all(in text: String) -> [Self] {
        var found: [Self] = []
        var rest = text.utf8.prefix(65_536)
        while let start = rest.firstRange(ignoringCase: "AADSTS".utf8) {
            rest = rest[start.upperBound...]
            let digits = rest.prefix { (0x30...0x39).contains($0) }
            guard (4...9).contains(digits.count), let code = Int(String(decoding: digits, as: UTF8.self)) else { continue }
            if !found.contains(where: { $0.code == code }) { found.append(Self(code: code)) }
            if found.count == 8 { break }
        }
        return found
    }

    /// The command, with what is known of the settings filled in.
    package func command(for settings: EntraSettings? = nil) -> String? {
        guard let template else { return nil }
        let tenant = settings?.tenant.flatMap { EntraTenant($0, at: EntraSettings.defaultAuthority)?.name }
        return template.replacing("{client_id}", with: settings?.shownClientID ?? "CLIENT_ID")
            .replacing("{tenant}", with: tenant ?? "TENANT_ID")
            .replacing("{public_url}", with: settings.map { ShellText.quoted($0.publicURL) } ?? "https://YOUR.GATEWAY")
    }

    /// What to do about it.
    package func steps(for settings: EntraSettings? = nil) -> [EntraFinding.Step] {
        [portal.map { .portal($0) }, command(for: settings).map { .command($0) }, .reference(reference)].compactMap { $0 }
    }
}

extension AADSTS.Mover: CustomStringConvertible {
    package var description: String {
        switch self {
        case .user: "the user's"
        case .admin: "the directory administrator's"
        case .operator: "the gateway operator's"
        case .nobody: "nobody's"
        }
    }
}

extension Substring.UTF8View {
    /// - Parameter wanted: letters of ASCII only.
    fileprivate func firstRange(ignoringCase wanted: String.UTF8View) -> Range<Index>? {
        let wanted = wanted.map { $0 | 0x20 }
        var start = startIndex
        while let end = index(start, offsetBy: wanted.count, limitedBy: endIndex) {
            if self[start..<end].lazy.map({ $0 | 0x20 }).elementsEqual(wanted) { return start..<end }
            guard start < endIndex else { return nil }
            start = index(after: start)
        }
        return nil
    }
}
