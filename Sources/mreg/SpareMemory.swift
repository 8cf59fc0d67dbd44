import CMalloc
import NIOPosix
import ServiceLifecycle

/// Memory that was freed and that the allocator keeps, in bytes: whether it is so much that it should go back to the system.
///
/// What went back still counts as free until it is used again, so it is the growth since then that matters.
struct SpareMemory {
    static let most = 64 << 20

    private var settled = 0

    mutating func isTooMuch(_ free: Int) -> Bool {
        settled = min(settled, free)
        return free - settled > Self.most
    }

    mutating func wentBack(leaving free: Int) { settled = free }
}

/// Gives memory back after a crowd has gone: the allocator keeps it by itself, in pieces too small for it to let go.
struct SpareMemoryKeeper: Service {
    private static let interval = Duration.seconds(10)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var spare = SpareMemory()
            while (try? await Task.sleep(for: Self.interval)) != nil {
                guard spare.isTooMuch(Self.free) else { continue }
                // It takes a while, during which a thread of the pool would do nothing else.
                try? await NIOThreadPool.singleton.runIfActive { _ = malloc_trim(0) }
                spare.wentBack(leaving: Self.free)
            }
        }
    }

    private static var free: Int { malloc_free_bytes() }
}
