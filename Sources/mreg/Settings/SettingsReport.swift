extension Settings {
    /// What the program does not act on yet.
    static var namesWithoutEffect: [String] { SettingsCatalogue.all.filter { !$0.hasEffect }.map(\.name) }

    /// The part of it that the operator set.
    var setWithoutEffect: [String] { Self.namesWithoutEffect.filter { sources[$0] != nil } }

    /// What `mreg serve --check` prints about good settings.
    func report() -> String {
        let set = SettingsCatalogue.all.compactMap { setting in
            sources[setting.name].map { (name: setting.name, value: setting.text(in: self), source: $0) }
        }
        let nameWidth = set.map(\.name.count).max() ?? 0
        let valueWidth = min(set.map(\.value.count).max() ?? 0, 48)
        let parts = [
            ("settings are good: \(set.count) set, \(SettingsCatalogue.all.count - set.count) at their defaults", []),
            ("", set.map { "\($0.name.padded(to: nameWidth))  \($0.value.padded(to: valueWidth))  \($0.source)" }),
            ("\nset, but without effect in this version:", setWithoutEffect),
            ("\nall names without effect in this version:", Self.namesWithoutEffect),
        ]
        let shown = parts.prefix(1) + parts.dropFirst().filter { !$0.1.isEmpty }
        return shown.flatMap { [$0.0] + $0.1.map { "  " + $0 } }.joined(separator: "\n")
    }
}

extension SettingsCatalogue {
    /// The body of docs/settings.md: a table for each subject.
    static func markdown() -> String {
        subjects.map { subject in
            let header = "## \(subject.title)\n\n| Name | Default | Expected | Meaning |\n|---|---|---|---|\n"
            return header + subject.settings.map(row).joined()
        }.joined(separator: "\n")
    }

    private static func row(of setting: Setting) -> String {
        let name = "`\(setting.name)`" + (setting.fileName.map { ", or the file in `\($0)`" } ?? "")
        let defaultText = setting.defaultText.isEmpty ? "–" : "`\(setting.defaultText)`"
        let meaning = setting.meaning + (setting.hasEffect ? "" : " *No effect yet.*")
        return "| \(name) | \(defaultText) | \(setting.expected) | \(meaning) |\n"
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
