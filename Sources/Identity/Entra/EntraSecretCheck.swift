import Gateway

extension EntraSettings {
    /// Told by its form alone, of which nothing is repeated.
    var secretFindings: [EntraFinding] {
        let subject = "client secret"
        let look: [EntraFinding.Step] = [
            .portal(EntraPortal.registration("Certificates & secrets > Client secrets > Value")),
            .command(
                "(umask 077; az ad app credential reset --id \(shownClientID) --append --display-name mcp-registry-gateway "
                    + "--query password -o tsv > azure-client-secret)"),
            .setting("\(Name.clientSecretFile)=/path/to/azure-client-secret"),
        ]
        guard let secret = clientSecret?.revealed, !secret.isEmpty else {
            return [EntraFinding(.error, subject, "\(Name.clientSecret) is not set, and neither is a file with it.", look)]
        }
        var findings: [EntraFinding] = []
        if let fault = Self.fault(ofSecret: secret) {
            findings.append(EntraFinding(fault.isCertain ? .error : .warning, subject, fault.sentence, look))
        } else {
            findings.append(EntraFinding(.ok, subject, "It has the form of a client secret's value."))
        }
        let others = [tenant, clientID, authority, callbackURL, publicURL] + scopes.map { $0 } + allowedTenants.map { $0 }
        if secret.utf8.count >= 8, others.contains(where: { $0?.contains(secret) == true }) {
            findings.append(EntraFinding(.error, subject, "The same text stands in another setting, where it is not kept secret.", look))
        }
        return findings
    }

    private struct Fault {
        let sentence: String
        var isCertain = true
    }

    private static let quotes: [Character] = ["\"", "'", "`", "“", "”", "‘", "’", "«", "»"]

    private static func fault(ofSecret secret: String) -> Fault? {
        if secret.contains("-----BEGIN") { return Fault(sentence: "It is a key or a certificate, not a client secret.") }
        if let first = secret.first, let last = secret.last, quotes.contains(first) || quotes.contains(last) {
            return Fault(sentence: "It was pasted with quotes around it.")
        }
        if secret.hasControls || secret.contains(where: \.isWhitespace) {
            return Fault(sentence: "It holds a blank, a line break or another invisible character.")
        }
        if secret.contains("***") || secret.contains("•") || secret.contains("…") {
            return Fault(sentence: "It is the shortened form that the portal shows later: the whole value is shown only once, when it is made.")
        }
        guard secret.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return Fault(sentence: "It holds a character beyond ASCII; an editor may have changed a dash or a quote.")
        }
        if GUID.isOne(secret) {
            return Fault(sentence: "It has the form of the secret's id; what is needed is its value, in the column beside it.")
        }
        let digits = secret.utf8.filter { $0 != UInt8(ascii: ":") }
        if [40, 64].contains(digits.count), digits.allSatisfy(GUID.isHexadecimal) {
            return Fault(sentence: "It has the form of a certificate's thumbprint; certificates are not supported here.")
        }
        let lowered = secret.lowercased()
        if ["<", "your", "secret", "changeme", "placeholder", "xxxx"].contains(where: lowered.hasPrefix) {
            return Fault(sentence: "It is a placeholder.")
        }
        if lowered.contains("%7e") || lowered.contains("%2b") || lowered.contains("%2f") {
            return Fault(sentence: "It looks as if it had been encoded for a URL.", isCertain: false)
        }
        // New ones are of 40 characters out of letters, digits and “~._-”; older ones of 32 or 44 in base64.
        let isUsual = (30...60).contains(secret.utf8.count) && secret.utf8.allSatisfy(isUsualByte)
        return isUsual ? nil : Fault(sentence: "It has not the usual form: about 40 letters, digits and “~”, “.”, “_” or “-”.", isCertain: false)
    }

    private static func isUsualByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || "~._-+/=".utf8.contains(byte)
    }
}
