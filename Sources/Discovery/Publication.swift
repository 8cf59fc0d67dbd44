package import Gateway

/// What a server's owner shows everybody of it.
package struct PublicFace: Hashable, Sendable {
    package let tenant: TenantID
    package let alias: ServerAlias
    package let title: String
    package let description: String

    /// How long `title` and `description` of a `server.json` may be, in characters.
    package static let longest = 100

    /// Nil for a server that is not public, or switched off.
    package init?(_ server: ServerRecord) {
        guard server.isPublic, server.status == .active else { return nil }
        self.init(tenant: server.tenant, alias: server.alias, title: server.title, description: server.description)
    }

    /// - Parameter description: the title serves where there is none.
    package init(tenant: TenantID, alias: ServerAlias, title: String, description: String?) {
        func fitting(_ text: String) -> String { String(String.UnicodeScalarView(text.unicodeScalars.prefix(Self.longest))) }
        self.tenant = tenant
        self.alias = alias
        self.title = fitting(title)
        self.description = fitting(description ?? title)
    }
}

/// What was once published of a server. It never changes.
package struct PublishedVersion: Hashable, Sendable {
    /// Counts from 0, also over a time in which the server was not public.
    package let number: Int
    /// The public URL the gateway had.
    package let origin: String
    package let title: String
    package let description: String
    package let publishedAt: Timestamp

    package init(number: Int, origin: String, title: String, description: String, publishedAt: Timestamp) {
        self.number = number
        self.origin = origin
        self.title = title
        self.description = description
        self.publishedAt = publishedAt
    }

    func says(_ face: PublicFace, at origin: Origin) -> Bool {
        (self.origin, title, description) == (origin.description, face.title, face.description)
    }
}

/// A server that is public, or was.
package struct PublishedServer: Hashable, Sendable {
    package let tenant: TenantID
    package let alias: ServerAlias
    /// Whether it is public now.
    package var isListed: Bool
    /// When it last became public, or ceased to be.
    package var statusChangedAt: Timestamp
    /// Oldest first, numbered without gaps; never empty.
    package var versions: [PublishedVersion]

    package init(tenant: TenantID, alias: ServerAlias, isListed: Bool, statusChangedAt: Timestamp, versions: [PublishedVersion]) {
        self.tenant = tenant
        self.alias = alias
        self.isListed = isListed
        self.statusChangedAt = statusChangedAt
        self.versions = versions
    }
}

/// How what is published follows what is registered.
package enum Publication {
    package enum Change: Hashable, Sendable {
        /// As it is now, whole.
        case store(PublishedServer)
        case forget(PublishedServer)
    }

    /// Versions that are kept of a server; the oldest are forgotten, and their numbers never used again.
    package static let mostVersions = 100
    /// Servers that are kept though they are not public any more, so that mirrors hear of it and a server that comes back goes
    /// on counting; who is out for longest is forgotten.
    package static let mostUnlisted = 1000

    /// What is to be changed so that exactly these faces are published.
    ///
    /// A face that differs from the newest version becomes another version. Asked again it changes nothing.
    ///
    /// - Parameters:
    ///   - published: all that was ever published and not forgotten, each server once.
    ///   - faces: each server once.
    package static func changes(to published: [PublishedServer], faces: [PublicFace], origin: Origin, at now: Timestamp) -> [Change] {
        struct Key: Hashable {
            let tenant: TenantID
            let alias: ServerAlias
        }
        let faces = Dictionary(faces.map { (Key(tenant: $0.tenant, alias: $0.alias), $0) }) { first, _ in first }
        var servers = Dictionary(published.map { (Key(tenant: $0.tenant, alias: $0.alias), $0) }) { first, _ in first }
        var changes: [Change] = []
        for (key, server) in servers where server.isListed && faces[key] == nil {
            var gone = server
            gone.isListed = false
            gone.statusChangedAt = max(now, Timestamp(microseconds: server.lastChange.microseconds + 1))
            servers[key] = gone
            changes.append(.store(gone))
        }
        for (key, face) in faces {
            let former = servers[key]
            var server = former ?? PublishedServer(tenant: face.tenant, alias: face.alias, isListed: true, statusChangedAt: now, versions: [])
            // Moments of one server differ and rise, whatever the clock does.
            let moment = former.map { max(now, Timestamp(microseconds: $0.lastChange.microseconds + 1)) } ?? now
            if !(server.versions.last?.says(face, at: origin) ?? false) {
                server.versions.append(
                    PublishedVersion(
                        number: (server.versions.last?.number ?? -1) + 1, origin: origin.description, title: face.title,
                        description: face.description, publishedAt: moment))
                server.versions = server.versions.suffix(mostVersions)
            }
            if !server.isListed {
                server.isListed = true
                server.statusChangedAt = moment
            }
            if server != former { changes.append(.store(server)) }
        }
        let unlisted = servers.values.filter { !$0.isListed && faces[Key(tenant: $0.tenant, alias: $0.alias)] == nil }
        let overdue = unlisted.sorted { $0.statusChangedAt > $1.statusChangedAt }.dropFirst(mostUnlisted)
        return changes + overdue.map { .forget($0) }
    }
}

extension PublishedServer {
    fileprivate var lastChange: Timestamp { max(statusChangedAt, versions.last?.publishedAt ?? statusChangedAt) }
}
