import Access
import Gateway
import MCP
import Synchronization

/// A table as callers of one policy class see it: their pages, already written out.
struct TableView: Sendable {
    /// Begins its cursors: different for every table, and for every choice of its tools.
    let mark: String
    let pages: [Revision.Era: [JSONText]]

    var byteCount: Int { pages.values.joined().reduce(0) { $0 + $1.bytes.count } }

    /// A page of the list as a finished result; nil if the cursor is not one of this view's.
    func tools(after cursor: String?, in era: Revision.Era) -> JSONText? {
        guard let cursor else { return pages[era]?.first }
        guard cursor.hasPrefix(mark + "."), let page = Int(cursor.dropFirst(mark.count + 1)) else { return nil }
        guard let pages = pages[era], pages.indices.contains(page) else { return nil }
        return pages[page]
    }
}

/// The views of one table that were asked for lately: of at most so many policy classes, and so many bytes. Who was not there
/// for longest goes first; their next list is written anew, the same to the byte.
final class TableViews: Sendable {
    private struct Entry {
        let view: TableView
        let bytes: Int
        var lastUse: UInt64
    }

    private struct State {
        var entries: [ToolRules.Class: Entry] = [:]
        var bytes = 0
        var uses: UInt64 = 0
    }

    static let mostClasses = 64
    static let mostBytes = 16 << 20

    private let state = Mutex(State())

    func find(_ key: ToolRules.Class) -> TableView? {
        state.withLock { state in
            state.uses += 1
            let uses = state.uses
            guard state.entries[key] != nil else { return nil }
            state.entries[key]?.lastUse = uses
            return state.entries[key]?.view
        }
    }

    /// - Parameter bytes: what the view takes besides what the table holds anyhow.
    func keep(_ view: TableView, for key: ToolRules.Class, bytes: Int) {
        guard bytes <= Self.mostBytes else { return }
        state.withLock { state in
            if let former = state.entries.removeValue(forKey: key) { state.bytes -= former.bytes }
            while state.entries.count >= Self.mostClasses || state.bytes + bytes > Self.mostBytes {
                guard let oldest = state.entries.min(by: { $0.value.lastUse < $1.value.lastUse }) else { break }
                state.entries[oldest.key] = nil
                state.bytes -= oldest.value.bytes
            }
            state.uses += 1
            state.entries[key] = Entry(view: view, bytes: bytes, lastUse: state.uses)
            state.bytes += bytes
        }
    }

    /// A view somebody of another class has already.
    func view(marked mark: String) -> TableView? {
        state.withLock { $0.entries.values.first { $0.view.mark == mark }?.view }
    }

    var count: Int { state.withLock { $0.entries.count } }
}
