/// Values under random names, of which the oldest are forgotten when there are too many.
struct Ledger<Value: Sendable>: Sendable {
    private var values: [String: Value] = [:]
    private var order: [String] = []
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    subscript(name: String) -> Value? { values[name] }

    /// - Returns: the name under which the value is found.
    mutating func add(_ value: Value) -> String {
        if order.count >= capacity { values[order.removeFirst()] = nil }
        let name = Base64URL.encode((0..<32).map { _ in UInt8.random(in: .min ... .max) })
        values[name] = value
        order.append(name)
        return name
    }

    mutating func update(_ name: String, _ change: (inout Value) -> Void) {
        guard var value = values[name] else { return }
        change(&value)
        values[name] = value
    }

    mutating func take(_ name: String) -> Value? {
        guard let value = values.removeValue(forKey: name) else { return nil }
        order.removeAll { $0 == name }
        return value
    }
}
