import Access
import Gateway
import MCP
import Synchronization

/// One list of an endpoint as callers of one policy class see it: its pages, already written out.
struct ListView: Sendable {
    /// Pages hold this many entries.
    static let pageLength = 100

    /// The same for everybody who sees the same entries; two lists may have the same by chance or by malice.
    let mark: UInt64
    /// Servers that the list says are missing from it.
    private let missing: [String]
    private let keys: [String]
    let items: [JSONText]
    private let pages: [ListPage]
    private let write: @Sendable (ArraySlice<JSONText>, _ next: String?) -> ListPage

    /// - Parameter entries: each under the name or URI it is shown by, no two under the same.
    init(
        _ entries: [(key: String, text: JSONText)], missing: [String] = [], mark: UInt64,
        write: @escaping @Sendable (ArraySlice<JSONText>, _ next: String?) -> ListPage
    ) {
        self.mark = mark
        self.missing = missing
        self.write = write
        keys = entries.map(\.key)
        items = entries.map(\.text)
        let starts = entries.isEmpty ? [0] : Array(stride(from: 0, to: entries.count, by: Self.pageLength))
        pages = starts.map { start in
            let end = min(start + Self.pageLength, entries.count)
            return write(entries[start..<end].map(\.text)[...], end < entries.count ? entries[end - 1].key : nil)
        }
    }

    /// Whether it lists exactly these, byte for byte.
    func lists(_ keys: [String], missing: [String]) -> Bool {
        self.missing == missing && self.keys.elementsEqual(keys) { $0.utf8.elementsEqual($1.utf8) }
    }

    var byteCount: Int { pages.reduce(0) { $0 + $1.byteCount * 2 } }

    /// The page after that entry, or the first; nil if there is no such entry any more. Entries that came or went
    /// elsewhere in the list do no harm to whoever is half through it.
    func page(after key: String?) -> ListPage? {
        guard let key else { return pages.first }
        if let page = pages.firstIndex(where: { $0.next == key }) { return pages[page + 1] }
        guard let place = keys.firstIndex(of: key) else { return nil }
        let end = min(place + 1 + Self.pageLength, keys.count)
        return write(items[(place + 1)..<end], end < keys.count ? keys[end - 1] : nil)
    }
}

/// The views of one table that were asked for lately: at most so many, and so many bytes. What was not asked for longest goes
/// first; the next to ask has it written anew, the same to the byte.
final class ListViews: Sendable {
    struct Key: Hashable {
        let kind: ListKind
        let era: Revision.Era
        let policy: ToolRules.Class
    }

    private struct Entry {
        let view: ListView
        var lastUse: UInt64
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        var bytes = 0
        var uses: UInt64 = 0
    }

    static let most = 512
    static let mostBytes = 48 << 20

    private let state = Mutex(State())

    func find(_ key: Key) -> ListView? {
        state.withLock { state in
            state.uses += 1
            let uses = state.uses
            guard state.entries[key] != nil else { return nil }
            state.entries[key]?.lastUse = uses
            return state.entries[key]?.view
        }
    }

    func keep(_ view: ListView, for key: Key) {
        let bytes = view.byteCount
        guard bytes <= Self.mostBytes else { return }
        state.withLock { state in
            if let former = state.entries.removeValue(forKey: key) { state.bytes -= former.view.byteCount }
            while state.entries.count >= Self.most || state.bytes + bytes > Self.mostBytes {
                guard let oldest = state.entries.min(by: { $0.value.lastUse < $1.value.lastUse }) else { break }
                state.entries[oldest.key] = nil
                state.bytes -= oldest.value.view.byteCount
            }
            state.uses += 1
            state.entries[key] = Entry(view: view, lastUse: state.uses)
            state.bytes += bytes
        }
    }

    /// A view of the same entries that somebody of another class has already.
    func view(of keys: [String], missing: [String], marked mark: UInt64, _ kind: ListKind, in era: Revision.Era) -> ListView? {
        let view = state.withLock { $0.entries.first { $0.key.kind == kind && $0.key.era == era && $0.value.view.mark == mark }?.value.view }
        return view?.lists(keys, missing: missing) ?? false ? view : nil
    }

    var count: Int { state.withLock { $0.entries.count } }
}
