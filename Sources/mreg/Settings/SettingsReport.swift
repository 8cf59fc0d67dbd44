extension Settings {
    /// What the operator set that the program does not act on yet.
    var setWithoutEffect: [String] { Self.withoutEffect(among: sources.keys) }

    /// Those of the names that the program does not act on yet, in the catalogue's order.
    static func withoutEffect(among names: some Sequence<String>) -> [String] {
        let names = Set(names)
        return namesWithoutEffect.filter(names.contains)
    }

    static var namesWithoutEffect: [String] { SettingsCatalogue.all.filter { !$0.hasEffect }.map(\.name) }

    /// What `mreg serve --check` prints about good settings.
    func report() -> String {
        let set = SettingsCatalogue.all.compactMap { setting in sources[setting.name].map { (setting: setting, source: $0) } }
        var lines = ["settings are good: \(set.count) set, \(SettingsCatalogue.all.count - set.count) at their defaults"]
        if !set.isEmpty {
            let names = set.map(\.setting.name)
            let values = set.map { $0.setting.text(in: self) }
            let widths = [names, values].map { column in column.map(\.count).max() ?? 0 }
            lines.append("")
            for (index, item) in set.enumerated() {
                lines.append("  \(names[index].padded(to: widths[0]))  \(values[index].padded(to: min(widths[1], 48)))  \(item.source)")
            }
        }
        if !setWithoutEffect.isEmpty {
            lines += ["", "set, but without effect in this version:"] + setWithoutEffect.map { "  " + $0 }
        }
        if !Self.namesWithoutEffect.isEmpty {
            lines += ["", "all names without effect in this version:"] + Self.namesWithoutEffect.map { "  " + $0 }
        }
        return lines.joined(separator: "\n")
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
