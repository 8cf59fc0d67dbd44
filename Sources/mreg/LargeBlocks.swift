import CMalloc

/// What the allocator does with large blocks of memory: a message of megabytes, say.
enum LargeBlocks {
    private static let smallest: Int32 = 256 << 10

    /// Has them mapped each by itself and given back when they are freed. Otherwise the allocator learns from the first ones to keep
    /// them, in pieces that the next one does not fit in: many large answers at once then take twice their size, for good.
    static func giveBackAtOnce() { mallopt(M_MMAP_THRESHOLD, smallest) }
}
