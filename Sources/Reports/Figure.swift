/// One number of a report, with what a reader needs to believe it.
package struct Figure: Hashable, Sendable {
    package let name: String
    /// Nil when there is not enough data; `note` says what is missing.
    package let value: Double?
    package let unit: String
    /// The period it speaks of.
    package let window: String
    package let formula: String
    package let target: String?
    /// Nil without a target or a value.
    package let isMet: Bool?
    package let note: String?

    package init(
        _ name: String, _ value: Double?, unit: String, window: String, formula: String, target: Target? = nil, note: String? = nil
    ) {
        self.name = name
        let sound = value.flatMap { $0.isFinite ? $0 : nil }
        self.value = sound
        self.unit = unit
        self.window = window
        self.formula = formula
        self.target = target?.text
        isMet = sound.flatMap { value in target.map { $0.isMet(value) } }
        self.note = sound == nil ? note ?? "not enough data" : note
    }

    package enum Target: Hashable, Sendable {
        case below(Double, String)
        case above(Double, String)

        var text: String {
            switch self {
            case .below(_, let text): "below \(text)"
            case .above(_, let text): "above \(text)"
            }
        }

        func isMet(_ value: Double) -> Bool {
            switch self {
            case .below(let bound, _): value < bound
            case .above(let bound, _): value > bound
            }
        }
    }
}
