package import Gateway

/// What can be told of the settings by asking Entra ID: four checks, of which none waits for another's success.
///
/// The secret is sent to the token endpoint of the configured authority and nowhere else, and only over TLS or on this
/// machine. Of what is answered nothing is repeated but ids and error codes: the texts are ours.
package struct EntraProbe: Sendable {
    /// Above it the clock is worth a look: codes live for a minute, and tokens allow for little.
    static let noticeableSkew = Duration.seconds(30)
    /// What Entra ID and most libraries allow for.
    static let largestSkew = Duration.seconds(300)

    let settings: EntraSettings
    let fetcher: Fetcher
    let now: @Sendable () -> Timestamp
    let deadline: Duration

    /// - Parameter deadline: for each request; there are three, of which two run at the same time.
    package init(_ settings: EntraSettings, fetcher: Fetcher, deadline: Duration = .seconds(10), now: @escaping @Sendable () -> Timestamp) {
        self.settings = settings
        self.fetcher = fetcher
        self.now = now
        self.deadline = deadline
    }

    package func findings() async -> [EntraFinding] {
        guard let name = settings.tenant, let tenant = EntraTenant(name, at: settings.authority ?? EntraSettings.defaultAuthority) else {
            return [EntraFinding(.unchecked, "Entra ID", "Tenant and authority do not make a URL, so nobody was asked.")]
        }
        guard tenant.authority.isSecure || tenant.authority.isLoopback else {
            return [EntraFinding(.unchecked, "Entra ID", "The authority is not https, so nobody was asked.")]
        }
        async let credentials = credentialsCheck(tenant)
        let metadata = await metadataCheck(tenant)
        let keys = await keysCheck(tenant, metadata.keys)
        let asked = [metadata.reply, keys.reply, await credentials.reply].compactMap { $0 }
        let findings = [metadata.finding, keys.finding, await credentials.finding, clockFinding(asked), redirectFinding]
        return findings.map { $0.hiding(settings.clientSecret) }
    }

    /// What came of one request, and when.
    struct Reply: Sendable {
        let result: Result<FetchedAnswer, FetchFailure>
        let sent: Timestamp
        let received: Timestamp
    }

    struct Check: Sendable {
        let finding: EntraFinding
        var reply: Reply?
        /// Where the metadata says that the keys are, if it may be believed.
        var keys: Endpoint?
    }

    /// Holds the deadline also where the fetcher does not.
    func ask(_ request: FetchRequest) async -> Reply {
        let sent = now()
        let result = await withTaskGroup(of: Result<FetchedAnswer, FetchFailure>.self) { group in
            group.addTask { [fetcher] in
                do throws(FetchFailure) { return .success(try await fetcher.send(request)) } catch { return .failure(error) }
            }
            group.addTask { [deadline] in
                try? await Task.sleep(for: deadline)
                return .failure(.timedOut(deadline))
            }
            let first = await group.next()
            group.cancelAll()
            return first ?? .failure(.timedOut(deadline))
        }
        return Reply(result: result, sent: sent, received: now())
    }
}
