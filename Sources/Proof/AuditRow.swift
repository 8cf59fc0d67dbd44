package import Gateway

/// A record as it lies in the audit log: numbered, and with the code that only the holder of the record key can make.
package struct AuditRow: Hashable, Sendable {
    /// Counts up by one, without a gap.
    package let id: Int64
    package let record: AuditRecord
    /// The first 8 bytes of an HMAC-SHA256 over `canonicalBytes`.
    package let mac: [UInt8]

    package init(id: Int64, record: AuditRecord, mac: [UInt8]) {
        self.id = id
        self.record = record
        self.mac = mac
    }
}

extension AuditRow {
    /// What is sealed of a row: every column in the order of the table. Integers are 8 bytes, big-endian; a column that
    /// may be missing has a byte 0 or 1 before it; a text has its length in 2 bytes before it. The response time is
    /// the bit pattern of its milliseconds, as SQLite keeps them.
    ///
    /// The form is part of what was promised to whoever holds an export: it is never changed, only succeeded by another.
    package static func canonicalBytes(id: Int64, _ record: AuditRecord) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(192)
        bytes.append(integer: id)
        bytes.append(integer: record.at.microseconds)
        bytes.append(optional: record.user?.rawValue)
        bytes.append(optional: record.tenant?.rawValue)
        bytes.append(optional: record.server?.rawValue)
        bytes.append(text: record.action)
        bytes.append(text: record.target)
        bytes.append(text: record.outcome.rawValue)
        bytes.append(text: record.reason)
        bytes.append(integer: Int64(record.status))
        bytes.append(integer: Int64(bitPattern: record.milliseconds.bitPattern))
        bytes.append(text: record.address)
        bytes.append(integer: Int64(bitPattern: record.requestID.rawValue))
        bytes.append(integer: Int64(record.weight))
        return bytes
    }

    var canonicalBytes: [UInt8] { Self.canonicalBytes(id: id, record) }
}

extension AuditRecord {
    /// The record as its row can hold it: texts cut to their columns, without control characters.
    package var storable: AuditRecord {
        var record = self
        record.action = action.cut(128).withoutControls.cut(128)
        record.target = target.cut(128).withoutControls.cut(128)
        record.reason = reason.cut(128).withoutControls.cut(128)
        record.address = address.cut(64).withoutControls.cut(64)
        return record
    }

    /// The response time as its column holds it.
    package var milliseconds: Double { Double(duration.microseconds) / 1000 }
}

extension [UInt8] {
    mutating func append(integer value: Int64) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    mutating func append(optional value: Int64?) {
        append(value == nil ? 0 : 1)
        if let value { append(integer: value) }
    }

    mutating func append(text: String) {
        let utf8 = text.utf8
        precondition(utf8.count <= Int(UInt16.max), "a column's text is short")
        append(UInt8(utf8.count >> 8))
        append(UInt8(utf8.count & 0xFF))
        append(contentsOf: utf8)
    }
}
