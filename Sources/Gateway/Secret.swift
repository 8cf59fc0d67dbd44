/// A value that must not reach a log, an error text or an answer by accident.
///
/// It prints as `redacted`, and there is no `==`: compare hashes, or use a constant-time comparison.
package struct Secret<Value: Sendable>: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let value: Value
    package init(_ value: Value) { self.value = value }

    /// The value itself. Each use is a place to read twice.
    package var revealed: Value { value }

    package var description: String { "redacted" }
    package var debugDescription: String { "redacted" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
