/// One thing an operator can set: its name, its meaning, and the place in `Settings` that its text fills.
struct Setting: Sendable {
    typealias Field = any PartialKeyPath<Settings> & Sendable

    let name: String
    let meaning: String
    /// What a good value looks like, in words that follow “expected”.
    let expected: String
    /// Whether the running program acts on it today.
    let hasEffect: Bool
    /// Whether its value stays out of every message: a secret, or a path in whose place a key is easily pasted.
    let isRedacted: Bool
    /// Whether an empty value stands for none at all.
    let isOptional: Bool
    /// The variable that names a file with the value; only secrets have one.
    let fileName: String?
    let field: Field
    private let assign: @Sendable (inout Settings, String) -> Bool
    private let render: @Sendable (Settings) -> String

    init<Value>(
        _ name: String, _ field: any WritableKeyPath<Settings, Value> & Sendable, _ form: SettingForm<Value>, _ meaning: String,
        isRedacted: Bool = false, hasEffect: Bool = false
    ) {
        self.name = name
        self.meaning = meaning
        self.hasEffect = hasEffect
        self.isRedacted = isRedacted || form.isSecret
        self.field = field
        expected = form.expected
        isOptional = form.isOptional
        fileName = form.isSecret ? name + "_FILE" : nil
        assign = { settings, text in
            guard let value = form.parse(text) else { return false }
            settings[keyPath: field] = value
            return true
        }
        render = { form.text($0[keyPath: field]) }
    }

    /// Puts the value into its place; false if the text is not what is expected.
    func set(_ text: String, in settings: inout Settings) -> Bool { assign(&settings, text) }

    /// The value as the operator would write it; empty if there is none.
    func text(in settings: Settings) -> String {
        let text = render(settings)
        return isRedacted && !text.isEmpty ? "redacted" : text
    }

    var defaultText: String { text(in: Settings()) }
}
