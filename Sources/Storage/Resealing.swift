import LMDB
package import Sealing

/// Changing the key: a new one is put in front of the ring, everything is sealed anew with it, and then the old one may go.
extension TokenVault {
    /// What one batch did.
    package struct Resealing: Sendable {
        package let count: Int
        /// Entries that do not open; they stay as they are.
        package let spoiled: [TokenVaultError]
        /// Whether the round is over: nothing that opens is sealed with an older key.
        package let isDone: Bool
    }

    /// Seals anew what is sealed with an older key, among the next so many entries, in one transaction.
    ///
    /// Calls follow one another until one says that it is done. Ended anywhere, by a crash too, everything opens with
    /// the keys there are, and the next round passes over what was done.
    package func reseal(batch: Int = 128) throws -> Resealing {
        let start = resealed
        let (resealing, next) = try write { transaction in
            var old: [(key: VaultKey, entry: SealedEntry)] = []
            let next = try transaction.sweep(from: start, count: max(1, batch)) { key, value in
                let entry = SealedEntry(value)
                if let key = VaultKey(key), entry.keyID != sealer.ring.current.id { old.append((key, entry)) }
                return false
            }
            var (count, spoiled): (Int, [TokenVaultError]) = (0, [])
            for (key, entry) in old {
                var plain: [UInt8]
                do throws(TokenVaultError) {
                    plain = try opened(entry, key)
                } catch {
                    spoiled.append(error)
                    continue
                }
                defer { wipe(&plain) }
                try put(plain, under: key, until: entry.expiresAt, in: transaction)
                count += 1
            }
            return (Resealing(count: count, spoiled: spoiled, isDone: next == nil), next)
        }
        resealed = next ?? []
        return resealing
    }

    /// How many entries each key but the current one has sealed, of those that are there. A key that is not named may be
    /// deleted; one that is and is not on the ring keeps its entries from being opened.
    package func oldKeysInUse() throws -> [SealingKey.ID: Int] {
        var uses: [SealingKey.ID: Int] = [:]
        var next: [UInt8]? = []
        // Page by page: a snapshot that is held for long keeps old pages from being used again.
        while let start = next {
            next = try file.read { snapshot in
                try snapshot.entries(from: start, count: 1024) { key, value in
                    guard VaultKey(key) != nil, let id = SealedEntry(value).keyID, id != sealer.ring.current.id else { return }
                    uses[id, default: 0] += 1
                }
            }
        }
        return uses
    }

    /// Those of them that are not on the ring.
    package func missingKeys() throws -> [SealingKey.ID: Int] { try oldKeysInUse().filter { sealer.ring.key($0.key) == nil } }
}
