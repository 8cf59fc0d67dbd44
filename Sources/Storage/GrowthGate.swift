import Glibc

/// Lets transactions through side by side, and a growth of the map alone. Nobody passes it twice at the same time: who
/// waits for its turn to grow would wait for ever.
final class GrowthGate: Sendable {
    // Safe: made by `init`, and all that follows is the lock's own business.
    private nonisolated(unsafe) let lock: UnsafeMutablePointer<pthread_rwlock_t>

    init() {
        lock = .allocate(capacity: 1)
        var attributes = pthread_rwlockattr_t()
        pthread_rwlockattr_init(&attributes)
        // Else transactions that follow one another closely would keep the growth out.
        pthread_rwlockattr_setkind_np(&attributes, Int32(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP))
        let code = pthread_rwlock_init(lock, &attributes)
        precondition(code == 0, "a lock cannot be made")
        pthread_rwlockattr_destroy(&attributes)
    }

    deinit {
        pthread_rwlock_destroy(lock)
        lock.deallocate()
    }

    func passing<Value>(_ body: () throws -> Value) rethrows -> Value {
        let code = pthread_rwlock_rdlock(lock)
        precondition(code == 0, "a lock cannot be taken")
        defer { pthread_rwlock_unlock(lock) }
        return try body()
    }

    func alone<Value>(_ body: () throws -> Value) rethrows -> Value {
        let code = pthread_rwlock_wrlock(lock)
        precondition(code == 0, "a lock cannot be taken")
        defer { pthread_rwlock_unlock(lock) }
        return try body()
    }
}
