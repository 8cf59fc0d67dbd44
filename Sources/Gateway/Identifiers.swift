/// The row id of a tenant. Tenants never share users, servers or limits.
package struct TenantID: Hashable, Sendable, Comparable {
    package let rawValue: Int64
    package init(_ rawValue: Int64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The row id of a user; unique over all tenants.
package struct UserID: Hashable, Sendable, Comparable {
    package let rawValue: Int64
    package init(_ rawValue: Int64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The row id of a registered MCP server.
package struct ServerID: Hashable, Sendable, Comparable {
    package let rawValue: Int64
    package init(_ rawValue: Int64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The row id of an API key.
package struct APIKeyID: Hashable, Sendable {
    package let rawValue: Int64
    package init(_ rawValue: Int64) { self.rawValue = rawValue }
}

/// Names one request in answers, log lines and the audit trail: 16 lower-case hexadecimal digits.
package struct RequestID: Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func random() -> Self { Self(.random(in: .min ... .max)) }

    package var description: String {
        let digits = String(rawValue, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// A moment of wall-clock time, in microseconds since 1970 UTC: how the record of truth stores it.
///
/// Nothing that grants permission is computed from it; buckets use monotonic time.
package struct Timestamp: Hashable, Sendable, Comparable {
    package let microseconds: Int64
    package init(microseconds: Int64) { self.microseconds = microseconds }
    package static func < (left: Self, right: Self) -> Bool { left.microseconds < right.microseconds }

    /// Whole seconds since 1970, as JWT claims count.
    package var seconds: Int64 { microseconds / 1_000_000 }

    /// Stops at the ends of what can be told.
    package func advanced(by duration: Duration) -> Self {
        let (sum, isBeyond) = microseconds.addingReportingOverflow(duration.microseconds)
        return Self(microseconds: isBeyond ? (duration < .zero ? .min : .max) : sum)
    }
}

extension Duration {
    /// Rounded toward zero; a duration beyond ±292,000 years traps.
    package var microseconds: Int64 {
        components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
    }
}

/// A moment on the clock that runs on through sleep and never jumps (CLOCK_BOOTTIME), in nanoseconds since boot.
///
/// Everything that turns time into permission counts in it, so no change of the wall clock grants anything.
package struct BootInstant: Hashable, Sendable, Comparable {
    package let nanoseconds: Int64
    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    package static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    package func advanced(by duration: Duration) -> Self {
        Self(nanoseconds: nanoseconds + duration.nanoseconds)
    }
}

extension Duration {
    /// Rounded toward zero; a duration beyond ±292 years traps.
    package var nanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}
