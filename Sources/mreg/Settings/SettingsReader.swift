import FoundationEssentials
import Gateway

extension Settings {
    /// Reads every setting: the environment wins over the file, the file over the default.
    ///
    /// - Throws: all problems at once.
    init(environment: [String: String], file: SettingsFile? = nil) throws(SettingsError) {
        self.init()
        let reader = SettingsReader(environment: environment, file: file)
        var problems = (file?.problems ?? []) + reader.unknownNames()
        var doubtful: Set<String> = []
        for setting in SettingsCatalogue.all {
            do throws(SettingsProblem) {
                guard let found = try reader.value(of: setting) else { continue }
                guard setting.set(found.text, in: &self) else {
                    let shown = ShownSetting(setting.name, found.text, isRedacted: setting.isRedacted, from: found.source)
                    throw .malformed(shown, expected: setting.expected)
                }
                sources[setting.name] = found.source
            } catch {
                problems.append(error)
                doubtful.insert(setting.name)
            }
        }
        problems += contradictions(leavingOut: doubtful)
        guard problems.isEmpty else { throw SettingsError(problems: problems) }
    }
}

/// Looks settings up where the operator may have put them.
private struct SettingsReader {
    /// The environment, then the file: the first that has a value decides.
    private let layers: [[String: WrittenSetting]]
    private let credentialsDirectory: String?

    init(environment: [String: String], file: SettingsFile?) {
        layers = [environment.mapValues { WrittenSetting(text: $0, source: .environment) }, file?.entries ?? [:]]
        credentialsDirectory = environment["CREDENTIALS_DIRECTORY"]
    }

    func unknownNames() -> [SettingsProblem] {
        let known = SettingsCatalogue.all.flatMap { [$0.name, $0.fileName].compactMap(\.self) }
        let isOurs: (String) -> Bool = { name in SettingsCatalogue.prefixes.contains { name.hasPrefix($0) } }
        return layers.flatMap { layer in
            layer.sorted { $0.key < $1.key }.filter { name, found in
                !known.contains(name) && (found.source != .environment || isOurs(name))
            }
        }.map { name, found in
            // Compared by its first bytes only: a hostile name is long.
            let start = String(decoding: name.utf8.prefix(100), as: UTF8.self).uppercased()
            let nearest = known.min { $0.editDistance(to: start) < $1.editDistance(to: start) }
            return .unknown(name: name, source: found.source, nearest: nearest ?? "")
        }
    }

    func value(of setting: Setting) throws(SettingsProblem) -> WrittenSetting? {
        for layer in layers {
            let direct = layer[setting.name].flatMap { $0.text.isEmpty && setting.isOptional ? nil : $0 }
            guard let variable = setting.fileName, let named = layer[variable], !named.text.isEmpty else {
                if let direct { return direct }
                continue
            }
            if let direct {
                let both = [setting.name: direct, variable: named].sorted { $0.key < $1.key }
                    .map { ShownSetting($0.key, $0.value.text, isRedacted: true, from: $0.value.source) }
                throw .contradiction(both, rule: "only one of the two may be set")
            }
            // Shown redacted: a secret easily lands in the variable that should name its file.
            let shown = ShownSetting(variable, named.text, isRedacted: true, from: named.source)
            return WrittenSetting(text: try secret(in: named.text, shown), source: .secretFile(variable: variable, from: named.source))
        }
        guard setting.fileName != nil, let credentialsDirectory, !credentialsDirectory.isEmpty else { return nil }
        let path = credentialsDirectory + "/" + setting.name
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        let shown = ShownSetting(setting.name, "redacted", isRedacted: true, from: .credential)
        return WrittenSetting(text: try secret(in: path, shown), source: .credential)
    }

    /// The file's text without the newline that editors leave at its end.
    private func secret(in path: String, _ shown: ShownSetting) throws(SettingsProblem) -> String {
        do {
            let text = try textOfFile(path, atMost: 65_536)
            return text.last?.isNewline == true ? String(text.dropLast()) : text
        } catch {
            throw .malformed(shown, expected: "a readable file with the secret; \(error.reason)")
        }
    }
}
